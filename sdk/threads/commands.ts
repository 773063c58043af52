/**
 * Commands: order flow as stamped commands of clients; the same flow gives the same commands, whoever asks.
 */

import { type Action, Orders } from '../exchange/job/orders.ts';
import { encodeCommands } from '../index.ts';
import { Flow } from '../pipeline/flow.ts';
import { Replay, readLobster } from '../pipeline/lobster.ts';
import { ORDER_GTC, ORDER_IOC, ORDER_LIMIT, SIDE_BUY, SIDE_SELL } from '../wire.ts';
import { BOOK } from './words.ts';

interface Live {
  id: number;
  quantity: number;
}

/** An endless stream of commands. */
export class Commands {
  readonly #orders: Orders;
  readonly #live = new Map<number, Live>();
  readonly #lastIds = new Float64Array(BOOK.accountCount);
  #sequence = 0;

  constructor(seed: number, input: string | undefined) {
    const source = input === undefined ? new Flow(seed) : new Replay(readLobster(input));
    this.#orders = new Orders(source, BOOK.accountCount);
  }

  /** The next one, 56 bytes; its timestamp is its number, in microseconds. */
  next(): Uint8Array {
    for (;;) {
      const command = this.#command(this.#orders.next());
      if (command === undefined) continue;
      this.#sequence += 1;
      const timestamp = BigInt(this.#sequence) * 1_000n;
      return encodeCommands([{ ...command, globalSequence: this.#sequence, timestamp }]);
    }
  }

  #command(action: Action): Parameters<typeof encodeCommands>[0][number] | undefined {
    const { account, order } = action;
    if (action.kind === 'new') {
      const { price, quantity, lasting } = action;
      const clientOrderId = this.#nextId(account);
      if (lasting === 'gtc') this.#live.set(order, { id: clientOrderId, quantity });
      const side = action.side === 'buy' ? SIDE_BUY : SIDE_SELL;
      const orderType = ORDER_LIMIT | (lasting === 'gtc' ? ORDER_GTC : ORDER_IOC);
      return { message: 'NewOrder', account, clientOrderId, side, orderType, price, quantity };
    }
    const live = this.#live.get(order);
    if (live === undefined) return undefined;
    if (action.kind === 'cancel') {
      this.#live.delete(order);
      return { message: 'CancelOrder', account, clientOrderId: live.id };
    }
    const quantity = live.quantity - action.by;
    if (quantity <= 0) return undefined;
    const newClientOrderId = this.#nextId(account);
    this.#live.set(order, { id: newClientOrderId, quantity });
    return { message: 'Replace', account, clientOrderId: live.id, newClientOrderId, price: action.price, quantity };
  }

  #nextId(account: number): number {
    this.#lastIds[account] = this.#lastIds[account]! + 1;
    return this.#lastIds[account]!;
  }
}
