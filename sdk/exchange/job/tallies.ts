/**
 * Tallies: what the processes of a run have reported, over all their starts.
 */
import { Latency } from '../../crew/latency.ts';
import type { Testimony } from './chain.ts';
import type { FlowTotals, ReaderTotals } from './verdict.ts';
import type { Flowed, Image, Seen } from './words.ts';

/** What one reader of market data has seen. */
export class ReaderTally implements ReaderTotals {
  readonly latency = new Latency();
  seen = 0;
  gaps = 0;
  duplicates = 0;
  requested = 0;
  snapshots = 0;
  image: Image | undefined;
  /** The last message that it has seen. */
  to = 0;

  constructor(readonly name: string) {}

  hear(line: Seen): void {
    this.to = Math.max(this.to, line.to);
    this.seen += line.count;
    this.gaps += line.gaps;
    this.duplicates += line.duplicates;
    this.requested += line.requested ?? 0;
    this.snapshots += line.snapshots ?? 0;
    for (const [microseconds, count] of line.latencies) this.latency.add(microseconds, count);
  }
}

/** What the order flow has sent and heard. */
export class FlowTally implements FlowTotals {
  readonly latency = new Latency();
  sent = 0;
  answered = 0;
  fills = 0;
  rejected = 0;
  repeats = 0;
  reconnects = 0;
  open = 0;
  stallMs = 0;
  /** All of them, in the order in which they came. */
  readonly testimonies: Testimony[] = [];
  readonly #latest = new Map<number, Testimony>();

  /** Goes on where an earlier run has ended. */
  begin(testimonies: readonly Testimony[]): void {
    for (const testimony of testimonies) this.#latest.set(testimony[0], testimony);
  }

  hear(line: Flowed): void {
    this.sent += line.sent;
    this.answered += line.answered;
    this.fills += line.fills;
    this.rejected += line.rejected;
    this.repeats += line.repeats;
    this.reconnects += line.reconnects;
    this.open = line.open;
    this.stallMs = Math.max(this.stallMs, line.stallMs);
    for (const [microseconds, count] of line.latencies) this.latency.add(microseconds, count);
    for (const testimony of line.testimonies) {
      this.testimonies.push(testimony);
      this.#latest.set(testimony[0], testimony);
    }
  }

  /** Where a process that takes this one's place goes on: the last report of each account that was testified to. */
  get latest(): Testimony[] {
    return [...this.#latest.values()];
  }
}
