/**
 * Recorder: copies a recorded channel into its log, on native threads of this process.
 *
 * Writers of the channel wait for it: without a recorder the channel fills up, and then takes no more.
 */
import { ended } from './errand.ts';
import { wrongArgument } from './error.ts';
import { CODES, type Code } from './generated/errors.ts';
import { LOG, native, type Writing } from './native.ts';

/** How a log is written. */
export interface WritingOptions {
  /** Bytes of a segment, 65,536 at least; default 100 MB. */
  segmentBytes?: number | undefined;
  /** Segments that are filled with zeros ahead; default 1. */
  spares?: number | undefined;
  /** Permission bits of the files; default 0o600. */
  mode?: number | undefined;
  /** Compresses payloads of 512 bytes and more. */
  compress?: boolean | undefined;
  /** False: the log must be there; default true. */
  create?: boolean | undefined;
  /** Segments last written so many days ago are removed, whoever still wants them. */
  retentionDays?: number | undefined;
  /** The oldest segments are removed while all have more bytes, whoever still wants them. */
  retentionBytes?: number | undefined;
}

/** How a channel is recorded. */
export interface RecordOptions extends WritingOptions {
  /** Directory of the log; made when it is not there. */
  log: string;
  /** An operator's word: the channel goes on in this log, whatever log it went into before. */
  rebase?: boolean | undefined;
  /** Name for people, in `tailrace top`; at most 16 bytes are kept. */
  label?: string | undefined;
}

/** What a recorder has done, and how it is. */
export interface RecorderStatus {
  /** Newest sequence in the log's file. */
  recordedSequence: bigint;
  /** Newest sequence on disk. */
  durableSequence: bigint;
  /** Slots written and not recorded yet. */
  lag: number;
  /** 'ok'; ERR_DISK_FULL while it waits for space; else why it has stopped. */
  state: 'ok' | Code;
  /** Records since it was started, tombstones too. */
  records: number;
  /** Payload bytes of those. */
  bytes: number;
  /** Batches of those. */
  batches: number;
}

const DEFAULTS = { spares: 1, mode: 0o600 };

/** Options as the library wants them. */
export function encodeWriting(options: WritingOptions & { rebase?: boolean | undefined }, errand = 0): Writing {
  const { segmentBytes = 0, spares = DEFAULTS.spares, mode = DEFAULTS.mode } = options;
  const { retentionDays = -1, retentionBytes = 0 } = options;
  for (const [name, value] of Object.entries({ segmentBytes, spares, mode, retentionBytes })) {
    if (!Number.isSafeInteger(value) || value < 0) throw wrongArgument(`${name} is ${value}; give a whole number`);
  }
  if (!Number.isSafeInteger(retentionDays)) throw wrongArgument(`retentionDays is ${retentionDays}; give whole days`);
  const flags =
    (options.compress ? LOG.COMPRESS : 0) |
    (options.create === false ? LOG.NO_CREATE : 0) |
    (options.rebase ? LOG.REBASE : 0);
  return { segmentBytes, spares, mode, flags, retentionDays, retentionBytes, errand };
}

/** Closes the handle of a recorder that was forgotten. */
const forgotten = new FinalizationRegistry<number>((handle) => native().close(handle));

/** A recorder of one channel. */
export class Recorder {
  /** Name of the channel. */
  readonly channel: string;
  /** Directory of the log, as it was given. */
  readonly log: string;
  readonly #handle: number;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(region: number, channel: string, options: RecordOptions) {
    if (typeof options?.log !== 'string') throw wrongArgument('log is missing; give the directory of the log');
    this.channel = channel;
    this.log = options.log;
    this.#handle = native().record(region, channel, options.log, options.label ?? '', encodeWriting(options));
    forgotten.register(this, this.#handle, this);
  }

  /** What it has done, and how it is. */
  get status(): RecorderStatus {
    const seen = JSON.parse(native().recorderStatus(this.#handle));
    return {
      recordedSequence: BigInt(seen.recorded_sequence),
      durableSequence: BigInt(seen.durable_sequence),
      lag: seen.lag,
      state: seen.state === null ? 'ok' : (CODES.get(seen.state) ?? 'ERR_INTERNAL'),
      records: seen.records,
      bytes: seen.bytes,
      batches: seen.batches,
    };
  }

  /**
   * Records what was written until now, makes it durable, and ends. Rejects with why it had stopped before, or with
   * ERR_DISK_FULL: what it could not record stays in the channel for the next recorder.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    forgotten.unregister(this);
    try {
      await ended(native().recorderClose(this.#handle));
    } finally {
      native().close(this.#handle);
    }
  }

  /** The same, at once: the event loop waits for the disk. */
  [Symbol.dispose](): void {
    if (this.#closing !== undefined) return;
    this.#closing = Promise.resolve();
    forgotten.unregister(this);
    native().close(this.#handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
