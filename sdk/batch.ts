/**
 * Batch: the messages of one `poll` or `take`.
 *
 * What was polled is released already. What was taken stays claimed until `release`, `keep`, or the end of the scope
 * (`using batch = consumer.take()`): a process that dies before that loses nothing, for another consumer gets it again.
 */
import { type Chunk, Message, nextRecord } from './message.ts';

/** Who can end a claim. */
export interface Claimant {
  /** Whether a batch's claim is open. */
  hasClaim(batch: Batch): boolean;
  /** Releases the first `count` messages of a batch's claim, or all. */
  release(batch: Batch, count: number | undefined): number;
  /** Ends a batch's claim; the rest is handed out first, next time. */
  keep(batch: Batch): number;
}

/** Messages, in order. */
export class Batch implements Iterable<Message> {
  readonly #chunk: Chunk;
  readonly #start: number;
  readonly #end: number;
  readonly #claimant: Claimant | undefined;
  /** How many messages. */
  readonly length: number;
  /** Positions that were lost before the first message; streams only. */
  readonly lost: number;

  constructor(chunk: Chunk, start: number, end: number, length: number, lost: number, claimant?: Claimant) {
    this.#chunk = chunk;
    this.#start = start;
    this.#end = end;
    this.#claimant = claimant;
    this.length = length;
    this.lost = lost;
  }

  [Symbol.iterator](): Messages {
    return new Messages(this.#chunk, this.#start, this.#end);
  }

  /** The message with this index; negative ones count from the end. */
  at(index: number): Message | undefined {
    let left = index < 0 ? this.length + index : index;
    if (!(left >= 0 && left < this.length)) return undefined;
    let at = this.#start;
    for (; left >= 1; left -= 1) at = nextRecord(this.#chunk, at);
    return new Message(this.#chunk, at);
  }

  /** Calls `call` with each message. */
  forEach(call: (message: Message) => void): void {
    const chunk = this.#chunk;
    const end = this.#end;
    for (let at = this.#start; at < end; ) {
      const message = new Message(chunk, at);
      at = nextRecord(chunk, at);
      call(message);
    }
  }

  /** The messages from `index` on, as a batch of its own. */
  after(index: number): Batch {
    let at = this.#start;
    for (let left = index; left > 0; left -= 1) at = nextRecord(this.#chunk, at);
    return new Batch(this.#chunk, at, this.#end, this.length - index, 0);
  }

  /** @internal Where its records lie. */
  get place(): { chunk: Chunk; start: number; end: number } {
    return { chunk: this.#chunk, start: this.#start, end: this.#end };
  }

  /** Whether messages of it are claimed. */
  get isClaimed(): boolean {
    return this.#claimant?.hasClaim(this) ?? false;
  }

  /**
   * Releases the first `count` messages that are still claimed, or all of them; how many that were. Nothing is left to
   * release in a batch that was polled, or whose consumer was closed.
   */
  release(count?: number): number {
    return this.#claimant === undefined ? 0 : this.#claimant.release(this, count);
  }

  /** Ends the claim; what is not released is handed out first by the next take or poll, as redelivered. How many. */
  keep(): number {
    return this.#claimant === undefined ? 0 : this.#claimant.keep(this);
  }

  /** Releases what is still claimed. */
  [Symbol.dispose](): void {
    this.release();
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return { length: this.length, lost: this.lost, messages: [...this] };
  }
}

/** Goes over the messages of a batch; a generator costs 10 ns more for each. */
class Messages implements IterableIterator<Message> {
  readonly #chunk: Chunk;
  readonly #end: number;
  #at: number;

  constructor(chunk: Chunk, start: number, end: number) {
    this.#chunk = chunk;
    this.#at = start;
    this.#end = end;
  }

  next(): IteratorResult<Message, undefined> {
    const at = this.#at;
    if (at >= this.#end) return { done: true, value: undefined };
    const chunk = this.#chunk;
    this.#at = nextRecord(chunk, at);
    return { done: false, value: new Message(chunk, at) };
  }

  [Symbol.iterator](): this {
    return this;
  }
}
