/**
 * Pipe: a consumer's batches through a kernel.
 *
 * The consumer's native call copies a batch into the kernel's memory, so it is in place when it is read. A batch is released when the next is asked for, as in `for await` over the consumer. The one over which the
 * kernel ended is not: of a queue it stays claimed and is handed out again, redelivered; of a stream it is handed out
 * first by the next call, as the kernel has left it.
 */
import type { Batch } from '../batch.ts';
import { failure } from '../error.ts';
import { Batches, type Source } from '../iteration.ts';
import type { Producer, SendOptions } from '../producer.ts';
import type { Kernel } from './kernel.ts';
import type { Results } from './results.ts';

/** Batches through a kernel; iterable once at a time. */
export class Pipe<Out = Record<string, unknown>> implements AsyncIterable<Results<Out>> {
  readonly #kernel: Kernel<Out>;
  readonly #source: Source;
  readonly #limit: number;
  readonly #signal: AbortSignal | undefined;
  #isOpen = false;

  /** @internal `source` reads into the kernel's memory. */
  constructor(kernel: Kernel<Out>, source: Source, limit: number, signal: AbortSignal | undefined) {
    this.#kernel = kernel;
    this.#source = source;
    this.#limit = Math.min(limit, kernel.capacity);
    this.#signal = signal;
  }

  /** What the kernel says of each batch, without an end; empty where it keeps nothing. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Results<Out>, void> {
    if (this.#isOpen) throw failure('ERR_BUSY', 'this pipe is iterated already');
    this.#kernel.check();
    this.#isOpen = true;
    const batches = new Batches(this.#source, this.#limit, this.#signal);
    try {
      for await (const batch of batches) yield this.#run(batch);
    } finally {
      this.#isOpen = false;
    }
  }

  #run(batch: Batch): Results<Out> {
    try {
      return this.#kernel.run(batch);
    } catch (error) {
      if (batch.isClaimed) batch.keep();
      else this.#source.putBack(batch);
      throw error;
    }
  }

  /**
   * Writes what the kernel keeps or makes to a channel, until the signal or an error ends it. A batch is released when all
   * that was kept of it is written, so what is in between when this process dies comes again, redelivered.
   */
  async into(producer: Producer, options: SendOptions = {}): Promise<never> {
    for await (const results of this) {
      const payloads = Array.from({ length: results.length }, (_, index) => results.bytes(index)!);
      const isPlain = options.durability === undefined || options.durability === 'memory';
      const written = isPlain && payloads.length > 0 ? producer.writeBatch(payloads, options) : 0;
      for (const payload of payloads.slice(written)) await producer.send(payload, options);
    }
    throw failure('ERR_CLOSED', 'the consumer was closed');
  }
}
