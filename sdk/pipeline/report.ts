/**
 * Report: what the processes of the pipeline tell the parent (`crew/report.ts` says how).
 *
 * A reader reports after each batch, so that what it had seen is known whenever it is killed.
 */
import type { Range } from './ranges.ts';
import type { Totals } from './state.ts';

/** The sum of the digests of one full block of records of one run. */
export type BlockDigest = readonly [run: number, block: number, digest: number];

/** So many messages took so many microseconds from their write to their read. */
export type LatencyCount = readonly [microseconds: number, count: number];

/** The process is attached. A reader of `orders` says where it joined. */
export interface Ready {
  report: 'ready';
  cursor?: number;
}

/** This record was acknowledged as being on disk, so many microseconds after it was sent. */
export type Acknowledged = readonly [run: number, counter: number, sequence: number, microseconds: number];

/** The gateway of this run has written what makes `count` records of all runs together. */
export interface Wrote {
  report: 'wrote';
  run: number;
  count: number;
  /** How long it has just waited for room, in milliseconds. */
  stallMs: number;
  blocks: BlockDigest[];
  acknowledged: Acknowledged[];
  /** It was to write so many, and has. */
  isLast: boolean;
}

/** A reader of `orders` has read the positions `from` to (not including) `to`, all but `gaps`. */
export interface Batch {
  report: 'batch';
  from: number;
  to: number;
  count: number;
  gaps: Range[];
  lost: number;
  torn: number;
  duplicates: number;
  latencies: LatencyCount[];
  blocks: BlockDigest[];
}

/** The top of the book, for the table. Prices in dollars times 10,000; 0 where there is none. */
export interface Top {
  report: 'top';
  bid: number;
  bidSize: number;
  ask: number;
  askSize: number;
  live: number;
  unknown: number;
  run: number;
  lap: number;
}

/** A consumer of `signals` has taken these, and releases them after this line. */
export interface Took {
  report: 'took';
  signals: [sequence: number, isRedelivered: boolean, microseconds: number][];
  torn: number;
}

/** What the view's state comes to, when it leaves. */
export interface Summed {
  report: 'totals';
  totals: Totals;
}

export type Report = Ready | Wrote | Batch | Top | Took | Summed;
