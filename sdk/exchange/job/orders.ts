/**
 * Orders: what happened to a book, as the commands of clients that would make it happen again.
 *
 * The rows are LOBSTER's, made up or from a file (`pipeline/record.ts`). An order of a row belongs to the account that
 * its id falls to; an execution becomes an immediate-or-cancel order of the taker against the price at which the resting
 * order was hit. Matching in time order then picks the order that the row names, if everything before it came true.
 */
import { EventType, emptyRecord, type OrderRecord, type Source } from '../../pipeline/record.ts';
import { ORDER_GTC, ORDER_IOC, ORDER_LIMIT, SIDE_BUY, SIDE_SELL } from '../../wire.ts';

/** One command, without the id of whoever sends it. */
export type Action =
  | { kind: 'new'; account: number; order: number; side: number; orderType: number; price: number; quantity: number }
  | { kind: 'reduce'; account: number; order: number; price: number; by: number }
  | { kind: 'cancel'; account: number; order: number };

/** Turns rows into commands. The first account is the taker's; the others share the resting orders. */
export class Orders {
  readonly #source: Source;
  readonly #row: OrderRecord = emptyRecord();
  readonly #makers: number;

  constructor(source: Source, accounts: number) {
    this.#source = source;
    this.#makers = accounts - 1;
  }

  /** The next command; rows that are none (hidden trades, crosses, halts) are passed over. */
  next(): Action {
    for (;;) {
      this.#source.next(this.#row);
      const action = this.#action(this.#row);
      if (action !== undefined) return action;
    }
  }

  #action({ type, orderId: order, side, price, size }: OrderRecord): Action | undefined {
    const account = 1 + (order % this.#makers);
    switch (type) {
      case EventType.ADD: {
        const orderType = ORDER_LIMIT | ORDER_GTC;
        return {
          kind: 'new',
          account,
          order,
          side: side === 1 ? SIDE_BUY : SIDE_SELL,
          orderType,
          price,
          quantity: size,
        };
      }
      case EventType.REDUCE:
        return { kind: 'reduce', account, order, price, by: size };
      case EventType.DELETE:
        return { kind: 'cancel', account, order };
      case EventType.EXECUTE: {
        const orderType = ORDER_LIMIT | ORDER_IOC;
        const taking = { side: side === 1 ? SIDE_SELL : SIDE_BUY, orderType, price, quantity: size };
        return { kind: 'new', account: 0, order, ...taking };
      }
      default:
        return undefined;
    }
  }
}
