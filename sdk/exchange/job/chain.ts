/**
 * Chain: what a reader of one account's reports can testify, in one number.
 *
 * Each report is folded into the number of those before it, so two readers have the same one after report n exactly when
 * they have had the same n reports in the same order, but for chance (one in 2 ** 32). Rejections have no sequence, and
 * reports that are sent again are no new ones: neither is folded.
 */
import { MESSAGES } from '../../wire.ts';

const WORDS = MESSAGES.ExecutionReport.size / 4;
const FACTOR = 0x9e3779b1;

/** The number after a report, whose 48 bytes begin at `offset`. */
export function chained(chain: number, report: DataView, offset = 0): number {
  let sum = chain;
  for (let word = 0; word < WORDS; word++) {
    sum = Math.imul(sum ^ report.getUint32(offset + word * 4, true), FACTOR);
    sum ^= sum >>> 15;
  }
  return sum >>> 0;
}

/** What a reader of an account's reports has testified: after report `sequence` it had `chain`. */
export type Testimony = readonly [account: number, sequence: number, chain: number];
