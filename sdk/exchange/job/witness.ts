/**
 * Witness: what a reader of market data reports while it reads: how far it has seen, how long that took, and at the end
 * all orders as one number.
 */
import { createHash } from 'node:crypto';
import { report } from '../../crew/report.ts';
import { now } from '../../index.ts';
import { MESSAGES } from '../../wire.ts';
import type { MarketBook } from '../client/market-book.ts';
import type { Image, LatencyCount, Seen, Top } from './words.ts';

const TIMESTAMP = MESSAGES.Added.fields.timestampNs.offset;
const TOP_MS = 100;

/** Reports for one reader. */
export class Witness {
  readonly #book: MarketBook;
  /** What was made before is caught up with: how long that took says nothing of the way. */
  readonly #sinceNs = now();
  #toldMs = 0;

  constructor(book: MarketBook) {
    this.#book = book;
  }

  /** Messages were applied to the book; `nowNs` is when they came. */
  saw(payloads: readonly Uint8Array[], nowNs: bigint, more: Omit<Seen, 'report' | 'to' | 'count' | 'latencies'>): void {
    const to = Number(this.#book.sequence);
    report<Seen>({ report: 'seen', to, count: payloads.length, latencies: this.#delays(payloads, nowNs), ...more });
    if (performance.now() - this.#toldMs < TOP_MS) return;
    this.#toldMs = performance.now();
    const { bestBid: bid, bestAsk: ask, orderCount: live } = this.#book;
    report<Top>({
      report: 'top',
      bid: Number(bid?.price ?? 0n),
      bidSize: Number(bid?.quantity ?? 0n),
      ask: Number(ask?.price ?? 0n),
      askSize: Number(ask?.quantity ?? 0n),
      live,
    });
  }

  /** Reports the whole book. */
  testify(): void {
    const sha256 = createHash('sha256').update(this.#book.image()).digest('hex');
    const { sequence, orderCount: orders } = this.#book;
    report<Image>({ report: 'image', sequence: Number(sequence), orders, sha256 });
  }

  /** Messages of one command have one time and came together. */
  #delays(payloads: readonly Uint8Array[], nowNs: bigint): LatencyCount[] {
    const counts: [number, number][] = [];
    let last = -1n;
    for (const { buffer, byteOffset } of payloads) {
      const madeNs = new DataView(buffer, byteOffset).getBigUint64(TIMESTAMP, true);
      if (madeNs < this.#sinceNs) continue;
      if (madeNs !== last) counts.push([Math.max(0, Math.floor(Number(nowNs - madeNs) / 1000)), 0]);
      last = madeNs;
      counts.at(-1)![1] += 1;
    }
    return counts;
  }
}
