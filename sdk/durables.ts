/**
 * Durables: who waits for which sequence of one producer or log to be on disk.
 *
 * Sequences become durable in order, so the library is asked for the lowest only; when that is there, so may be many
 * others. Each wait may be given up by its own signal or time-out without disturbing the rest.
 */
import { failure } from './error.ts';
import { ANSWER, HANDLE, NUMBER, native, numbers, words } from './native.ts';
import { beginWait, endWait, startTimer, type WaitOptions } from './waiting.ts';

interface Wait {
  sequence: number;
  settle(error?: unknown): void;
}

/** The waits of one handle. */
export class Durables {
  readonly #handle: number;
  /** Ascending. */
  readonly #waits: Wait[] = [];
  #isWaiting = false;

  constructor(handle: number) {
    this.#handle = handle;
  }

  /**
   * Resolves when everything up to `sequence` is on disk. Rejects with ERR_IO when the log failed, with the signal's reason,
   * or with ERR_TIMED_OUT; what was written stays written.
   */
  async wait(sequence: number, options: WaitOptions = {}): Promise<void> {
    // One that is there already waits its turn all the same: those before it are told first.
    const isDurable = this.#isDurable(sequence);
    options.signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const { signal, timeoutMs } = options;
      const leave = (error: unknown) => {
        this.#waits.splice(this.#waits.indexOf(wait), 1);
        wait.settle(error);
      };
      const abort = () => leave(signal?.reason);
      const late = `message ${sequence} was not on disk within ${timeoutMs} ms; it was written, and will be`;
      const timer = startTimer(timeoutMs, () => leave(failure('ERR_TIMED_OUT', late)));
      signal?.addEventListener('abort', abort, { once: true });
      const wait: Wait = {
        sequence,
        settle: (error) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', abort);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      let place = this.#waits.length;
      while (place > 0 && this.#waits[place - 1]!.sequence > sequence) place -= 1;
      this.#waits.splice(place, 0, wait);
      if (isDurable) this.#settle();
      else this.#sleep();
    });
  }

  #isDurable(sequence: number): boolean {
    numbers[HANDLE] = this.#handle;
    numbers[NUMBER] = sequence;
    native().isDurable();
    return words[ANSWER] === 1;
  }

  /** Lets the library tell of the lowest. */
  #sleep(): void {
    const first = this.#waits[0];
    if (first === undefined || this.#isWaiting) return;
    this.#isWaiting = true;
    try {
      beginWait(-this.#handle, first.sequence, () => {
        this.#isWaiting = false;
        this.#settle();
      });
    } catch (error) {
      this.#isWaiting = false;
      for (const wait of this.#waits.splice(0)) wait.settle(error);
    }
  }

  /** Settles those that are durable; all of them when the log has failed. */
  #settle(): void {
    try {
      while (this.#waits.length > 0 && this.#isDurable(this.#waits[0]!.sequence)) this.#waits.shift()!.settle();
    } catch (error) {
      for (const wait of this.#waits.splice(0)) wait.settle(error);
    }
    this.#sleep();
  }

  /** Ends all waits with an error, but for those that are durable by now. */
  end(error: unknown): void {
    if (this.#isWaiting) endWait(-this.#handle);
    this.#isWaiting = false;
    for (const wait of this.#waits.splice(0)) {
      let isDurable = false;
      try {
        isDurable = this.#isDurable(wait.sequence);
      } catch {
        // What it would say is what `error` says better: the handle is being closed.
      }
      wait.settle(isDurable ? undefined : error);
    }
  }
}
