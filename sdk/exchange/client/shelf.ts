/**
 * Shelf: the resting orders of one side, by price and then time.
 *
 * Prices stand in a sorted array with the best one last: most changes happen near the touch, so inserting and removing
 * move few entries. Each price has its orders in a list, oldest first, and their totals.
 */
import type { Level } from '../../book.ts';

/** One resting order, where it stands. */
export interface Resting {
  orderId: bigint;
  quantity: bigint;
  priority: bigint;
  queue: Queue;
  previous: Resting | undefined;
  next: Resting | undefined;
}

/** The orders of one price. */
export interface Queue {
  price: bigint;
  /** Price as the shelf sorts it: the best one is highest. */
  key: bigint;
  shelf: Shelf;
  quantity: bigint;
  orderCount: number;
  first: Resting | undefined;
  last: Resting | undefined;
}

/** The orders of one side. */
export class Shelf {
  readonly side: 'buy' | 'sell';
  readonly #sign: bigint;
  readonly #queues: Queue[] = [];

  constructor(side: 'buy' | 'sell') {
    this.side = side;
    this.#sign = side === 'buy' ? 1n : -1n;
  }

  /** Where the key stands, or belongs. */
  #find(key: bigint): number {
    const queues = this.#queues;
    let low = 0;
    let high = queues.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (queues[middle]!.key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #queueOf(price: bigint): Queue {
    const key = price * this.#sign;
    const index = this.#find(key);
    const found = this.#queues[index];
    if (found?.key === key) return found;
    const queue = { price, key, shelf: this, quantity: 0n, orderCount: 0, first: undefined, last: undefined };
    this.#queues.splice(index, 0, queue);
    return queue;
  }

  /** Puts an order behind the others of its price. */
  append(orderId: bigint, price: bigint, quantity: bigint, priority: bigint): Resting {
    const queue = this.#queueOf(price);
    const order: Resting = { orderId, quantity, priority, queue, previous: queue.last, next: undefined };
    if (queue.last === undefined) queue.first = order;
    else queue.last.next = order;
    queue.last = order;
    queue.quantity += quantity;
    queue.orderCount += 1;
    return order;
  }

  /** Takes an order out, and its price with the last one. */
  remove(order: Resting): void {
    const { queue, previous, next } = order;
    if (previous === undefined) queue.first = next;
    else previous.next = next;
    if (next === undefined) queue.last = previous;
    else next.previous = previous;
    queue.quantity -= order.quantity;
    queue.orderCount -= 1;
    if (queue.orderCount === 0) this.#queues.splice(this.#find(queue.key), 1);
  }

  /** The best price. */
  get best(): Level | undefined {
    const queue = this.#queues.at(-1);
    return queue && { price: queue.price, quantity: queue.quantity, orderCount: queue.orderCount };
  }

  /** The best prices, best first. */
  depth(levels: number): Level[] {
    const queues = this.#queues;
    const count = Math.min(levels, queues.length);
    return Array.from({ length: count }, (_, index) => {
      const { price, quantity, orderCount } = queues[queues.length - 1 - index]!;
      return { price, quantity, orderCount };
    });
  }

  /** Its orders, best price first, oldest first within a price. */
  *orders(): IterableIterator<Resting> {
    for (let index = this.#queues.length - 1; index >= 0; index -= 1) {
      for (let order = this.#queues[index]!.first; order !== undefined; order = order.next) yield order;
    }
  }
}
