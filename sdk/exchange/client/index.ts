/**
 * Exchange: the clients' side of it, without a native library: market data here, order entry there.
 *
 * `MarketBook` is where to begin reading.
 */
export type { Level, Side } from '../../book.ts';
export { TailraceError } from '../../error.ts';
export { MarketBatch, type MarketMessage, type Snapshot } from './market-batch.ts';
export { MarketBook, type MarketOrder, type Trade } from './market-book.ts';
export { MarketData, type MarketDataCounters, type MarketDataOptions } from './market-data.ts';
