/**
 * Exchange: the clients' side of it, which needs no native library.
 *
 * `order-entry.ts` and `market-data.ts` are where to begin reading.
 */
export type { Level, Side } from '../../book.ts';
export { type Code, TailraceError } from '../../error.ts';
export type { Reason } from '../../events.ts';
export * as wire from '../../wire.ts';
export type { MassCancelOptions, NewOrderOptions, ReplaceOptions, SelfTrade } from './commands.ts';
export { ExchangeError } from './exchange-error.ts';
export type { ExecutionReport } from './execution-report.ts';
export { MarketBatch, type MarketMessage, type Snapshot } from './market-batch.ts';
export { MarketBook, type MarketOrder, type Trade } from './market-book.ts';
export { MarketData, type MarketDataCounters, type MarketDataOptions } from './market-data.ts';
export { OrderEntry } from './order-entry.ts';
export type { OrderEntryCounters, OrderEntryOptions } from './order-options.ts';
