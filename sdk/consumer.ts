/**
 * Consumer: reads one channel, as one of the consumers of a queue or as a subscriber of a stream.
 *
 * `poll` and `take` never wait; `for await` does, and each of its batches is released when the next is asked for, or the
 * loop is left. From a queue it takes, so a process that dies over a batch loses none of it; a stream has nothing to
 * take, its reader only has a cursor.
 *
 * Records are copied once, into a chunk of memory that batches are cut from until it is used up; then it is left to them
 * and replaced. A chunk of 256 KiB costs 4 ns for each message of 64 B; fresh memory for each batch 8, a copy of each
 * batch out of one buffer 7. With `reuse` there is one chunk, and a batch is valid until the next call.
 */
import { Batch, type Claimant } from './batch.ts';
import { ended } from './errand.ts';
import { failure, wrongArgument } from './error.ts';
import { NUMBERS } from './generated/errors.ts';
import { Batches, Singles, type Source } from './iteration.ts';
import type { Kernel } from './kernel/kernel.ts';
import { Pipe } from './kernel/pipe.ts';
import { Chunk, type Message } from './message.ts';
import { ANSWER, AT, BYTES, COUNT, HANDLE, type LEVEL, type Native, NUMBER, native, numbers, words } from './native.ts';
import { encodeStart, type Start } from './start.ts';
import { forget, Wait, type WaitOptions } from './waiting.ts';

/** How a consumer is opened. */
export interface ConsumerOptions {
  /** Where a subscriber of a stream begins; default 'latest'. A queue has no such choice. */
  from?: Start | undefined;
  /** Holds the stream's writers back when this subscriber is slow, on any stream. */
  gating?: boolean | undefined;
  /** Of a recorded channel, what it may see: what is in the channel (the default), or only what is on disk. */
  level?: keyof typeof LEVEL | undefined;
  /** Of a recorded channel: directory of the log; default the one that its recorder names. */
  log?: string | undefined;
  /** Of a recorded channel: every message goes to one of the consumers with this name, and `commit` keeps their place. */
  group?: string | undefined;
  /** Name for people, in `tailrace top`; at most 16 bytes are kept. */
  label?: string | undefined;
  /** Processor to pin the calling thread to. */
  pin?: number | undefined;
  /** Ends every wait of this consumer: `for await` throws the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Most messages of a batch of `for await`; default 256. */
  limit?: number | undefined;
  /** One buffer for all batches: no memory is allocated, and a batch is valid until the next call of the consumer. */
  reuse?: boolean | undefined;
}

/** Most messages of a batch. */
export const BATCH_LIMIT = 256;

/** How long a thread of Node's pool waits for the disk at first, and at most. */
const COMMIT_WAIT_MS = 100;
const COMMIT_WAIT_MAX_MS = 1_000;
/** The largest count of the desk. */
const COUNT_MAX = 2 ** 31 - 1;
const CHUNK_BYTES = 256 * 1024;
/** A fresh chunk has room for the expected batch up to this; a larger message gets one of its own size. */
const EXPECTED_BYTES_MAX = 1024 * 1024;
/** What a record is expected to need before the first one was seen: 64 bytes of payload. */
const RECORD_BYTES = 104;
const TOO_LARGE = NUMBERS.ERR_TOO_LARGE;

/** Closes the handle of a consumer that was forgotten. */
const forgotten = new FinalizationRegistry<number>((handle) => native().close(handle));

/** Reads one channel. */
export class Consumer implements AsyncIterable<Batch> {
  /** Name of the channel. */
  readonly channel: string;
  /** Whether messages can be taken: it is a queue, of a region with recovery. */
  readonly #canTake: boolean;
  readonly #native: Native;
  readonly #handle: number;
  readonly #signal: AbortSignal | undefined;
  readonly #limit: number;
  readonly #isReusing: boolean;
  readonly #wait: Wait;
  readonly #claimant: Claimant = {
    hasClaim: (batch) => this.#claim === batch,
    release: (batch, count) => this.#release(batch, count),
    keep: (batch) => this.#keep(batch),
  };
  readonly #source: Source = {
    read: (limit) => (this.#canTake ? this.take(limit) : this.#poll(limit)),
    wait: () => this.wait(),
    putBack: (batch) => {
      if (batch.length > 0) this.#leftover = batch;
    },
  };
  #chunk = new Chunk(0);
  /** Memory of a kernel, while a batch is read into it. */
  #stage: Chunk | undefined;
  #recordBytes = RECORD_BYTES;
  #claim: Batch | undefined;
  #claimed = 0;
  #leftover: Batch | undefined;
  #isClosed = false;

  /** @internal */
  constructor(handle: number, channel: string, canTake: boolean, options: ConsumerOptions) {
    this.channel = channel;
    this.#canTake = canTake;
    this.#native = native();
    this.#handle = handle;
    this.#signal = options.signal;
    this.#limit = options.limit ?? BATCH_LIMIT;
    this.#isReusing = options.reuse ?? false;
    this.#wait = new Wait(handle);
    forgotten.register(this, handle, this);
  }

  /** Copies up to `limit` messages out of the channel and releases them; an empty batch when there are none. */
  poll(limit?: number): Batch;
  /** Calls `call` with each of up to `limit` messages; how many. */
  poll(call: (message: Message) => void, limit?: number): number;
  poll(first?: number | ((message: Message) => void), second?: number): Batch | number {
    if (typeof first !== 'function') return this.#poll(first ?? BATCH_LIMIT);
    const batch = this.#poll(second ?? BATCH_LIMIT);
    batch.forEach(first);
    return batch.length;
  }

  #poll(limit: number): Batch {
    const leftover = this.#leftover;
    if (leftover !== undefined) {
      this.#leftover = undefined;
      return leftover;
    }
    const count = this.#fill(limit, this.#native.poll);
    return this.#cut(count, undefined);
  }

  /**
   * Claims up to `limit` messages of a queue, and hands out copies. They stay claimed until the batch is released, or the
   * scope of `using batch = …` is left.
   */
  take(limit: number = BATCH_LIMIT): Batch {
    const count = this.#fill(limit, this.#native.take);
    const batch = this.#cut(count, this.#claimant);
    if (count > 0) {
      this.#claim = batch;
      this.#claimed = count;
    }
    return batch;
  }

  /** Fills the chunk with records, whatever room that takes; how many. */
  #fill(limit: number, call: (buffer: Uint8Array) => void): number {
    if (!(limit >= 1)) throw wrongArgument(`limit is ${limit}; give a number of messages, at least 1`);
    if (this.#claim !== undefined) throw failure('ERR_BUSY', 'a batch of this consumer is claimed: release or keep it');
    let expected = Math.min(limit * this.#recordBytes, EXPECTED_BYTES_MAX);
    for (let stage = this.#stage; ; stage = undefined) {
      const chunk =
        stage !== undefined || this.#chunk.room < expected || this.#isReusing
          ? this.#replace(expected, stage)
          : this.#chunk;
      numbers[HANDLE] = this.#handle;
      words[COUNT] = Math.min(limit, COUNT_MAX);
      words[AT] = chunk.at;
      call(chunk.bytes);
      const answer = words[ANSWER]!;
      if (answer !== TOO_LARGE) return answer;
      expected = words[BYTES]!;
    }
  }

  /** A chunk with room for `bytes`; the stage has what room it has. */
  #replace(bytes: number, stage: Chunk | undefined): Chunk {
    if (stage !== undefined) {
      this.#chunk = stage;
      stage.at = stage.start;
    } else if (this.#isReusing && this.#chunk !== this.#stage && this.#chunk.bytes.length >= bytes) {
      this.#chunk.at = 0;
    } else {
      this.#chunk = new Chunk(Math.max(CHUNK_BYTES, bytes));
    }
    return this.#chunk;
  }

  /** Cuts what the last call filled off the chunk. */
  #cut(count: number, claimant: Claimant | undefined): Batch {
    const chunk = this.#chunk;
    const start = chunk.at;
    if (count > 0) {
      const bytes = words[BYTES]!;
      chunk.at = start + bytes;
      const mean = bytes / count;
      this.#recordBytes = mean > this.#recordBytes ? mean : this.#recordBytes + (mean - this.#recordBytes) / 16;
    }
    return new Batch(chunk, start, chunk.at, count, numbers[NUMBER]!, claimant);
  }

  /** Waits until there is something to poll (true), or the time is up (false). Another consumer may be faster. */
  wait(options: WaitOptions = {}): Promise<boolean> {
    if (this.#isClosed) return Promise.reject(closed());
    if (this.#leftover !== undefined) return Promise.resolve(true);
    const signal = joined(options.signal, this.#signal);
    return this.#wait.begin(1, { signal, timeoutMs: options.timeoutMs });
  }

  /** Batches, without an end: each is released when the next is asked for, or the loop is left. */
  [Symbol.asyncIterator](): Batches {
    return new Batches(this.#source, this.#limit, this.#signal);
  }

  /** Messages, without an end. Of a loop that is left, those that were handed out are released, the others kept. */
  messages(): Singles {
    return new Singles(this.#source, new Batches(this.#source, this.#limit, this.#signal));
  }

  /**
   * This consumer's batches through a kernel, in the kernel's own memory: `for await (const kept of consumer.pipe(kernel))`,
   * or `consumer.pipe(kernel).into(producer)`. A batch that ends the kernel is not lost: the next call hands it out.
   */
  pipe<Out>(kernel: Kernel<Out>): Pipe<Out> {
    const read = (limit: number) => this.#readInto(kernel.chunk, limit);
    return new Pipe(kernel, { ...this.#source, read }, this.#limit, this.#signal);
  }

  #readInto(stage: Chunk, limit: number): Batch {
    const own = this.#chunk;
    this.#stage = stage;
    try {
      return this.#source.read(limit);
    } finally {
      this.#stage = undefined;
      this.#chunk = own;
    }
  }

  /** Positions that were written and not read. */
  get depth(): number {
    numbers[HANDLE] = this.#handle;
    this.#native.depth();
    return numbers[NUMBER]! + (this.#leftover?.length ?? 0);
  }

  /** Next position to read; of a recorded channel the next log sequence, 0 while it has no number. */
  get position(): bigint {
    numbers[HANDLE] = this.#handle;
    this.#native.position();
    return BigInt(numbers[NUMBER]!);
  }

  /** Goes on somewhere else, on a recorded channel; the sequence that is next then. Throws ERR_GONE with `oldestSequence`. */
  seek(from: Start): bigint {
    this.#leftover = undefined;
    return BigInt(this.#native.seek(this.#handle, ...encodeStart(from)));
  }

  /**
   * Makes the position of this consumer's group durable: everything below it was released. Resolves to it, the lowest
   * sequence that is not finished, when it is on disk. Rejects with ERR_TIMED_OUT when the records below it were not on
   * disk in time (a recorder that is gone, a full disk), with ERR_CLOSED when the consumer is closed before, and with
   * ERR_IO; then nothing was stored.
   */
  async commit(options: Pick<WaitOptions, 'timeoutMs'> = {}): Promise<bigint> {
    const { timeoutMs = Number.POSITIVE_INFINITY } = options;
    if (!(timeoutMs >= 0)) throw wrongArgument(`timeoutMs is ${timeoutMs}; give milliseconds, or nothing`);
    const end = performance.now() + timeoutMs;
    // A thread of Node's pool waits, for which others wait, a worker's end and the process's too: so never for long. Each
    // time longer, or a slow disk would always be behind a position that moves.
    for (let waitMs = COMMIT_WAIT_MS; ; waitMs = Math.min(2 * waitMs, COMMIT_WAIT_MAX_MS)) {
      if (this.#isClosed) throw closed();
      const leftMs = Math.max(0, end - performance.now());
      try {
        return BigInt((await ended(this.#native.commit(this.#handle, Math.min(waitMs, leftMs)))).number);
      } catch (error) {
        if ((error as { code?: unknown }).code !== 'ERR_TIMED_OUT' || leftMs <= waitMs) throw error;
      }
    }
  }

  /** Positions that this subscriber has lost, because it was slower than a stream's writers. */
  get lost(): number {
    numbers[HANDLE] = this.#handle;
    this.#native.lost();
    return numbers[NUMBER]!;
  }

  #release(batch: Batch, count: number | undefined): number {
    if (this.#isClosed || this.#claim !== batch) return 0;
    if (count !== undefined && !(count >= 0)) throw wrongArgument(`count is ${count}; give a number of messages`);
    numbers[HANDLE] = this.#handle;
    words[COUNT] = count === undefined ? -1 : Math.min(count, COUNT_MAX);
    this.#native.release();
    const released = numbers[NUMBER]!;
    this.#claimed -= released;
    if (this.#claimed === 0) this.#claim = undefined;
    return released;
  }

  #keep(batch: Batch): number {
    if (this.#isClosed || this.#claim !== batch) return 0;
    numbers[HANDLE] = this.#handle;
    this.#native.keep();
    this.#claim = undefined;
    return numbers[NUMBER]!;
  }

  /** Ends the consumer: a wait ends with ERR_CLOSED, what is claimed goes to another. A second time is nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#claim = undefined;
    forgotten.unregister(this);
    this.#wait.end(closed());
    forget(this.#handle);
    this.#native.close(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function closed(): Error {
  return failure('ERR_CLOSED', 'the consumer was closed');
}

function joined(one: AbortSignal | undefined, other: AbortSignal | undefined): AbortSignal | undefined {
  return one && other ? AbortSignal.any([one, other]) : (one ?? other);
}
