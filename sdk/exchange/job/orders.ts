/**
 * Orders: what happened to a book, as the commands of clients that would make it happen again.
 *
 * The rows are LOBSTER's, made up or from a file (`pipeline/record.ts`). An order of a row belongs to the account that
 * its id falls to; an execution becomes an immediate-or-cancel order of the taker against the price at which the resting
 * order was hit. Matching in time order then picks the order that the row names, if everything before it came true.
 */

import type { Side } from '../../book.ts';
import { EventType, emptyRecord, type OrderRecord, type Source } from '../../pipeline/record.ts';

/** One command, without the id of whoever sends it. */
export type Action =
  | { kind: 'new'; account: number; order: number; side: Side; lasting: 'gtc' | 'ioc'; price: number; quantity: number }
  | { kind: 'reduce'; account: number; order: number; price: number; by: number }
  | { kind: 'cancel'; account: number; order: number };

/** Turns rows into commands. The first account is the taker's; the others share the resting orders. */
export class Orders {
  readonly #source: Pick<Source, 'next'>;
  readonly #row: OrderRecord = emptyRecord();
  readonly #makers: number;

  constructor(source: Pick<Source, 'next'>, accounts: number) {
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
        const resting = { side: side === 1 ? 'buy' : 'sell', lasting: 'gtc', price, quantity: size } as const;
        return { kind: 'new', account, order, ...resting };
      }
      case EventType.REDUCE:
        return { kind: 'reduce', account, order, price, by: size };
      case EventType.DELETE:
        return { kind: 'cancel', account, order };
      case EventType.EXECUTE: {
        const taking = { side: side === 1 ? 'sell' : 'buy', lasting: 'ioc', price, quantity: size } as const;
        return { kind: 'new', account: 0, order, ...taking };
      }
      default:
        return undefined;
    }
  }
}
