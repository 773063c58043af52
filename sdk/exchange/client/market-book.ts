/**
 * Market book: the exchange's resting orders, as anybody can know them from the feed: orders (L3), prices (L2), the
 * touch (L1) and trades. It matches nothing; it believes the feed, and notices when that contradicts itself.
 *
 * `image` gives the bytes that the snapshot service would send at the same sequence: the same orders in the same order,
 * so two books are compared with one call.
 */
import type { Level, Side } from '../../book.ts';
import { wrongArgument } from '../../error.ts';
import { MARKET_SELL, MESSAGES, SIDE_BUY, SIDE_SELL } from '../../wire.ts';
import { checkMessage, corruptFeed, type MarketBatch, type Snapshot } from './market-batch.ts';
import { type Resting, Shelf } from './shelf.ts';

/** One resting order. */
export interface MarketOrder {
  orderId: bigint;
  side: Side;
  price: bigint;
  quantity: bigint;
  /** Within a price, lower ones come first. */
  priority: bigint;
}

/** One trade. */
export interface Trade {
  matchId: bigint;
  price: bigint;
  quantity: bigint;
  /** Of the order that came and took. */
  side: Side;
  /** The resting order. */
  orderId: bigint;
  sequence: bigint;
  /** Nanoseconds since 1970. */
  timestamp: bigint;
}

const { Added, Executed, Reduced, Deleted, Replaced, StateChanged, SnapshotOrder } = MESSAGES;
const FLAGS = Added.fields.flags.offset;
const TIMESTAMP = Added.fields.timestampNs.offset;
const ORDER_ID = Added.fields.orderId.offset;
const NO_TRADES: readonly Trade[] = [];

/** The orders of one instrument, from its feed. */
export class MarketBook {
  #bids = new Shelf('buy');
  #asks = new Shelf('sell');
  #orders = new Map<bigint, Resting>();
  #session = '';
  #sequence = 0n;
  #timestamp = 0n;
  #isHalted: boolean | undefined = false;
  #lastTrade: Trade | undefined;

  /**
   * Takes a batch in, a snapshot or messages, and gives its trades. Throws ERR_CORRUPT when the messages do not follow
   * what the book has seen, or say what cannot be; only a snapshot helps it then.
   */
  apply(batch: MarketBatch): readonly Trade[] {
    if (batch.snapshot !== undefined) this.load(batch.snapshot);
    else if (batch.length > 0 && batch.sequence !== this.#sequence + 1n) {
      throw corruptFeed(`message ${batch.sequence} does not follow ${this.#sequence}`);
    }
    let trades: Trade[] | undefined;
    for (const payload of batch.payloads) {
      const sequence = this.#sequence + 1n;
      checkMessage(payload, sequence);
      const trade = this.#take(payload, sequence);
      this.#sequence = sequence;
      if (trade === undefined) continue;
      trades ??= [];
      trades.push(trade);
    }
    if (trades !== undefined) this.#lastTrade = trades.at(-1);
    this.#session = batch.session;
    return trades ?? NO_TRADES;
  }

  /** Takes one message in. Its size fits its type. */
  #take(payload: Uint8Array, sequence: bigint): Trade | undefined {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const type = payload[0];
    this.#timestamp = view.getBigUint64(TIMESTAMP, true);
    if (type === StateChanged.type) {
      this.#isHalted = view.getBigUint64(StateChanged.fields.state.offset, true) !== 0n;
      return undefined;
    }
    const orderId = view.getBigUint64(ORDER_ID, true);
    if (type === Added.type) {
      const { price, quantity } = Added.fields;
      const isSell = (payload[FLAGS]! & MARKET_SELL) !== 0;
      this.#rest(
        isSell ? this.#asks : this.#bids,
        orderId,
        view.getBigInt64(price.offset, true),
        view.getBigUint64(quantity.offset, true),
        orderId,
      );
      return undefined;
    }
    const order = this.#orders.get(orderId);
    if (order === undefined) throw corruptFeed(`message ${sequence} is about order ${orderId}, which does not rest`);
    if (type === Executed.type) return this.#execute(order, view, sequence);
    if (type === Reduced.type) this.#lose(order, view.getBigUint64(Reduced.fields.removed.offset, true), sequence);
    else if (type === Deleted.type) this.#remove(order);
    else {
      const { newOrderId, price, quantity } = Replaced.fields;
      const id = view.getBigUint64(newOrderId.offset, true);
      const { shelf } = order.queue;
      this.#remove(order);
      this.#rest(shelf, id, view.getBigInt64(price.offset, true), view.getBigUint64(quantity.offset, true), id);
    }
    return undefined;
  }

  #execute(order: Resting, view: DataView, sequence: bigint): Trade {
    const { matchId, price, quantity } = Executed.fields;
    const amount = view.getBigUint64(quantity.offset, true);
    this.#lose(order, amount, sequence);
    return {
      matchId: view.getBigUint64(matchId.offset, true),
      price: view.getBigInt64(price.offset, true),
      quantity: amount,
      side: order.queue.shelf.side === 'buy' ? 'sell' : 'buy',
      orderId: order.orderId,
      sequence,
      timestamp: this.#timestamp,
    };
  }

  #rest(shelf: Shelf, orderId: bigint, price: bigint, quantity: bigint, priority: bigint): void {
    if (quantity === 0n) throw corruptFeed(`order ${orderId} rests with nothing`);
    if (this.#orders.has(orderId)) throw corruptFeed(`order ${orderId} rests twice`);
    this.#orders.set(orderId, shelf.append(orderId, price, quantity, priority));
  }

  #lose(order: Resting, quantity: bigint, sequence: bigint): void {
    if (quantity > order.quantity) {
      throw corruptFeed(
        `message ${sequence} takes ${quantity} from order ${order.orderId}, which has ${order.quantity}`,
      );
    }
    if (quantity === order.quantity) this.#remove(order);
    else {
      order.quantity -= quantity;
      order.queue.quantity -= quantity;
    }
  }

  #remove(order: Resting): void {
    this.#orders.delete(order.orderId);
    order.queue.shelf.remove(order);
  }

  /** Forgets everything, and begins with a snapshot. Throws ERR_CORRUPT when its orders are none. */
  load(snapshot: Snapshot): void {
    const { orders } = snapshot;
    if (orders.length % SnapshotOrder.size !== 0) {
      throw corruptFeed(`a snapshot has ${orders.length} bytes, and ${SnapshotOrder.size} for each order`);
    }
    this.#bids = new Shelf('buy');
    this.#asks = new Shelf('sell');
    this.#orders = new Map();
    const { orderId, price, quantity, priority, side } = SnapshotOrder.fields;
    const view = new DataView(orders.buffer, orders.byteOffset, orders.length);
    for (let at = 0; at < orders.length; at += SnapshotOrder.size) {
      const number = view.getUint8(at + side.offset);
      if (number !== SIDE_BUY && number !== SIDE_SELL) throw corruptFeed(`a snapshot has an order of side ${number}`);
      this.#rest(
        number === SIDE_BUY ? this.#bids : this.#asks,
        view.getBigUint64(at + orderId.offset, true),
        view.getBigInt64(at + price.offset, true),
        view.getBigUint64(at + quantity.offset, true),
        view.getBigUint64(at + priority.offset, true),
      );
    }
    this.#session = snapshot.session;
    this.#sequence = snapshot.sequence;
    this.#timestamp = 0n;
    this.#lastTrade = undefined;
    this.#isHalted = snapshot.sequence === 0n ? false : undefined;
  }

  #shelf(side: Side): Shelf {
    if (side === 'buy') return this.#bids;
    if (side === 'sell') return this.#asks;
    throw wrongArgument(`side is ${JSON.stringify(side)}; give 'buy' or 'sell'`);
  }

  /** The highest price that somebody buys at. */
  get bestBid(): Level | undefined {
    return this.#bids.best;
  }

  /** The lowest price that somebody sells at. */
  get bestAsk(): Level | undefined {
    return this.#asks.best;
  }

  /** The best prices of a side, best first; all of them without a number. */
  depth(side: Side, levels: number = Number.POSITIVE_INFINITY): Level[] {
    if (!(levels >= 0)) throw wrongArgument(`levels is ${levels}; give how many prices, or nothing`);
    return this.#shelf(side).depth(levels);
  }

  /** A resting order. */
  order(orderId: bigint): MarketOrder | undefined {
    const order = this.#orders.get(orderId);
    return order && shown(order);
  }

  /** The resting orders of a side: best price first, oldest first within a price. */
  *orders(side: Side): IterableIterator<MarketOrder> {
    for (const order of this.#shelf(side).orders()) yield shown(order);
  }

  /** Resting orders. */
  get orderCount(): number {
    return this.#orders.size;
  }

  /** The last trade that it has seen. */
  get lastTrade(): Trade | undefined {
    return this.#lastTrade;
  }

  /** Whether trading is halted; undefined after a snapshot, which does not say it, until the feed does. */
  get isHalted(): boolean | undefined {
    return this.#isHalted;
  }

  /** Ten characters: the exchange's epoch in digits, right-justified. */
  get session(): string {
    return this.#session;
  }

  /** Of the last market message. */
  get sequence(): bigint {
    return this.#sequence;
  }

  /** Of the last market message, nanoseconds since 1970; 0 after a snapshot. */
  get timestamp(): bigint {
    return this.#timestamp;
  }

  /** The bytes of all orders, as the snapshot service sends them. */
  image(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.orderCount * SnapshotOrder.size);
    const view = new DataView(bytes.buffer);
    const { orderId, price, quantity, priority, side } = SnapshotOrder.fields;
    let at = 0;
    for (const shelf of [this.#bids, this.#asks]) {
      for (const order of shelf.orders()) {
        view.setBigUint64(at + orderId.offset, order.orderId, true);
        view.setBigInt64(at + price.offset, order.queue.price, true);
        view.setBigUint64(at + quantity.offset, order.quantity, true);
        view.setBigUint64(at + priority.offset, order.priority, true);
        view.setUint8(at + side.offset, shelf.side === 'buy' ? SIDE_BUY : SIDE_SELL);
        at += SnapshotOrder.size;
      }
    }
    return bytes;
  }
}

function shown({ orderId, quantity, priority, queue }: Resting): MarketOrder {
  return { orderId, side: queue.shelf.side, price: queue.price, quantity, priority };
}
