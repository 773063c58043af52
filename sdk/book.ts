/**
 * Book: orders in, executions out, by price and then time; the same commands give the same events in every language.
 *
 * A batch of commands is one native call, which writes events into memory that this side reads in place. All memory of
 * the book itself is taken when it is made. Bytes that are no command are ERR_ARGUMENT, and then nothing of the batch is
 * applied; what a client may get wrong is answered with an event, and a rejected command changes nothing.
 */
import { wrongArgument } from './error.ts';
import { EVENT_BYTES, EventChunk, Events } from './events.ts';
import { BOOK_HALTED, BOOK_TRADED, MESSAGES, SIDE_BUY, SIDE_SELL } from './generated/messages.ts';
import { ANSWER, AT, HANDLE, NUMBER, native, numbers, words } from './native.ts';
import { decodeAs, type Encodable, write } from './wire.ts';

/** How large a book is, and the limits it starts with. */
export interface BookOptions {
  /** Orders that can rest at once, about 130 bytes each; default 1,048,576. */
  slotCount?: number | undefined;
  /** Accounts are numbered from 0 to one less than this; default 4,096. */
  accountCount?: number | undefined;
  /** Prices that are found without a search: a power of two from 64 to 262,144; default 4,096. */
  bandTicks?: number | undefined;
  /** Resting orders an account may have; default 0, no limit. */
  openOrdersMax?: number | undefined;
  /** Quantity of one order; default 0: as much as the book can count, 2^63 / slotCount. */
  quantityMax?: bigint | number | undefined;
  /** How far from the last trade a command may trade; default 0: no collar. */
  collarTicks?: bigint | number | undefined;
  /** 16 random bytes that no client knows; they show nowhere. Default: random ones. */
  key?: Uint8Array | undefined;
}

/** Names of the messages that a book takes. */
export type CommandName =
  | 'NewOrder'
  | 'CancelOrder'
  | 'Replace'
  | 'MassCancel'
  | 'SetState'
  | 'SetLimits'
  | 'SetKilled';

/** One command, and the stamps of whoever put it into the journal: nanoseconds since 1970. */
export type Command = Encodable<CommandName> & {
  globalSequence?: bigint | number | undefined;
  timestamp?: bigint | number | undefined;
};

/** Bids or asks. */
export type Side = 'buy' | 'sell';

/** One price of one side. */
export interface Level {
  price: bigint;
  quantity: bigint;
  orderCount: number;
}

/** What a book knows of an account. */
export interface BookAccount {
  /** Later ids must be above it. */
  lastClientOrderId: bigint;
  /** Of the last report; 0: none yet. */
  reportSequence: bigint;
  openCount: number;
  isKilled: boolean;
}

const COMMAND_BYTES = MESSAGES.StampedCommand.size;
const MESSAGE_OFFSET = MESSAGES.StampedCommand.fields.message.offset;
const LEVEL_BYTES = MESSAGES.DepthLevel.size;
const SUMMARY = MESSAGES.BookSummary.fields;
const SIDES = { buy: SIDE_BUY, sell: SIDE_SELL } as const;
const COMMANDS = new Set<string>([
  'NewOrder',
  'CancelOrder',
  'Replace',
  'MassCancel',
  'SetState',
  'SetLimits',
  'SetKilled',
]);
/** Events of a chunk: 256 KiB. */
const CHUNK_EVENTS = 4_096;
const WORD_MAX = 2 ** 32 - 1;
const LONG_MAX = 2n ** 64n - 1n;

/** Closes the handle of a book that was forgotten. */
const forgotten = new FinalizationRegistry<number>((handle) => native().close(handle));

function word(value: unknown, name: string): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= WORD_MAX) return value as number;
  throw wrongArgument(`${name} is ${String(value)}; give a whole number from 0 to ${WORD_MAX}`);
}

function long(value: unknown, name: string): bigint {
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) {
    const number = BigInt(value as bigint | number);
    if (number >= 0n && number <= LONG_MAX) return number;
  }
  throw wrongArgument(`${name} is ${String(value)}; give a whole number from 0 to ${LONG_MAX}`);
}

function encodeOptions(options: BookOptions) {
  return {
    slotCount: word(options.slotCount ?? 1 << 20, 'slotCount'),
    accountCount: word(options.accountCount ?? 1 << 12, 'accountCount'),
    bandTicks: word(options.bandTicks ?? 1 << 12, 'bandTicks'),
    openOrdersMax: word(options.openOrdersMax ?? 0, 'openOrdersMax'),
    quantityMax: long(options.quantityMax ?? 0, 'quantityMax'),
    collarTicks: long(options.collarTicks ?? 0, 'collarTicks'),
  };
}

function encodeKey(key: Uint8Array | undefined): Uint8Array {
  if (key === undefined) return new Uint8Array(0);
  if (key instanceof Uint8Array && key.length === 16) return key;
  throw wrongArgument('key must be a Uint8Array of 16 bytes; without one the book takes random bytes');
}

/** Commands as a book takes them: 56 bytes each, the stamps and then the message. */
export function encodeCommands(commands: readonly Command[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(commands.length * COMMAND_BYTES);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { globalSequence = 0n, timestamp = 0n, ...message } of commands) {
    if (!COMMANDS.has(message.message)) {
      throw wrongArgument(`message is ${String(message.message)}; a book takes ${[...COMMANDS].join(', ')}`);
    }
    write(view, at, 'StampedCommand', { sequence: globalSequence, timestampNs: timestamp });
    write(view, at + MESSAGE_OFFSET, message.message, message);
    at += COMMAND_BYTES;
  }
  return bytes;
}

/** The orders of one instrument. */
export class Book {
  readonly #handle: number;
  readonly #summary = new DataView(new ArrayBuffer(MESSAGES.BookSummary.size));
  readonly #summaryBytes = new Uint8Array(this.#summary.buffer);
  #chunk = new EventChunk(0);
  #isClosed = false;

  /** A book without orders; with a snapshot, see `restore`. Throws ERR_ARGUMENT when a number is out of its range. */
  constructor(options: BookOptions = {}, snapshot?: Uint8Array) {
    const config = encodeOptions(options);
    const key = encodeKey(options.key);
    if (snapshot !== undefined && !(snapshot instanceof Uint8Array)) {
      throw wrongArgument('a snapshot must be a Uint8Array: what snapshot() of a book gave');
    }
    this.#handle =
      snapshot === undefined ? native().bookCreate(config, key) : native().bookRestore(config, key, snapshot);
    forgotten.register(this, this.#handle, this);
  }

  /**
   * The book of a snapshot, whose limits it takes; size and key are those of the options.
   *
   * Throws ERR_CORRUPT when the bytes are no snapshot, and ERR_NO_SPACE when the options are too small for it.
   */
  static restore(snapshot: Uint8Array, options: BookOptions = {}): Book {
    if (snapshot === undefined) throw wrongArgument('there is no snapshot; give what snapshot() of a book gave');
    return new Book(options, snapshot);
  }

  /**
   * Applies commands in order, and gives what the book says to them: objects, or 56 bytes each as `encodeCommands` writes
   * them. Throws ERR_ARGUMENT when one of them is no command; nothing of the batch is applied then.
   */
  apply(commands: Uint8Array | readonly Command[]): Events {
    let bytes = commands instanceof Uint8Array ? commands : this.#encoded(commands);
    if (bytes.length % COMMAND_BYTES !== 0) {
      throw wrongArgument(
        `commands have ${COMMAND_BYTES} bytes each, and these are ${bytes.length}; see encodeCommands`,
      );
    }
    let count = bytes.length / COMMAND_BYTES;
    let chunk = this.#chunk;
    if (bytes.buffer === chunk.bytes.buffer) bytes = bytes.slice();
    if (chunk.bytes.length - chunk.at < 2 * count * EVENT_BYTES) {
      chunk = new EventChunk(Math.max(CHUNK_EVENTS, 2 * count));
      this.#chunk = chunk;
    }
    let start = chunk.at;
    for (;;) {
      numbers[HANDLE] = this.#handle;
      words[AT] = chunk.at;
      native().bookApply(bytes, chunk.bytes);
      const consumed = numbers[NUMBER]!;
      chunk.at += words[ANSWER]! * EVENT_BYTES;
      // Room that is left was not needed.
      if (chunk.at < chunk.bytes.length) break;
      bytes = bytes.subarray(consumed * COMMAND_BYTES);
      count -= consumed;
      const larger = new EventChunk(2 * Math.max(CHUNK_EVENTS, (chunk.at - start) / EVENT_BYTES + count));
      larger.bytes.set(chunk.bytes.subarray(start, chunk.at));
      larger.at = chunk.at - start;
      [chunk, start, this.#chunk] = [larger, 0, larger];
    }
    return new Events(chunk, start, (chunk.at - start) / EVENT_BYTES);
  }

  #encoded(commands: unknown): Uint8Array<ArrayBuffer> {
    if (Array.isArray(commands)) return encodeCommands(commands);
    throw wrongArgument('commands must be an array of objects, or the Uint8Array that encodeCommands makes of them');
  }

  /** Asks the book; what it answers is read by offset. */
  #state(): DataView {
    numbers[HANDLE] = this.#handle;
    native().bookState(this.#summaryBytes);
    return this.#summary;
  }

  /** Equal, but for chance, exactly for books with the same orders and histories, in every language. */
  get stateHash(): bigint {
    return this.#state().getBigUint64(SUMMARY.stateHash.offset, true);
  }

  /** The highest price that somebody buys at. */
  get bestBid(): Level | undefined {
    const state = this.#state();
    const orderCount = state.getUint32(SUMMARY.bidOrderCount.offset, true);
    const price = state.getBigInt64(SUMMARY.bidPrice.offset, true);
    const quantity = state.getBigUint64(SUMMARY.bidQuantity.offset, true);
    return orderCount === 0 ? undefined : { price, quantity, orderCount };
  }

  /** The lowest price that somebody sells at. */
  get bestAsk(): Level | undefined {
    const state = this.#state();
    const orderCount = state.getUint32(SUMMARY.askOrderCount.offset, true);
    const price = state.getBigInt64(SUMMARY.askPrice.offset, true);
    const quantity = state.getBigUint64(SUMMARY.askQuantity.offset, true);
    return orderCount === 0 ? undefined : { price, quantity, orderCount };
  }

  /** Resting orders. */
  get orderCount(): number {
    return this.#state().getUint32(SUMMARY.orderCount.offset, true);
  }

  /** The price of the last trade. */
  get lastTradePrice(): bigint | undefined {
    const state = this.#state();
    if ((state.getUint32(SUMMARY.flags.offset, true) & BOOK_TRADED) === 0) return undefined;
    return state.getBigInt64(SUMMARY.lastTradePrice.offset, true);
  }

  /** Whether trading is halted. */
  get isHalted(): boolean {
    return (this.#state().getUint32(SUMMARY.flags.offset, true) & BOOK_HALTED) !== 0;
  }

  /** The global sequence of the last command. */
  get sequence(): bigint {
    return this.#state().getBigUint64(SUMMARY.sequence.offset, true);
  }

  /** The timestamp of the last command, nanoseconds since 1970. */
  get timestamp(): bigint {
    return this.#state().getBigUint64(SUMMARY.timestampNs.offset, true);
  }

  /** The sequence of the last market message. */
  get marketSequence(): bigint {
    return this.#state().getBigUint64(SUMMARY.marketSequence.offset, true);
  }

  /** The best prices of a side, best first; all of them without a number. */
  depth(side: Side, levels: number = WORD_MAX): Level[] {
    const number = SIDES[side];
    if (number === undefined) throw wrongArgument(`side is ${JSON.stringify(side)}; give 'buy' or 'sell'`);
    const bytes = native().bookDepth(this.#handle, number, word(levels, 'levels'));
    return Array.from({ length: bytes.length / LEVEL_BYTES }, (_, index) =>
      decodeAs('DepthLevel', bytes.subarray(index * LEVEL_BYTES, (index + 1) * LEVEL_BYTES)),
    );
  }

  /** What the book knows of an account. */
  account(account: number): BookAccount {
    const known = decodeAs('AccountRecord', native().bookAccount(this.#handle, word(account, 'account')));
    return { ...known, isKilled: known.isKilled !== 0 };
  }

  /** The whole state in bytes. */
  snapshot(): Uint8Array {
    return native().bookSnapshot(this.#handle);
  }

  /** Lets go of its memory. A second time is nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    forgotten.unregister(this);
    native().close(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
