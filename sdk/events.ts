/**
 * Events: what a book said to one batch of commands; a view of each, and nothing is decoded before it is asked for.
 *
 * Every command makes at least one event, and its last one `isLast`: counting those tells which command an event belongs
 * to. An event holds an execution report (`execType` is not 0), a market message (`market` is not ''), or both.
 */
import {
  EVENT_LAST,
  MESSAGES,
  REASONS,
  REPORT_DONE,
  REPORT_MAKER,
  REPORT_REPEAT,
  REPORT_SELL,
} from './generated/messages.ts';

/** Bytes of an event. */
export const EVENT_BYTES = MESSAGES.Event.size;

/** Why an order was refused, or ended. */
export type Reason = keyof typeof REASONS;

const REASON_NAMES = new Map(Object.entries(REASONS).map(([name, number]) => [number, name as Reason]));

/** The name of a reason's number. */
export function reasonOf(number: number): Reason {
  return REASON_NAMES.get(number as 0)!;
}

/** Memory that events are written into; a multiple of 64 bytes. */
export class EventChunk {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array;
  readonly longs: BigUint64Array;
  readonly signed: BigInt64Array;
  /** Where the next event goes. */
  at = 0;

  constructor(events: number) {
    const buffer = new ArrayBuffer(events * EVENT_BYTES);
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.longs = new BigUint64Array(buffer);
    this.signed = new BigInt64Array(buffer);
  }
}

/** One event. */
export class BookEvent {
  readonly #chunk: EventChunk;
  readonly #at: number;

  constructor(chunk: EventChunk, at: number) {
    this.#chunk = chunk;
    this.#at = at;
  }

  /** The letter of the market message (A added, E executed, X reduced, D deleted, U replaced, H state); '' for none. */
  get market(): string {
    const letter = this.#chunk.bytes[this.#at]!;
    return letter === 0 ? '' : String.fromCharCode(letter);
  }

  /** `EXEC_*`: the kind of report; 0 for none. */
  get execType(): number {
    return this.#chunk.bytes[this.#at + 1]!;
  }

  /** Why, in a word. */
  get reason(): Reason {
    return reasonOf(this.#chunk.bytes[this.#at + 2]!);
  }

  #has(flag: number): boolean {
    return (this.#chunk.bytes[this.#at + 3]! & flag) !== 0;
  }

  /** The side of the order. */
  get side(): 'buy' | 'sell' {
    return this.#has(REPORT_SELL) ? 'sell' : 'buy';
  }

  /** Whether the order rested. */
  get isMaker(): boolean {
    return this.#has(REPORT_MAKER);
  }

  /** Whether nothing is left of the order. */
  get isDone(): boolean {
    return this.#has(REPORT_DONE);
  }

  /** Whether it was sent before. */
  get isRepeat(): boolean {
    return this.#has(REPORT_REPEAT);
  }

  /** Whether it is the last event of its command. */
  get isLast(): boolean {
    return this.#has(EVENT_LAST);
  }

  /** Whom the report is for. */
  get account(): number {
    return this.#chunk.words[(this.#at >>> 2) + 1]!;
  }

  /** Of the report, dense per account; 0 in a rejection. */
  get sequence(): bigint {
    return this.#chunk.longs[(this.#at >>> 3) + 1]!;
  }

  /** Of the order or command. */
  get clientOrderId(): bigint {
    return this.#chunk.longs[(this.#at >>> 3) + 2]!;
  }

  /** Accepted: public order id; fill: match id; replaced: previous client order id; of a market message see the wire. */
  get reference(): bigint {
    return this.#chunk.longs[(this.#at >>> 3) + 3]!;
  }

  /** Ticks. */
  get price(): bigint {
    return this.#chunk.signed[(this.#at >>> 3) + 4]!;
  }

  /** Units. */
  get quantity(): bigint {
    return this.#chunk.longs[(this.#at >>> 3) + 5]!;
  }

  /** Dense over market messages; 0: none. */
  get marketSequence(): bigint {
    return this.#chunk.longs[(this.#at >>> 3) + 6]!;
  }

  /** Public id of the order. */
  get orderId(): bigint {
    return this.#chunk.longs[(this.#at >>> 3) + 7]!;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    const { market, execType, reason, side, isMaker, isDone, isLast, account, sequence, clientOrderId } = this;
    const { reference, price, quantity, marketSequence, orderId } = this;
    const ids = { account, sequence, clientOrderId, reference, marketSequence, orderId };
    return { market, execType, reason, side, isMaker, isDone, isLast, price, quantity, ...ids };
  }
}

/** The events of one batch, in order. */
export class Events implements Iterable<BookEvent> {
  readonly #chunk: EventChunk;
  readonly #start: number;
  /** How many events. */
  readonly length: number;

  constructor(chunk: EventChunk, start: number, length: number) {
    this.#chunk = chunk;
    this.#start = start;
    this.length = length;
  }

  /** All of them, 64 bytes each: a view. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#chunk.bytes.subarray(this.#start, this.#start + this.length * EVENT_BYTES);
  }

  /** The event with this index; negative ones count from the end. */
  at(index: number): BookEvent | undefined {
    const place = index < 0 ? this.length + index : index;
    if (!Number.isInteger(place) || place < 0 || place >= this.length) return undefined;
    return new BookEvent(this.#chunk, this.#start + place * EVENT_BYTES);
  }

  *[Symbol.iterator](): IterableIterator<BookEvent> {
    const end = this.#start + this.length * EVENT_BYTES;
    for (let at = this.#start; at < end; at += EVENT_BYTES) yield new BookEvent(this.#chunk, at);
  }
}
