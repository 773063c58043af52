/**
 * Start: where a reader of a channel or a log begins.
 */
import { wrongArgument } from './error.ts';
import { FROM } from './native.ts';

/**
 * 'latest': what is written from now on. 'oldest': the oldest message that is still there. A bigint: this log sequence,
 * or the first message after it; a Date: the first message that was written then or later. The last two are for logs
 * and recorded channels.
 */
export type Start = 'latest' | 'oldest' | bigint | Date;

/** A start as the library wants it: which kind, and its number. */
export function encodeStart(from: Start | undefined): [from: number, value: bigint] {
  if (from === undefined) return [FROM.DEFAULT, 0n];
  if (from === 'latest') return [FROM.LATEST, 0n];
  if (from === 'oldest') return [FROM.OLDEST, 0n];
  if (typeof from === 'bigint' && from > 0n && from < 2n ** 64n) return [FROM.SEQUENCE, from];
  if (from instanceof Date && from.getTime() >= 0) return [FROM.TIME, BigInt(from.getTime()) * 1_000_000n];
  throw wrongArgument(`from is ${describe(from)}; give 'latest', 'oldest', a sequence (a bigint from 1n on) or a Date`);
}

function describe(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : `${String(value)} (${typeof value})`;
}
