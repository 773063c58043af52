/**
 * Report: what the processes tell the parent, one line of JSON on standard output each.
 *
 * A reader reports after each batch, so that what it had seen is known whenever it is killed. A line is written by one
 * system call into a socket; of a process that is killed in the middle of it, half a line is left, which is discarded.
 * Standard input is the leash: when it ends, the process finishes what it has begun, reports and leaves. That works in
 * every language, for a stop and for the death of the parent alike.
 */
import { writeSync } from 'node:fs';
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

/** Nobody changes it: who waits for it sleeps. */
const PAUSE = new Int32Array(new SharedArrayBuffer(4));
const PAUSE_MS = 1;

/** Tells the parent, and waits while it has no time to listen. When it is gone, so is the reason to go on. */
export function report(line: Report): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      // A loader may have made the socket one that does not wait.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') process.exit(1);
      Atomics.wait(PAUSE, 0, 0, PAUSE_MS);
    }
  }
}

/** Aborted when the parent lets go of standard input, or is gone. */
export function leash(): AbortSignal {
  const controller = new AbortController();
  process.stdin.on('end', () => controller.abort());
  process.stdin.on('error', () => controller.abort());
  process.stdin.resume();
  return controller.signal;
}

/** Puts lines together from the pieces that a pipe delivers. What never ends with a newline is never a line. */
export class Lines {
  #rest = '';

  /** The lines that end within `piece`. */
  push(piece: string): string[] {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines;
  }
}
