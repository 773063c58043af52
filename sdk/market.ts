/**
 * Market: what everybody may know of what a book says: the bytes of the market message of an event.
 */
import type { BookEvent } from './events.ts';
import { encodeAs, MARKET_SELL } from './wire.ts';

/** The bytes of the market message of an event, if it has one; `timestamp` of its command, nanoseconds since 1970. */
export function marketMessage(event: BookEvent, timestamp: bigint): Uint8Array<ArrayBuffer> | undefined {
  const { marketSequence: sequence, orderId, reference, price, quantity } = event;
  const flags = event.side === 'sell' ? MARKET_SELL : 0;
  const head = { sequence, timestampNs: timestamp, flags };
  switch (event.market) {
    case 'A':
      return encodeAs('Added', { ...head, orderId, price, quantity });
    case 'E':
      return encodeAs('Executed', { ...head, orderId, matchId: reference, price, quantity });
    case 'X':
      return encodeAs('Reduced', { ...head, orderId, removed: quantity });
    case 'D':
      return encodeAs('Deleted', { ...head, orderId });
    case 'U':
      return encodeAs('Replaced', { ...head, orderId, newOrderId: reference, price, quantity });
    case 'H':
      return encodeAs('StateChanged', { sequence, timestampNs: timestamp, state: reference });
    default:
      return undefined;
  }
}
