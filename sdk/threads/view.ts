/**
 * View: keeps the book from the stream `market`. A thread of the pipeline.
 */
import { createHash } from 'node:crypto';
import { MarketBatch } from '../exchange/client/market-batch.ts';
import { MarketBook } from '../exchange/client/market-book.ts';
import { MESSAGES } from '../wire.ts';
import { delays, run, tell } from './thread.ts';
import { MARKET, type Ready, type Seen, type Top } from './words.ts';

const SEQUENCE = MESSAGES.Added.fields.sequence.offset;
const TOP_MS = 100;

await run(async (region, _, signal) => {
  const book = new MarketBook();
  using consumer = region.openConsumer(MARKET.name, { label: 'view', from: 'oldest', signal });
  tell<Ready>({ word: 'ready' });
  const top = (sha256: string | undefined) => {
    const { bestBid, bestAsk, orderCount: live } = book;
    tell<Top>({ word: 'top', bid: Number(bestBid?.price ?? 0n), ask: Number(bestAsk?.price ?? 0n), live, sha256 });
  };
  let toldMs = 0;
  try {
    for await (const batch of consumer) {
      const latencies = delays(batch);
      const payloads = Array.from(batch, ({ payload }) => payload);
      const { buffer, byteOffset } = payloads[0]!;
      const first = new DataView(buffer, byteOffset).getBigUint64(SEQUENCE, true);
      const gaps = Number(first - book.sequence - 1n);
      book.apply(new MarketBatch('', book.sequence + 1n, payloads));
      tell<Seen>({ word: 'seen', to: Number(book.sequence), count: payloads.length, gaps, latencies });
      if (performance.now() - toldMs < TOP_MS) continue;
      toldMs = performance.now();
      top(undefined);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  top(createHash('sha256').update(book.image()).digest('hex'));
});
