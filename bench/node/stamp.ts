/**
 * Stamp: what a message looks like in every language of this bench, so that each side can prove what the other wrote.
 *
 * Words of eight bytes, little-endian: the first is the message's number (below 2^32), the last that number mixed with a
 * constant, and those between are their own index.
 */

const MIX_LOW = 0x7f4a7c15;
const MIX = 0x9e3779b97f4a7c15n;

/** A message with all its bytes, stamped 0. */
export function template(bytes: number): Uint8Array<ArrayBuffer> {
  const words = BigUint64Array.from({ length: bytes / 8 }, (_, index) => BigInt(index));
  words[words.length - 1] = MIX;
  return new Uint8Array(words.buffer);
}

function put(message: Uint8Array, at: number, value: number): void {
  message[at] = value;
  message[at + 1] = value >>> 8;
  message[at + 2] = value >>> 16;
  message[at + 3] = value >>> 24;
}

function get(message: Uint8Array, at: number): number {
  return (message[at]! | (message[at + 1]! << 8) | (message[at + 2]! << 16) | (message[at + 3]! << 24)) >>> 0;
}

/** Gives a message its number. */
export function stamp(message: Uint8Array, number: number): void {
  put(message, 0, number);
  put(message, message.length - 8, (number ^ MIX_LOW) >>> 0);
}

/** Whether this is the message with that number. */
export function isRight(message: Uint8Array, number: number, bytes: number): boolean {
  const low = (number ^ MIX_LOW) >>> 0;
  return message.length === bytes && get(message, 0) === number && get(message, bytes - 8) === low;
}

/** Whether every byte is right. */
export function isWhole(message: Uint8Array, number: number, bytes: number): boolean {
  const right = template(bytes);
  stamp(right, number);
  return Buffer.compare(message, right) === 0;
}

/** Checks messages one after the other, and notes the time of every stretch of them. */
export class Checker {
  readonly times: number[] = [];
  next = 0;
  #wrong = 0;
  #start = 0n;
  #from = 0n;
  /** Messages seen when the clock was read, the first and the last time. */
  #first = 0;
  #mark = 0;
  readonly #bytes: number;
  readonly #total: number;
  readonly #stretch: number;

  constructor(bytes: number, total: number, stretch = Math.max(32, Math.floor(total / 64))) {
    this.#bytes = bytes;
    this.#total = total;
    this.#stretch = stretch;
  }

  /** The first tenth warms up and is checked byte by byte; only what follows is timed. */
  get isWarming(): boolean {
    return this.next < this.#total / 10;
  }

  see(message: Uint8Array): void {
    const number = this.next;
    this.note(isRight(message, number, this.#bytes) && (!this.isWarming || isWhole(message, number, this.#bytes)));
  }

  /** Takes note of the next messages, which somebody else looked at. */
  note(isRight: boolean, count = 1): void {
    const isTimed = !this.isWarming;
    if (!isRight) this.#wrong += count;
    this.next += count;
    if (this.next < this.#mark + this.#stretch || !isTimed) return;
    const now = process.hrtime.bigint();
    if (this.#from === 0n) [this.#start, this.#first] = [now, this.next];
    else this.times.push(Number(now - this.#from) / (this.next - this.#mark));
    [this.#from, this.#mark] = [now, this.next];
  }

  get isDone(): boolean {
    return this.next >= this.#total;
  }

  /** Messages a second; throws when one was wrong. */
  end(): number {
    if (this.#wrong > 0) throw new Error(`${this.#wrong} of ${this.next} messages arrived wrong`);
    return (this.#mark - this.#first) / (Number(this.#from - this.#start) / 1e9);
  }
}
