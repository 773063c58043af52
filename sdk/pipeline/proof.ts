/**
 * Proof: what became of every position, from what the processes reported while they were being killed.
 *
 * The parent asks the region for `tail` and `abandoned` and believes no counter of a gateway. Each subscription of
 * `orders` is an interval from its join cursor to its last reported position; what a killed reader had read but not
 * reported is not claimed, what it missed because it was dead is not its business, and the other reader was alive.
 *
 *     tail      0 ─────────────────────────────────────────────────────────── T
 *     view      join ──────── to   ✕ killed        join ───────────────────── to
 *     analytics join ─────────────────── gap ──────────────────────────────── to
 *
 * - *written* = T - abandoned.
 * - *read* = distinct positions that some subscription saw.
 * - *unaccounted* = positions that nobody saw, less the abandoned ones (they are tombstones, never delivered), plus
 *   positions that a subscription missed within its interval although another one saw them (so they were written).
 * - *duplicates* = a position seen again by one subscription, or a signal taken again by anybody, without the flag.
 * - *torn* = records that fail the reader's checks, and blocks whose sums differ between any two who summed them.
 *
 * Positions are those of the log: sequence - 1. A reader that takes the place of a killed one begins with what that had
 * not finished, in the log; what it reads twice over two subscriptions is nobody's duplicate.
 *
 * Signals go to a group: all of them are seen, by whichever member, or abandoned; one that a killed member held is taken
 * again, flagged. A line that a member could not finish before it was killed never counted, and its messages were not
 * released: so each member reports first and releases afterwards.
 *
 * What the logs have is held against all this by `audit.ts`.
 */
import { type Range, Ranges } from './ranges.ts';
import type { Batch, BlockDigest, Took } from './report.ts';

/** Blocks whose sums are remembered: more than two minutes at the default rate. */
const REMEMBERED_BLOCKS = 8192;

/** One subscription of `orders`, from its join to its end. */
export interface Subscription {
  readonly name: string;
  /** Position at which it joined. */
  readonly join: number;
  /** First position of which it has not reported. */
  to: number;
  readonly gaps: Range[];
}

/** What the region says of one channel. */
export interface ChannelTotals {
  /** Position of the first message of this region. */
  first: number;
  /** Position of the next message. */
  tail: number;
  abandoned: number;
}

/** What follows from it all. */
export interface Findings {
  written: number;
  read: number;
  lost: number;
  unaccounted: number;
  torn: number;
  duplicates: number;
  signalsWritten: number;
  signalsTaken: number;
  signalsRedelivered: number;
}

/** Collects reports. */
export class Proof {
  lost = 0;
  torn = 0;
  duplicates = 0;
  signalsRedelivered = 0;
  /** Sums of blocks that were held against the same sum of somebody else. */
  comparedBlocks = 0;
  readonly #subscriptions: Subscription[] = [];
  readonly #seen = new Ranges();
  readonly #seenBy = new Map<string, Ranges>();
  readonly #signals = new Ranges();
  readonly #unflagged = new Ranges();
  readonly #blocks = new Map<string, number>();

  /** A reader of `orders` has joined at `cursor`. */
  join(name: string, cursor: number): Subscription {
    const subscription: Subscription = { name, join: cursor, to: cursor, gaps: [] };
    this.#subscriptions.push(subscription);
    return subscription;
  }

  /** A reader has reported a batch. */
  batch(subscription: Subscription, batch: Batch): void {
    const missing: Range[] = [...batch.gaps];
    if (batch.from > subscription.to) missing.unshift([subscription.to, batch.from]);
    let from = batch.from;
    const mine = this.seenBy(subscription.name);
    for (const [start, end] of [...batch.gaps, [batch.to, batch.to] as const]) {
      this.#seen.add(from, start);
      mine.add(from, start);
      from = end;
    }
    subscription.gaps.push(...missing);
    subscription.to = Math.max(subscription.to, batch.to);
    this.lost += batch.lost;
    this.torn += batch.torn;
    this.duplicates += batch.duplicates;
    this.blocks(batch.blocks);
  }

  /** Somebody has summed these blocks: the first sum is remembered, each other one must be the same. */
  blocks(blocks: readonly BlockDigest[]): void {
    for (const [run, block, digest] of blocks) {
      const key = `${run}:${block}`;
      const known = this.#blocks.get(key);
      if (known === undefined) {
        this.#remember(key, digest);
        continue;
      }
      this.comparedBlocks += 1;
      if (known !== digest) this.torn += 1;
    }
  }

  /** A consumer has taken signals. */
  took(took: Took): void {
    this.torn += took.torn;
    for (const [sequence, isRedelivered] of took.signals) {
      this.#signals.add(sequence - 1, sequence);
      if (isRedelivered) this.signalsRedelivered += 1;
      else if (this.#unflagged.add(sequence - 1, sequence) === 0) this.duplicates += 1;
    }
  }

  /** The positions that a reader has seen, over all its processes. */
  seenBy(name: string): Ranges {
    const seen = this.#seenBy.get(name) ?? new Ranges();
    this.#seenBy.set(name, seen);
    return seen;
  }

  /** The positions of the signals that were taken. */
  get taken(): Ranges {
    return this.#signals;
  }

  /** Adds it all up. */
  findings(orders: ChannelTotals, signals: ChannelTotals): Findings {
    const read = this.#seen.countIn(orders.first, orders.tail);
    const taken = this.#signals.countIn(signals.first, signals.tail);
    let missed = 0;
    for (const subscription of this.#subscriptions) {
      for (const [from, to] of subscription.gaps) missed += this.#seen.countIn(from, to);
    }
    const unseen = Math.max(0, orders.tail - orders.first - read - orders.abandoned);
    const untaken = Math.max(0, signals.tail - signals.first - taken - signals.abandoned);
    return {
      written: orders.tail - orders.first - orders.abandoned,
      read,
      lost: this.lost,
      unaccounted: unseen + missed + untaken,
      torn: this.torn,
      duplicates: this.duplicates,
      signalsWritten: signals.tail - signals.first - signals.abandoned,
      signalsTaken: taken,
      signalsRedelivered: this.signalsRedelivered,
    };
  }

  #remember(key: string, digest: number): void {
    this.#blocks.set(key, digest);
    if (this.#blocks.size <= REMEMBERED_BLOCKS) return;
    const oldest = this.#blocks.keys().next();
    if (!oldest.done) this.#blocks.delete(oldest.value);
  }
}

/** Whether the promises were kept: nothing lost, unaccounted, torn or twice, and nothing read that was not written. */
export function isProved(findings: Findings): boolean {
  return (
    findings.lost === 0 &&
    findings.unaccounted === 0 &&
    findings.torn === 0 &&
    findings.duplicates === 0 &&
    findings.read <= findings.written &&
    findings.signalsTaken <= findings.signalsWritten
  );
}
