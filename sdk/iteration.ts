/**
 * Iteration: `for await` over a consumer, in batches or message by message.
 *
 * A loop that always finds something never leaves the microtasks, and timers, signals and sockets would starve behind
 * it; so now and then, when it has run for 5 ms, it lets the event loop turn.
 */
import { setImmediate } from 'node:timers/promises';
import type { Batch } from './batch.ts';
import type { Message } from './message.ts';

const TURN_MS = 5;

/** What is iterated. */
export interface Source {
  /** Takes or polls, whatever the channel has. */
  read(limit: number): Batch;
  wait(): Promise<boolean>;
  /** Hands this batch out first, next time. */
  putBack(batch: Batch): void;
}

/** The batches of a consumer. */
export class Batches implements AsyncIterableIterator<Batch, undefined> {
  readonly #source: Source;
  readonly #limit: number;
  readonly #signal: AbortSignal | undefined;
  #batch: Batch | undefined;
  #turned = 0;
  #isDone = false;

  constructor(source: Source, limit: number, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#limit = limit;
    this.#signal = signal;
  }

  /** The next batch; waits for it, after the one before was released. */
  async next(): Promise<IteratorResult<Batch, undefined>> {
    this.#release();
    if (performance.now() - this.#turned > TURN_MS) await this.#turn();
    while (!this.#isDone) {
      this.#signal?.throwIfAborted();
      const batch = this.#source.read(this.#limit);
      if (batch.length > 0) {
        this.#batch = batch;
        return { done: false, value: batch };
      }
      await this.#source.wait();
      this.#turned = performance.now();
    }
    return { done: true, value: undefined };
  }

  async #turn(): Promise<void> {
    if (this.#turned > 0) await setImmediate();
    this.#turned = performance.now();
  }

  #release(): void {
    const batch = this.#batch;
    this.#batch = undefined;
    batch?.release();
  }

  /** The loop is left: releases the batch. */
  async return(): Promise<IteratorResult<Batch, undefined>> {
    this.#isDone = true;
    this.#release();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** The messages of a consumer. */
export class Singles implements AsyncIterableIterator<Message, undefined> {
  readonly #source: Source;
  readonly #batches: Batches;
  #batch: Batch | undefined;
  #messages: Iterator<Message> | undefined;
  #handedOut = 0;

  constructor(source: Source, batches: Batches) {
    this.#source = source;
    this.#batches = batches;
  }

  /** The next message; waits for it. */
  async next(): Promise<IteratorResult<Message, undefined>> {
    for (;;) {
      const message = this.#messages?.next();
      if (message && !message.done) {
        this.#handedOut += 1;
        return message;
      }
      const batch = await this.#batches.next();
      if (batch.done) return batch;
      this.#batch = batch.value;
      this.#messages = batch.value[Symbol.iterator]();
      this.#handedOut = 0;
    }
  }

  /** The loop is left: nobody has seen the rest of the batch, so it is kept for the next call of the consumer. */
  async return(): Promise<IteratorResult<Message, undefined>> {
    const batch = this.#batch;
    this.#batch = undefined;
    this.#messages = undefined;
    if (batch?.isClaimed) {
      batch.release(this.#handedOut);
      batch.keep();
    } else if (batch) {
      this.#source.putBack(batch.after(this.#handedOut));
    }
    await this.#batches.return();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
