/**
 * Audit: reads the logs back and holds them against everything that was promised and reported.
 *
 * Of `orders`, record by record: its counter is the one after that of the record before, over all runs of the gateway,
 * so a record that is missing or there twice is seen in the log alone; its fields are those of a record; blocks have the
 * sums that gateway and readers came to; what was acknowledged 'wal' is there, at its sequence, with its run and counter.
 * The positions are those that each of the readers has seen, no fewer and no more.
 *
 * Of `signals`: each follows the one before without touching the same record twice, was taken by the group, and all
 * together they speak of as many records, trades and shares as the log of `orders` has.
 *
 * Numbers that no message has are tombstones, of gateways that were killed; `Log.verify` says that each of them has a
 * frame, and that every checksum holds.
 */
import type { Verified } from '../index.ts';
import { Ranges } from './ranges.ts';
import { decodeRecord, digestRecord, emptyRecord, type OrderRecord, RECORD_BYTES } from './record.ts';
import type { BlockDigest } from './report.ts';
import { decodeSignal } from './signal.ts';
import { type Counts, count, noCounts, type Totals } from './state.ts';
import { BlockSums, isWellFormed } from './witness.ts';

/** What signals come to, all together. */
export interface SignalSums {
  events: number;
  trades: number;
  volume: number;
}

/** What the log of `orders` has. */
export class OrdersAudit {
  readonly counts: Counts = noCounts();
  /** Positions that have a record. */
  readonly present = new Ranges();
  /** Records that should be between two others, by their counters. */
  missing = 0;
  /** Records that come again, by their counters. */
  doubled = 0;
  torn = 0;
  acknowledged = 0;
  /** Acknowledged records that are there. */
  found = 0;
  readonly #acknowledged = new Map<number, readonly [run: number, counter: number]>();
  readonly #sums = new BlockSums();
  readonly #record: OrderRecord = emptyRecord();
  /** The oldest number of the log when it was read; above 1, retention has removed the beginning. */
  readonly first: number;
  /** Of the record before; undefined before the first one of a log whose beginning was removed. */
  #counter: number | undefined;
  #run = 0;

  constructor(first: number) {
    this.first = first;
    this.#counter = first === 1 ? -1 : undefined;
  }

  /** This record must be there. */
  expect([run, counter, sequence]: readonly [run: number, counter: number, sequence: number, ...unknown[]]): void {
    // A run before this one may have acknowledged what retention has removed since.
    if (sequence < this.first) return;
    this.acknowledged += 1;
    this.#acknowledged.set(sequence, [run, counter]);
  }

  /** Looks at one record; they come in the order of the log. */
  see(sequence: number, payload: Uint8Array, view: DataView): void {
    if (payload.byteLength !== RECORD_BYTES) {
      this.torn += 1;
      return;
    }
    const record = this.#record;
    decodeRecord(view, payload.byteOffset, record);
    this.present.add(sequence - 1, sequence);
    this.#follow(record.counter);
    if (!isWellFormed(record) || record.run < this.#run) this.torn += 1;
    this.#run = record.run;
    const digest = digestRecord(view, payload.byteOffset);
    this.#sums.add(record.run, record.counter, digest);
    count(this.counts, record, digest);
    const expected = this.#acknowledged.get(sequence);
    if (expected !== undefined && expected[0] === record.run && expected[1] === record.counter) {
      this.#acknowledged.delete(sequence);
      this.found += 1;
    }
  }

  #follow(counter: number): void {
    const step = (counter - (this.#counter ?? counter - 1)) | 0;
    if (step > 1) this.missing += step - 1;
    if (step < 1) this.doubled += 1;
    else this.#counter = counter;
  }

  /** The blocks that were completed since the last call. */
  takeBlocks(): BlockDigest[] {
    return this.#sums.take();
  }
}

/** What the log of `signals` has. */
export class SignalsAudit {
  readonly sums: SignalSums = { events: 0, trades: 0, volume: 0 };
  readonly present = new Ranges();
  torn = 0;
  /** Signals that speak of records which another one has spoken of. */
  doubled = 0;
  readonly first: number;
  #next = 0n;

  constructor(first: number) {
    this.first = first;
  }

  /** Looks at one signal; they come in the order of the log. */
  see(sequence: number, payload: Uint8Array): void {
    this.present.add(sequence - 1, sequence);
    const signal = decodeSignal(payload);
    if (signal === undefined) {
      this.torn += 1;
      return;
    }
    if (signal.firstPosition < this.#next) this.doubled += 1;
    this.#next = signal.lastPosition + 1n;
    this.sums.events += signal.events;
    this.sums.trades += signal.trades;
    this.sums.volume += Number(signal.volume);
  }
}

/** What the run says that must be so. */
export interface Expected {
  /** Positions of `orders` in this region, and how many of them were abandoned. */
  orders: { first: number; tail: number; abandoned: number };
  /** Positions of `signals` that the group had to take. */
  signals: { first: number; tail: number };
  /** What each reader of `orders` has seen. */
  readers: readonly Ranges[];
  taken: Ranges;
  /** What the view's state came to. */
  totals: Totals | undefined;
  verified: { orders: Verified; signals: Verified };
}

/** What the audit has found. */
export interface LogFindings {
  records: number;
  tombstones: number;
  missing: number;
  doubled: number;
  torn: number;
  /** Numbers that have no frame, or records in this region that its counters do not have. */
  holes: number;
  /** Positions of the log that a reader has not seen. */
  unread: number;
  /** Positions that a reader has seen and the log has not got. */
  invented: number;
  acknowledged: number;
  acknowledgedFound: number;
  signals: number;
  signalsUntaken: number;
  signalsDoubled: number;
  /** Sums that differ, of those of the logs, the view and the signals. */
  differing: number;
}

const FAULTS = ['missing', 'doubled', 'torn', 'holes', 'unread', 'invented'] as const;
const MORE_FAULTS = ['signalsUntaken', 'signalsDoubled', 'differing'] as const;

/** Whether the logs have what they must have. */
export function isKept(log: LogFindings): boolean {
  const isFaultless = [...FAULTS, ...MORE_FAULTS].every((name) => log[name] === 0);
  return isFaultless && log.acknowledgedFound === log.acknowledged;
}

/** Adds it all up. */
export function compare(orders: OrdersAudit, signals: SignalsAudit, expected: Expected): LogFindings {
  const { first, tail, abandoned } = expected.orders;
  const { verified } = expected;
  const present = orders.present.countIn(first, tail);
  let unread = 0;
  let invented = 0;
  for (const seen of expected.readers) {
    const both = orders.present.countBothIn(seen, first, tail);
    unread += present - both;
    invented += seen.countIn(first, Number.MAX_SAFE_INTEGER) - both;
  }
  const taken = signals.present.countBothIn(expected.taken, expected.signals.first, expected.signals.tail);
  const numbers = Number(verified.orders.lastSequence) - orders.first + 1;
  return {
    records: orders.counts.records,
    tombstones: numbers - orders.present.size,
    missing: orders.missing,
    doubled: orders.doubled,
    torn: orders.torn + signals.torn,
    holes:
      Math.abs(frames(verified.orders) - verified.orders.records) +
      Math.abs(frames(verified.signals) - verified.signals.records) +
      Math.abs(tail - first - abandoned - present),
    unread,
    invented,
    acknowledged: orders.acknowledged,
    acknowledgedFound: orders.found,
    signals: signals.present.size,
    signalsUntaken: signals.present.countIn(expected.signals.first, expected.signals.tail) - taken,
    signalsDoubled: signals.doubled,
    differing: differing(orders, signals, expected.totals),
  };
}

/** How many numbers a log has. */
function frames({ firstSequence, lastSequence }: Verified): number {
  return Number(lastSequence - firstSequence) + 1;
}

/** How many sums differ. A log without its beginning, which retention has removed, has none to compare. */
function differing(orders: OrdersAudit, signals: SignalsAudit, totals: Totals | undefined): number {
  if (totals === undefined) return orders.counts.records > 0 ? 1 : 0;
  const pairs: [number, number][] = [];
  if (orders.first === 1) {
    for (const name of ['records', 'trades', 'volume', 'digest'] as const) {
      pairs.push([orders.counts[name], totals[name]]);
    }
  }
  if (orders.first === 1 && signals.first === 1) {
    const { events, trades, volume } = signals.sums;
    pairs.push([events, totals.records], [trades, totals.trades], [volume, totals.volume]);
  }
  return pairs.filter(([one, other]) => one !== other).length;
}
