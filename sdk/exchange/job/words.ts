/**
 * Words: what the processes of the job tell their parent besides what the parts of the exchange say (`parts.ts`).
 */
import type { Line } from '../../crew/report.ts';
import type { PartLine } from '../parts.ts';
import type { Testimony } from './chain.ts';

/** So many messages took so many microseconds. */
export type LatencyCount = readonly [microseconds: number, count: number];

/** A process is at work. */
export interface Ready extends Line {
  report: 'ready';
}

/** The order flow has sent and heard so much since it last said so. */
export interface Flowed extends Line {
  report: 'flowed';
  sent: number;
  /** Orders that were accepted or refused. */
  answered: number;
  /** Fills, one a side. */
  fills: number;
  rejected: number;
  /** Answers that were sent again. */
  repeats: number;
  reconnects: number;
  /** From the scheduled time of an order to its answer. */
  latencies: LatencyCount[];
  /** The longest time without any answer while some were due, in milliseconds. */
  stallMs: number;
  testimonies: Testimony[];
  /** Orders without an answer. */
  open: number;
}

/** A reader of market data has seen the messages up to `to`. */
export interface Seen extends Line {
  report: 'seen';
  to: number;
  count: number;
  /** Messages that are missing before `to`; of a feed, that were asked for again. */
  gaps: number;
  duplicates: number;
  /** From the command's time to here. */
  latencies: LatencyCount[];
  /** Of a feed: messages that were asked for again, and times that it began with a snapshot. */
  requested?: number;
  snapshots?: number;
}

/** What a reader knows of the book. */
export interface Top extends Line {
  report: 'top';
  bid: number;
  bidSize: number;
  ask: number;
  askSize: number;
  live: number;
}

/** All orders that a reader knows, as one number, after message `sequence`. */
export interface Image extends Line {
  report: 'image';
  sequence: number;
  orders: number;
  sha256: string;
}

/** The analytics' sums. */
export interface Day extends Line {
  report: 'day';
  trades: number;
  volume: number;
  vwap: number;
  low: number;
  high: number;
  /** Executions that the kernel kept, if there is one. */
  kept?: number;
}

export type Word = Ready | Flowed | Seen | Top | Image | Day | PartLine;
