/**
 * Outbox: the messages that a producer is to send as soon as there is room, in the order of the calls.
 *
 * Only the first one waits for room, for as many slots as it needs; the others wait for it. Each may be given up by its
 * own signal or its own time-out without disturbing the rest.
 */
import { failure } from './error.ts';
import { SLOT_PAYLOAD } from './generated/layout.ts';
import { beginWait, endWait, startTimer, type WaitOptions } from './waiting.ts';

/** Writes one message: its sequence, or undefined when there is no room. */
export type Write = (payload: Uint8Array, type: number, level: number) => bigint | undefined;

interface Parcel {
  payload: Uint8Array;
  type: number;
  level: number;
  settle(error: unknown, sequence?: bigint): void;
}

/** What waits for room. */
export class Outbox {
  readonly #handle: number;
  readonly #write: Write;
  readonly #parcels: Parcel[] = [];
  #isWaiting = false;

  constructor(handle: number, write: Write) {
    this.#handle = handle;
    this.#write = write;
  }

  /** Sends after what is here already. */
  async send(payload: Uint8Array, type: number, level: number, options: WaitOptions): Promise<bigint> {
    options.signal?.throwIfAborted();
    if (this.#parcels.length === 0) {
      const sequence = this.#write(payload, type, level);
      if (sequence !== undefined) return sequence;
    }
    return new Promise((resolve, reject) => {
      const parcel = this.#parcel({ payload, type, level }, options, (error, sequence) => {
        if (sequence === undefined) reject(error);
        else resolve(sequence);
      });
      this.#parcels.push(parcel);
      this.#pump();
    });
  }

  #parcel(content: Omit<Parcel, 'settle'>, options: WaitOptions, settled: Parcel['settle']): Parcel {
    const { signal, timeoutMs } = options;
    const abort = () => this.#giveUp(parcel, signal?.reason);
    const late = () =>
      this.#giveUp(parcel, failure('ERR_TIMED_OUT', `no room within ${timeoutMs} ms; nothing was written`));
    const timer = startTimer(timeoutMs, late);
    signal?.addEventListener('abort', abort, { once: true });
    const settle: Parcel['settle'] = (error, sequence) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      settled(error, sequence);
    };
    const parcel: Parcel = { ...content, settle };
    return parcel;
  }

  #giveUp(parcel: Parcel, error: unknown): void {
    const index = this.#parcels.indexOf(parcel);
    this.#parcels.splice(index, 1);
    parcel.settle(error);
    if (index === 0) {
      this.#rest();
      this.#pump();
    }
  }

  /** Writes what fits, and waits for room for the next. */
  #pump(): void {
    while (!this.#isWaiting && this.#parcels.length > 0) {
      const parcel = this.#parcels[0]!;
      try {
        const sequence = this.#write(parcel.payload, parcel.type, parcel.level);
        if (sequence === undefined) {
          const slots = Math.max(1, Math.ceil(parcel.payload.length / SLOT_PAYLOAD));
          beginWait(this.#handle, slots, () => {
            this.#isWaiting = false;
            this.#pump();
          });
          this.#isWaiting = true;
          return;
        }
        this.#parcels.shift();
        parcel.settle(undefined, sequence);
      } catch (error) {
        this.#parcels.shift();
        parcel.settle(error);
      }
    }
  }

  #rest(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    endWait(this.#handle);
  }

  /** Gives up everything. */
  close(error: unknown): void {
    this.#rest();
    for (const parcel of this.#parcels.splice(0)) parcel.settle(error);
  }
}
