/**
 * Flow: an endless stream of orders like Nasdaq's, decided by a seed.
 *
 * What is imitated (shares of actions): 45–50 % adds, 42–46 % cancels, recent orders first, 6–8 % replaces, 2.5–5 %
 * marketable orders; the distance of an add from the best price of its side is a power law of exponent 1.5, truncated;
 * quotes follow a mid that walks; 1,000 to 10,000 orders rest; time comes in bursts.
 *
 * The flow keeps the book that it makes, so that every cancel names a resting order and every execution the order that
 * is first in its queue: what comes out is a book's true history, in LOBSTER's rows. A replace is two rows there, a
 * delete and an add; a marketable order is one row for each order it meets.
 *
 *     levels: a FIFO of orders for each tick      bids … best bid | gap | best ask … asks
 *     recent: orders by age, -1 where one is gone; "recent first" is a rank from the end, with the same power law
 *
 * The number of resting orders is held near TARGET by shifting adds against cancels by about 1 %. Nothing is allocated
 * after the start.
 */
import { Dice, PowerLaw } from '../crew/dice.ts';
import { EventType, emptyRecord, type OrderRecord } from './record.ts';

const SLOTS = 16_384;
const TICKS = 16_384;
const MIDDLE_TICK = TICKS / 2;
const TICK = 100;
const MIDDLE_PRICE = 5_855_000;
const TARGET = 4_000;
const OPENING_ORDERS = 1_500;
const DISTANCE_LIMIT = 1_000;
const EXPONENT = 1.5;
const LONGEST_SWEEP = 32;
const NONE = -1;

const SHARE = { replace: 0.068, marketable: 0.032, add: 0.467, addSwing: 0.011 };
const SIZES = [100, 100, 100, 100, 100, 200, 200, 300, 500, 18, 5, 40, 75, 1000];
const MARKETABLE_SIZES = [100, 100, 200, 200, 300, 300, 400, 500, 600, 1000];
const CALM = { gapNs: 20_000, leave: 0.002 };
const BURST = { gapNs: 500, leave: 0.01 };
const OPENING_NS = 34_200e9;

/** How many actions of each kind there were since the opening. */
export interface Actions {
  adds: number;
  cancels: number;
  replaces: number;
  marketable: number;
}

/** A generator of order flow. */
export class Flow {
  readonly actions: Actions = { adds: 0, cancels: 0, replaces: 0, marketable: 0 };

  readonly #dice: Dice;
  readonly #distances = new PowerLaw(EXPONENT, DISTANCE_LIMIT);
  #timeNs = OPENING_NS;
  #isBurst = false;
  #mid = MIDDLE_TICK;
  #nextId = 1;

  readonly #id = new Float64Array(SLOTS);
  readonly #size = new Int32Array(SLOTS);
  readonly #tick = new Int32Array(SLOTS);
  readonly #side = new Int8Array(SLOTS);
  readonly #older = new Int32Array(SLOTS);
  readonly #newer = new Int32Array(SLOTS);
  readonly #place = new Int32Array(SLOTS);
  readonly #free = new Int32Array(SLOTS).map((_, slot) => SLOTS - 1 - slot);
  #freeCount = SLOTS;

  readonly #first = new Int32Array(TICKS).fill(NONE);
  readonly #last = new Int32Array(TICKS).fill(NONE);
  #bestBid = 0;
  #bestAsk = TICKS - 1;

  readonly #recent = new Int32Array(SLOTS * 4);
  #recentCount = 0;

  readonly #rows: OrderRecord[];
  #rowCount = 0;
  #rowIndex = 0;

  constructor(seed: number) {
    this.#dice = new Dice(seed);
    this.#rows = Array.from({ length: LONGEST_SWEEP + OPENING_ORDERS }, emptyRecord);
    for (let order = 0; order < OPENING_ORDERS; order++) this.#add(order % 2 === 0 ? 1 : -1);
  }

  /** Orders that rest in the book. */
  get live(): number {
    return SLOTS - this.#freeCount;
  }

  next(into: OrderRecord): void {
    while (this.#rowIndex === this.#rowCount) {
      this.#rowIndex = 0;
      this.#rowCount = 0;
      this.#act();
    }
    const row = this.#rows[this.#rowIndex]!;
    this.#rowIndex += 1;
    into.timeNs = row.timeNs;
    into.orderId = row.orderId;
    into.price = row.price;
    into.size = row.size;
    into.type = row.type;
    into.side = row.side;
    into.lap = 0;
  }

  /** One action of one trader: at least one row. */
  #act(): void {
    this.#passTime();
    const shortage = Math.max(-1, Math.min(1, (TARGET - this.live) / 1000));
    const addShare = SHARE.add + SHARE.addSwing * shortage;
    const fraction = this.#dice.fraction();
    if (fraction < SHARE.replace) {
      this.actions.replaces += 1;
      this.#replace();
    } else if (fraction < SHARE.replace + SHARE.marketable) {
      this.actions.marketable += 1;
      this.#sweep();
    } else if (fraction < SHARE.replace + SHARE.marketable + addShare) {
      this.actions.adds += 1;
      this.#add(this.#dice.fraction() < 0.5 ? 1 : -1);
    } else {
      this.actions.cancels += 1;
      this.#cancel();
    }
  }

  #passTime(): void {
    const pace = this.#isBurst ? BURST : CALM;
    if (this.#dice.fraction() < pace.leave) this.#isBurst = !this.#isBurst;
    this.#timeNs += 1 + Math.floor(-Math.log(1 - this.#dice.fraction()) * pace.gapNs);
    if (this.#dice.fraction() < 0.02) {
      const pull = (this.#mid - MIDDLE_TICK) * 1e-4;
      this.#mid += this.#dice.fraction() < 0.5 - pull ? 1 : -1;
    }
  }

  #add(side: number): void {
    const pick = this.#dice.below(SIZES.length);
    this.#rest(side, this.#quote(side), SIZES[pick]!);
  }

  /** The tick of a new order that does not cross: behind the best of its side, or inside a spread towards the mid. */
  #quote(side: number): number {
    const best = side === 1 ? this.#bestBid : this.#bestAsk;
    const isEmpty = best === 0 || best === TICKS - 1;
    const gap = side === 1 ? this.#mid - this.#bestBid : this.#bestAsk - this.#mid;
    if (isEmpty) return this.#mid - side;
    if (gap > 1 && this.#bestAsk - this.#bestBid > 1 && this.#dice.fraction() < 0.25) return best + side;
    const tick = best - side * this.#distances.draw(this.#dice);
    return Math.max(1, Math.min(TICKS - 2, tick));
  }

  #rest(side: number, tick: number, size: number): void {
    if (this.#freeCount === 0) return;
    this.#freeCount -= 1;
    const slot = this.#free[this.#freeCount]!;
    this.#id[slot] = this.#nextId;
    this.#nextId += 1 + this.#dice.below(8);
    this.#size[slot] = size;
    this.#tick[slot] = tick;
    this.#side[slot] = side;
    const last = this.#last[tick]!;
    this.#older[slot] = last;
    this.#newer[slot] = NONE;
    if (last === NONE) this.#first[tick] = slot;
    else this.#newer[last] = slot;
    this.#last[tick] = slot;
    if (side === 1) this.#bestBid = Math.max(this.#bestBid, tick);
    else this.#bestAsk = Math.min(this.#bestAsk, tick);
    if (this.#recentCount > Math.min(4 * this.live + 1024, this.#recent.length - 1)) this.#closeGaps();
    this.#place[slot] = this.#recentCount;
    this.#recent[this.#recentCount] = slot;
    this.#recentCount += 1;
    this.#row(EventType.ADD, slot, size);
  }

  #remove(slot: number): void {
    const tick = this.#tick[slot]!;
    const older = this.#older[slot]!;
    const newer = this.#newer[slot]!;
    if (older === NONE) this.#first[tick] = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#last[tick] = older;
    else this.#older[newer] = older;
    this.#recent[this.#place[slot]!] = NONE;
    this.#free[this.#freeCount] = slot;
    this.#freeCount += 1;
    while (this.#bestBid > 0 && this.#first[this.#bestBid] === NONE) this.#bestBid -= 1;
    while (this.#bestAsk < TICKS - 1 && this.#first[this.#bestAsk] === NONE) this.#bestAsk += 1;
  }

  #closeGaps(): void {
    let kept = 0;
    for (let index = 0; index < this.#recentCount; index++) {
      const slot = this.#recent[index]!;
      if (slot === NONE) continue;
      this.#recent[kept] = slot;
      this.#place[slot] = kept;
      kept += 1;
    }
    this.#recentCount = kept;
  }

  /** A quote that the mid has passed, or a recent order, or any. */
  #choose(): number {
    const roll = this.#dice.fraction();
    if (roll < 0.3) {
      if (this.#bestBid > this.#mid) return this.#first[this.#bestBid]!;
      if (this.#bestAsk < this.#mid) return this.#first[this.#bestAsk]!;
    }
    const rank = roll < 0.8 ? this.#distances.draw(this.#dice) : this.#dice.below(this.#recentCount);
    for (let index = this.#recentCount - 1 - rank; index >= 0; index--) {
      if (this.#recent[index] !== NONE) return this.#recent[index]!;
    }
    return this.#recent.subarray(0, this.#recentCount).findLast((slot) => slot !== NONE) ?? NONE;
  }

  #cancel(): void {
    const slot = this.#choose();
    const size = this.#size[slot]!;
    if (size > 1 && this.#dice.fraction() < 0.06) {
      const part = 1 + this.#dice.below(size - 1);
      this.#size[slot] = size - part;
      this.#row(EventType.REDUCE, slot, part);
      return;
    }
    this.#row(EventType.DELETE, slot, size);
    this.#remove(slot);
  }

  #replace(): void {
    const slot = this.#choose();
    const side = this.#side[slot]!;
    this.#row(EventType.DELETE, slot, this.#size[slot]!);
    this.#remove(slot);
    this.#add(side);
  }

  /** A marketable order: towards the mid when a quote stands beyond it; meets the oldest orders of the best price. */
  #sweep(): void {
    let side = this.#dice.fraction() < 0.5 ? 1 : -1;
    if (this.#bestBid > this.#mid) side = 1;
    else if (this.#bestAsk < this.#mid) side = -1;
    if (this.#dice.fraction() < 0.1) {
      this.#meetHidden(side);
      return;
    }
    let left = MARKETABLE_SIZES[this.#dice.below(MARKETABLE_SIZES.length)]!;
    for (let met = 0; met < LONGEST_SWEEP && left > 0; met++) {
      const best = side === 1 ? this.#bestBid : this.#bestAsk;
      const slot = this.#first[best]!;
      if (slot === NONE) break;
      const size = Math.min(left, this.#size[slot]!);
      this.#size[slot] = this.#size[slot]! - size;
      this.#row(EventType.EXECUTE, slot, size);
      if (this.#size[slot] === 0) this.#remove(slot);
      left -= size;
    }
  }

  /** LOBSTER shows the execution of a hidden order without an id. */
  #meetHidden(side: number): void {
    const best = side === 1 ? this.#bestBid : this.#bestAsk;
    const row = this.#newRow(EventType.HIDDEN, side, best);
    row.orderId = 0;
    row.size = SIZES[this.#dice.below(SIZES.length)]!;
  }

  #row(type: number, slot: number, size: number): void {
    const row = this.#newRow(type, this.#side[slot]!, this.#tick[slot]!);
    row.orderId = this.#id[slot]!;
    row.size = size;
  }

  #newRow(type: number, side: number, tick: number): OrderRecord {
    const row = this.#rows[this.#rowCount]!;
    this.#rowCount += 1;
    row.timeNs = this.#timeNs;
    row.type = type;
    row.side = side;
    row.price = MIDDLE_PRICE + (tick - MIDDLE_TICK) * TICK;
    return row;
  }
}
