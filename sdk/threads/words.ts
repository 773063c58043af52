/**
 * Words: what the threads are given, and what they tell the one that started them.
 */
import type { SharedRegion } from '../index.ts';

/** The channel of commands, a queue of stamped commands; and that of market messages, a stream that gates. */
export const ORDERS = { name: 'orders', capacity: 4_096 };
export const MARKET = { name: 'market', capacity: 4_096 };

/** How large the matcher's book is, and the one that checks it. */
export const BOOK = { slotCount: 1 << 16, accountCount: 8, key: new Uint8Array(16) };

/** What a thread is given. */
export interface Given {
  shared: SharedRegion;
  rate: number;
  seed: number;
  input: string | undefined;
  /** Of the kernel, built. */
  kernel: Uint8Array<ArrayBuffer> | undefined;
}

/** So many messages took so many microseconds. */
export type LatencyCount = readonly [microseconds: number, count: number];

/** A thread has its handles. */
export interface Ready {
  word: 'ready';
}

/** So many commands were written. */
export interface Wrote {
  word: 'wrote';
  commands: number;
}

/** The matcher has taken so many commands, and said so many market messages. */
export interface Matched {
  word: 'matched';
  commands: number;
  messages: number;
  stateHash: bigint;
  marketSequence: bigint;
}

/** A reader has seen the messages up to `to`. */
export interface Seen {
  word: 'seen';
  to: number;
  count: number;
  gaps: number;
  latencies: LatencyCount[];
}

/** The best prices; or, at the end, all orders as one number. */
export interface Top {
  word: 'top';
  bid: number;
  ask: number;
  live: number;
  sha256: string | undefined;
}

/** The analytics' sums. */
export interface Day {
  word: 'day';
  trades: number;
  volume: number;
  kept: number | undefined;
}

/** Something that a thread could not go on after. */
export interface Failed {
  word: 'failed';
  message: string;
}

export type Word = Ready | Wrote | Matched | Seen | Top | Day | Failed;
