/**
 * Reader: reads a log, in any process, while it is written or when its writer has gone.
 *
 * It reads as a consumer does (`poll`, `for await`), and never takes anything away; `for await` follows the end.
 */
import type { Batch } from './batch.ts';
import { BATCH_LIMIT, Consumer, type ConsumerOptions } from './consumer.ts';
import { wrongArgument } from './error.ts';
import type { Batches, Singles } from './iteration.ts';
import type { Kernel } from './kernel/kernel.ts';
import type { Pipe } from './kernel/pipe.ts';
import type { Message } from './message.ts';
import { DURABLE_ONLY, native } from './native.ts';
import { encodeStart, type Start } from './start.ts';
import type { WaitOptions } from './waiting.ts';

/** How a log is read. */
export interface LogReaderOptions extends Pick<ConsumerOptions, 'signal' | 'limit' | 'reuse'> {
  /** Where to begin; default 'oldest'. */
  from?: Start | undefined;
  /** Only what is on disk for certain. */
  durableOnly?: boolean | undefined;
}

/** Reads one log. */
export class LogReader implements AsyncIterable<Batch> {
  /** The directory, as it was given. */
  readonly path: string;
  readonly #consumer: Consumer;

  private constructor(path: string, handle: number, options: LogReaderOptions) {
    this.path = path;
    this.#consumer = new Consumer(handle, path, false, options);
  }

  /**
   * Opens a reader.
   *
   * Throws ERR_NOT_FOUND, ERR_GONE with `oldestSequence` when `from` is older than what is kept, ERR_CORRUPT, ERR_FOREIGN,
   * ERR_VERSION, ERR_PERMISSION, ERR_IO.
   */
  static open(path: string, options: LogReaderOptions = {}): LogReader {
    if (typeof path !== 'string') throw wrongArgument(`path is a ${typeof path}; give the name of a directory`);
    const [from, value] = encodeStart(options.from ?? 'oldest');
    return new LogReader(path, native().logReader(path, from, value, options.durableOnly ? DURABLE_ONLY : 0), options);
  }

  /** Copies up to `limit` records; an empty batch when there are none yet. Throws ERR_CORRUPT at damage. */
  poll(limit?: number): Batch;
  /** Calls `call` with each of up to `limit` records; how many. */
  poll(call: (message: Message) => void, limit?: number): number;
  poll(first?: number | ((message: Message) => void), second?: number): Batch | number {
    return typeof first === 'function' ? this.#consumer.poll(first, second) : this.#consumer.poll(first ?? BATCH_LIMIT);
  }

  /** Waits until there is something to poll (true), or the time is up (false). */
  wait(options: WaitOptions = {}): Promise<boolean> {
    return this.#consumer.wait(options);
  }

  /** Batches, without an end. */
  [Symbol.asyncIterator](): Batches {
    return this.#consumer[Symbol.asyncIterator]();
  }

  /** Records, without an end. */
  messages(): Singles {
    return this.#consumer.messages();
  }

  /** Batches through a kernel, in the kernel's own memory. */
  pipe<Out>(kernel: Kernel<Out>): Pipe<Out> {
    return this.#consumer.pipe(kernel);
  }

  /** Goes on somewhere else; the sequence that is next then. Throws ERR_GONE with `oldestSequence`. */
  seek(from: Start): bigint {
    return this.#consumer.seek(from);
  }

  /** Next sequence to read. */
  get position(): bigint {
    return this.#consumer.position;
  }

  /** Records that are there and were not read. */
  get depth(): number {
    return this.#consumer.depth;
  }

  /** Ends the reader; a wait ends with ERR_CLOSED. A second time is nothing. */
  close(): void {
    this.#consumer.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
