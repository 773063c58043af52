/** Stamp: the number in each message, first four bytes and last four, by which the other side proves it. */

const MIX = 0x9e3779b9;

/** Bytes `0, 1, 2, …`, to be stamped. */
export function template(bytes: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: bytes }, (_, index) => index % 251);
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
  put(message, message.length - 4, (number ^ MIX) >>> 0);
}

/** Whether this is the message with that number. */
export function isRight(message: Uint8Array, number: number, bytes: number): boolean {
  return message.length === bytes && get(message, 0) === number && get(message, bytes - 4) === (number ^ MIX) >>> 0;
}

/** Whether every byte between the stamps is right too. */
export function isWhole(message: Uint8Array, bytes: number): boolean {
  for (let index = 4; index < bytes - 4; index += 1) {
    if (message[index] !== index % 251) return false;
  }
  return true;
}

/** Checks messages one after the other, and notes the time of every stretch of them. */
export class Checker {
  readonly times: number[] = [];
  next = 0;
  #wrong = 0;
  #start = 0n;
  #from = 0n;
  readonly #bytes: number;
  readonly #total: number;
  readonly #stretch: number;

  constructor(bytes: number, total: number) {
    this.#bytes = bytes;
    this.#total = total;
    this.#stretch = Math.max(32, Math.floor(total / 64));
  }

  /** The first tenth warms up and is checked byte by byte; only what follows is timed. */
  see(message: Uint8Array): void {
    const number = this.next;
    const warm = this.#total / 10;
    const right = isRight(message, number, this.#bytes) && (number >= warm || isWhole(message, this.#bytes));
    if (!right) this.#wrong += 1;
    this.next = number + 1;
    if (this.next % this.#stretch !== 0 || number < warm) return;
    const now = process.hrtime.bigint();
    if (this.#from === 0n) this.#start = now;
    else this.times.push(Number(now - this.#from) / this.#stretch);
    this.#from = now;
  }

  get isDone(): boolean {
    return this.next >= this.#total;
  }

  /** Messages a second; throws when one was wrong. */
  end(): number {
    if (this.#wrong > 0) throw new Error(`${this.#wrong} of ${this.next} messages arrived wrong`);
    return (this.times.length * this.#stretch) / (Number(this.#from - this.#start) / 1e9);
  }
}
