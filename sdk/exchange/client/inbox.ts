/**
 * Inbox: what has come and was not read yet, for one `for await` loop.
 *
 * Items have weights, so that whoever fills it can stop at a bound: it holds no more than it is given, and `hasRoom`
 * says when to go on.
 */
import { failure } from '../../error.ts';

/** What has come and was not read yet. */
export class Inbox<T> {
  readonly #most: number;
  readonly #drained: () => void;
  #items: { item: T; weight: number }[] = [];
  /** Index of the oldest item. */
  #first = 0;
  #weight = 0;
  #end: { error: unknown } | 'done' | undefined;
  #isOverfull = false;
  #reader: { resolve: (result: IteratorResult<T, undefined>) => void; reject: (error: unknown) => void } | undefined;

  /** With `most` or more in it there is no room, until it is read down to half of that; then `drained` is called. */
  constructor(most: number, drained: () => void) {
    this.#most = most;
    this.#drained = drained;
  }

  /** Whether more may be put into it. */
  get hasRoom(): boolean {
    return !this.#isOverfull;
  }

  /** Whether it is over: nothing will come any more. */
  get isEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Puts an item into it; it goes to a waiting reader at once. */
  put(item: T, weight: number): void {
    if (this.isEnded) return;
    const reader = this.#reader;
    if (reader !== undefined) {
      this.#reader = undefined;
      reader.resolve({ done: false, value: item });
      return;
    }
    this.#items.push({ item, weight });
    this.#weight += weight;
    if (this.#weight >= this.#most) this.#isOverfull = true;
  }

  /** Forgets what nobody has read. */
  clear(): void {
    this.#items = [];
    this.#first = 0;
    this.#weight = 0;
    this.#isOverfull = false;
  }

  /** Ends it after what is in it. */
  finish(): void {
    this.#end ??= 'done';
    this.#tellEnd();
  }

  /** Ends it with an error, after what is in it; at once when `now`. */
  fail(error: unknown, options: { now?: boolean } = {}): void {
    if (options.now) this.clear();
    this.#end ??= { error };
    this.#tellEnd();
  }

  /** Throws what ended it. */
  throwIfEnded(): void {
    if (typeof this.#end === 'object') throw this.#end.error;
  }

  #tellEnd(): void {
    const reader = this.#reader;
    if (reader === undefined || this.#end === undefined) return;
    this.#reader = undefined;
    if (this.#end === 'done') reader.resolve({ done: true, value: undefined });
    else reader.reject(this.#end.error);
  }

  /** The oldest item; waits for it. */
  next(): Promise<IteratorResult<T, undefined>> {
    const entry = this.#items[this.#first];
    if (entry === undefined) {
      if (this.#reader !== undefined) return Promise.reject(failure('ERR_BUSY', 'somebody reads this already'));
      return new Promise((resolve, reject) => {
        this.#reader = { resolve, reject };
        this.#tellEnd();
      });
    }
    this.#first += 1;
    this.#weight -= entry.weight;
    if (this.#first === this.#items.length || this.#first >= 1_024) {
      this.#items.splice(0, this.#first);
      this.#first = 0;
    }
    if (this.#isOverfull && this.#weight <= this.#most / 2) {
      this.#isOverfull = false;
      this.#drained();
    }
    return Promise.resolve({ done: false, value: entry.item });
  }
}
