/**
 * Book: the top of the book, kept from the records of `orders`.
 *
 * It is a reader's book: it believes what it reads and matches nothing. An event of an order that it has not seen
 * (resting before the file began, or before this reader joined) changes nothing and is counted. When the lap changes,
 * the flow begins anew, so the book is cleared. When the run changes, it does not: the flow goes on where it was.
 *
 * Each side is a sorted array of prices with the best price last: most changes happen near the touch, so inserting and
 * removing moves few entries.
 */
import { EventType, type OrderRecord } from './record.ts';

/** One price and what rests there. */
export interface Level {
  price: number;
  size: number;
}

/** What rests on one side, by price. `side` is 1 for bids, -1 for asks. */
export class Ladder {
  /** Prices times side, ascending: the best one is last. */
  readonly #keys: number[] = [];
  readonly #sizes: number[] = [];

  constructor(readonly side: number) {}

  get count(): number {
    return this.#keys.length;
  }

  clear(): void {
    this.#keys.length = 0;
    this.#sizes.length = 0;
  }

  /** Adds `delta` shares at a price; a price with nothing left is gone. */
  change(price: number, delta: number): void {
    const key = price * this.side;
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    if (this.#keys[low] !== key) {
      if (delta <= 0) return;
      this.#keys.splice(low, 0, key);
      this.#sizes.splice(low, 0, delta);
      return;
    }
    const size = this.#sizes[low]! + delta;
    if (size > 0) {
      this.#sizes[low] = size;
      return;
    }
    this.#keys.splice(low, 1);
    this.#sizes.splice(low, 1);
  }

  /** The level that is `depth` steps behind the best one. */
  level(depth: number): Level | undefined {
    const index = this.#keys.length - 1 - depth;
    const key = this.#keys[index];
    return key === undefined ? undefined : { price: key * this.side, size: this.#sizes[index]! };
  }
}

interface Resting {
  price: number;
  size: number;
  side: number;
}

/** A book as it can be kept: what is needed to go on with it. */
export interface Kept {
  lap: number;
  run: number;
  unknown: number;
  orders: [orderId: number, price: number, size: number, side: number][];
}

/** Both sides and the orders they consist of. */
export class Book {
  readonly bids = new Ladder(1);
  readonly asks = new Ladder(-1);
  /** Events of orders that were never seen. */
  unknown = 0;
  #lap = -1;
  #run = -1;
  readonly #orders = new Map<number, Resting>();

  get lap(): number {
    return this.#lap;
  }

  get run(): number {
    return this.#run;
  }

  /** Orders that rest. */
  get live(): number {
    return this.#orders.size;
  }

  /** Takes one event into account. */
  apply(record: OrderRecord): void {
    if (record.lap !== this.#lap) this.#begin(record.lap);
    this.#run = record.run;
    switch (record.type) {
      case EventType.ADD:
        if (this.#orders.has(record.orderId)) {
          this.unknown += 1;
          return;
        }
        this.#orders.set(record.orderId, { price: record.price, size: record.size, side: record.side });
        this.#ladder(record.side).change(record.price, record.size);
        return;
      case EventType.REDUCE:
      case EventType.EXECUTE:
        this.#reduce(record.orderId, record.size);
        return;
      case EventType.DELETE:
        this.#reduce(record.orderId, Number.POSITIVE_INFINITY);
        return;
    }
  }

  /** What there is to keep of it. */
  keep(): Kept {
    const orders = Array.from(this.#orders, ([id, { price, size, side }]): Kept['orders'][0] => [
      id,
      price,
      size,
      side,
    ]);
    return { lap: this.#lap, run: this.#run, unknown: this.unknown, orders };
  }

  /** A book that goes on where another one was kept. */
  static of(kept: Kept): Book {
    const book = new Book();
    book.#begin(kept.lap);
    book.#run = kept.run;
    book.unknown = kept.unknown;
    for (const [orderId, price, size, side] of kept.orders) {
      book.#orders.set(orderId, { price, size, side });
      book.#ladder(side).change(price, size);
    }
    return book;
  }

  /** A number that depends on every level: FNV-1a over side, price and size, the best levels first. */
  hash(): number {
    let hash = 0x811c9dc5;
    for (const ladder of [this.bids, this.asks]) {
      for (let depth = 0; depth < ladder.count; depth++) {
        const { price, size } = ladder.level(depth)!;
        for (const word of [ladder.side, price, size]) hash = Math.imul(hash ^ word, 0x01000193);
      }
    }
    return hash >>> 0;
  }

  #begin(lap: number): void {
    this.#lap = lap;
    this.#orders.clear();
    this.bids.clear();
    this.asks.clear();
  }

  #reduce(orderId: number, size: number): void {
    const order = this.#orders.get(orderId);
    if (order === undefined) {
      this.unknown += 1;
      return;
    }
    const part = Math.min(size, order.size);
    order.size -= part;
    if (order.size === 0) this.#orders.delete(orderId);
    this.#ladder(order.side).change(order.price, -part);
  }

  #ladder(side: number): Ladder {
    return side === 1 ? this.bids : this.asks;
  }
}
