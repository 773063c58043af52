/**
 * Producer: writes messages to one channel.
 *
 * `write` and `writeBatch` never wait: full is an answer. `send` waits for room.
 */

import { Durables } from './durables.ts';
import { failure, wrongArgument } from './error.ts';
import {
  ANSWER,
  COUNT,
  HANDLE,
  LEVEL,
  type Native,
  NUMBER,
  native,
  numbers,
  STAGE_BYTES,
  stage,
  TYPE,
  words,
} from './native.ts';
import { Outbox } from './outbox.ts';
import { pack } from './packing.ts';
import { forget, type WaitOptions } from './waiting.ts';

/** How a producer is opened. */
export interface ProducerOptions {
  /** Name for people, in `tailrace top`; at most 16 bytes are kept. */
  label?: string | undefined;
  /** Processor to pin the calling thread to. */
  pin?: number | undefined;
}

/** What goes with a message. */
export interface WriteOptions {
  /** The user's number for the kind of message, 0 to 4,294,967,295; default 0. */
  type?: number | undefined;
}

/** How a message is sent. */
export interface SendOptions extends WriteOptions, WaitOptions {
  /**
   * When it resolves. 'memory': the message is in the channel, the default. 'wal': a recorder has it on this machine's disk.
   * 'replicated': a quorum has it.
   */
  durability?: keyof typeof LEVEL | undefined;
}

/** Closes the handle of a producer that was forgotten. */
const forgotten = new FinalizationRegistry<number>((handle) => native().close(handle));

function typeOf(options: WriteOptions | undefined): number {
  if (options === undefined) return 0;
  const type = options.type;
  if (type === undefined) return 0;
  if (type !== type >>> 0) throw wrongArgument(`type is ${type}; give a whole number from 0 to 4,294,967,295`);
  return type;
}

function levelOf(durability: SendOptions['durability']): number {
  const level = LEVEL[durability ?? 'memory'];
  if (level !== undefined) return level;
  throw wrongArgument(`durability is ${JSON.stringify(durability)}; give 'memory', 'wal' or 'replicated'`);
}

/** Writes to one channel. */
export class Producer {
  /** Name of the channel. */
  readonly channel: string;
  readonly #native: Native;
  readonly #handle: number;
  #outbox: Outbox | undefined;
  #durables: Durables | undefined;
  #isClosed = false;

  /** @internal */
  constructor(handle: number, channel: string) {
    this.channel = channel;
    this.#native = native();
    this.#handle = handle;
    forgotten.register(this, handle, this);
  }

  /** Writes one message; false when there is no room. */
  write(payload: Uint8Array, options?: WriteOptions): boolean {
    words[TYPE] = typeOf(options);
    numbers[HANDLE] = this.#handle;
    if (payload instanceof Uint8Array && payload.length <= STAGE_BYTES) {
      stage.set(payload);
      words[COUNT] = payload.length;
      this.#native.writeStaged();
    } else {
      this.#native.write(payload);
    }
    return words[ANSWER] === 1;
  }

  /** Writes as many of the first payloads as there is room for, in one native call; how many. */
  writeBatch(payloads: readonly Uint8Array[], options?: WriteOptions): number {
    const packed = pack(payloads);
    words[TYPE] = typeOf(options);
    numbers[HANDLE] = this.#handle;
    words[COUNT] = payloads.length;
    this.#native.writePacked(packed);
    return words[ANSWER]!;
  }

  /**
   * Writes as soon as there is room, after what was sent before; resolves to the message's sequence. Do not change the
   * payload before that. Rejects with ERR_TIMED_OUT, ERR_CLOSED, or the signal's reason; then nothing was written.
   *
   * With durability 'wal' it rejects with ERR_UNSUPPORTED when the channel has no log, and with ERR_DISK_FULL or ERR_IO when
   * the log has stopped before the message was written. Once it is in the channel it will be recorded, over a full disk and
   * over the death of the recorder; only a disk that fails is an ERR_IO, whose `outcome` is 'unknown'.
   */
  async send(payload: Uint8Array, options: SendOptions = {}): Promise<bigint> {
    const level = levelOf(options.durability);
    const start = performance.now();
    this.#outbox ??= new Outbox(this.#handle, (bytes, type, level) => {
      if (level !== LEVEL.memory) this.#native.checkDurability(this.#handle, level);
      return this.write(bytes, { type }) ? this.lastSequence : undefined;
    });
    const sequence = await this.#outbox.send(payload, typeOf(options), level, options);
    if (level === LEVEL.memory) return sequence;
    const { signal, timeoutMs } = options;
    const leftMs = timeoutMs === undefined ? undefined : Math.max(0, timeoutMs - (performance.now() - start));
    this.#durables ??= new Durables(this.#handle);
    await this.#durables.wait(Number(sequence), { signal, timeoutMs: leftMs });
    return sequence;
  }

  /**
   * Sequence of the newest message that this producer wrote, or 0; on a recorded channel its log sequence, and 0 while the
   * channel has no log that would give it one.
   */
  get lastSequence(): bigint {
    numbers[HANDLE] = this.#handle;
    this.#native.lastSequence();
    return BigInt(numbers[NUMBER]!);
  }

  /** Ends the producer; what waits for room is given up with ERR_CLOSED. A second time is nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    forgotten.unregister(this);
    this.#outbox?.close(failure('ERR_CLOSED', 'the producer was closed before there was room'));
    this.#durables?.end(failure('ERR_CLOSED', 'the producer was closed before the message was on disk'));
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
