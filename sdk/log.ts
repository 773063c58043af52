/**
 * Log: the writer of records on disk, and what an operator asks of a log.
 *
 * `append` hands records to the log's own thread, which writes and syncs together whatever came while the disk was busy;
 * so many may be outstanding, and the event loop never waits for a disk.
 */
import { Durables } from './durables.ts';
import { ended, followed, type Progress } from './errand.ts';
import { failure, wrongArgument } from './error.ts';
import { CODES, type Code } from './generated/errors.ts';
import { native } from './native.ts';
import { pack } from './packing.ts';
import { LogReader, type LogReaderOptions } from './reader.ts';
import { encodeWriting, type WritingOptions } from './recorder.ts';
import { forget, type WaitOptions } from './waiting.ts';

/** How a log is opened for writing. */
export interface LogOptions extends WritingOptions {
  /** Hears now and then how far the recovery of a large log has come. */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** How records are appended. */
export interface AppendOptions extends WaitOptions {
  /** The user's number for the kind of record, 0 to 4,294,967,295; default 0. */
  type?: number | undefined;
  /** When, nanoseconds since 1970; default now. */
  timestamp?: bigint | undefined;
  /** 'wal': resolves when they are on disk, the default. 'memory': when they are written, though the host may lose them. */
  durability?: 'memory' | 'wal' | undefined;
}

/** What a log holds. */
export interface LogStat {
  /** Hexadecimal. */
  id: string;
  segments: { name: string; firstSequence: bigint; bytes: number; createdMs: number; modifiedMs: number }[];
  /** The oldest sequence that is kept. */
  firstSequence: bigint;
  /** The newest that can be read. */
  lastSequence: bigint;
  /** The newest that is known to be on disk. */
  durableSequence: bigint;
  bytes: number;
  isWriterAlive: boolean;
  /** Why the writer has stopped, if it has. */
  state: 'ok' | Code;
  /** The groups and where they are. */
  cursors: { name: string; sequence: bigint; updatedMs: number }[];
  /** Bytes that the file system has left. */
  freeBytes: number;
}

/** What checking a log has found. */
export interface Verified {
  segments: number;
  records: number;
  batches: number;
  bytes: number;
  firstSequence: bigint;
  lastSequence: bigint;
  /** Bytes after the last complete batch: a torn tail, or what is being written. */
  tornBytes: number;
}

/** What repairing a log has done. */
export interface Repaired {
  /** Ranges of sequences that are lost, first and last. */
  lost: [first: bigint, last: bigint][];
  lostRecords: number;
  /** Segments that were built anew. */
  segments: number;
  /** Files that keep the damaged bytes. */
  aside: string[];
  /** Whether the positions of groups were damaged and set aside. */
  isCursorsAside: boolean;
  lastSequence: bigint;
}

/** Closes the handle of a log that was forgotten. */
const forgotten = new FinalizationRegistry<number>((handle) => native().close(handle));

/** The one writer of a log. */
export class Log {
  /** The directory, as it was given. */
  readonly path: string;
  readonly #handle: number;
  readonly #durables: Durables;
  #closing: Promise<void> | undefined;

  private constructor(path: string, handle: number) {
    this.path = path;
    this.#handle = handle;
    this.#durables = new Durables(handle);
    forgotten.register(this, handle, this);
  }

  /**
   * Opens a log for writing: mends what a crash has left, and makes it when it is not there.
   *
   * Rejects with ERR_BUSY while another writer has it, ERR_CORRUPT when records that were on disk are damaged (see
   * `Log.repair`), ERR_DISK_FULL, ERR_FOREIGN, ERR_VERSION, ERR_PERMISSION, ERR_IO.
   */
  static async open(path: string, options: LogOptions = {}): Promise<Log> {
    checkPath(path);
    const open = (errand: number) => native().logOpen(path, encodeWriting(options, errand));
    const { number } = await followed(open, options.onProgress);
    return new Log(path, number);
  }

  /** What a log holds; it may be written meanwhile. */
  static async stat(path: string): Promise<LogStat> {
    checkPath(path);
    return parse((await ended(native().logStat(path))).text) as LogStat;
  }

  /** Reads and checks every record of a log. Rejects with ERR_CORRUPT and where the damage is. */
  static async verify(path: string, options: Pick<LogOptions, 'onProgress'> = {}): Promise<Verified> {
    checkPath(path);
    const { text } = await followed((errand) => native().logVerify(path, errand), options.onProgress);
    return parse(text) as Verified;
  }

  /**
   * An operator's choice after ERR_CORRUPT: builds damaged segments anew, with nothing in the place of each lost record, and
   * keeps the old files beside them. Nobody may be writing.
   */
  static async repair(path: string, options: Pick<LogOptions, 'onProgress'> = {}): Promise<Repaired> {
    checkPath(path);
    const { text } = await followed((errand) => native().logRepair(path, errand), options.onProgress);
    return parse(text) as Repaired;
  }

  /**
   * Appends one record, or several in order; resolves to the sequence of the last one.
   *
   * Rejects with ERR_DISK_FULL (nothing was written; try again), ERR_TOO_LARGE (a record has at most 1 MiB), ERR_CLOSED,
   * and ERR_IO when the disk failed; its `outcome` is 'unknown' when it may have them all the same.
   */
  async append(payload: Uint8Array | readonly Uint8Array[], options: AppendOptions = {}): Promise<bigint> {
    const payloads = Array.isArray(payload) ? payload : [payload as Uint8Array];
    if (payloads.length === 0) throw wrongArgument('there is nothing to append; give at least one payload');
    const { type = 0, timestamp = 0n, durability = 'wal' } = options;
    if (type !== type >>> 0) throw wrongArgument(`type is ${type}; give a whole number from 0 to 4,294,967,295`);
    if (durability !== 'wal' && durability !== 'memory') {
      throw wrongArgument(`durability is ${JSON.stringify(durability)}; a log has 'memory' and 'wal'`);
    }
    options.signal?.throwIfAborted();
    this.#check();
    const isDurable = durability === 'wal';
    const last = native().logAppend(this.#handle, pack(payloads), payloads.length, type, timestamp, isDurable);
    if (isDurable) await this.#durables.wait(last, options);
    return BigInt(last);
  }

  /** Puts everything that was appended before on disk; resolves to the newest sequence that is. */
  async sync(): Promise<bigint> {
    this.#check();
    return BigInt((await ended(native().logSync(this.#handle))).number);
  }

  /** A reader of this log; it has a handle of its own, and lives on when the writer is closed. */
  read(options: LogReaderOptions = {}): LogReader {
    return LogReader.open(this.path, options);
  }

  /** The oldest sequence that is kept; of an empty log the next one. */
  get firstSequence(): bigint {
    return this.#sequence(0);
  }

  /** The newest sequence that was written, though the host may lose it. */
  get writtenSequence(): bigint {
    return this.#sequence(1);
  }

  /** The newest sequence that is on disk. */
  get durableSequence(): bigint {
    return this.#sequence(2);
  }

  #sequence(which: number): bigint {
    return BigInt(native().logSequences(this.#handle)[which] ?? 0);
  }

  /**
   * Removes the oldest segments whose records are all below a sequence and below the positions of all groups; with
   * `force`, whatever the groups still want. Resolves to how many segments that were.
   */
  async trim(below: bigint, options: { force?: boolean | undefined } = {}): Promise<number> {
    this.#check();
    if (typeof below !== 'bigint' || below < 0n) throw wrongArgument(`below is ${below}; give a sequence, a bigint`);
    return (await ended(native().logTrim(this.#handle, below, options.force ?? false))).number;
  }

  #check(): void {
    if (this.#closing !== undefined) throw failure('ERR_CLOSED', 'the log was closed');
  }

  /** Writes what waits, makes it durable, and lets go of the log. A second time is nothing. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    forgotten.unregister(this);
    try {
      await ended(native().logClose(this.#handle));
    } finally {
      this.#durables.end(failure('ERR_CLOSED', 'the log was closed'));
      forget(this.#handle);
      native().close(this.#handle);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function checkPath(path: unknown): void {
  if (typeof path !== 'string') throw wrongArgument(`path is a ${typeof path}; give the name of a directory`);
}

/** The library's JSON with the names of this language: sequences are bigints, times milliseconds. */
function parse(text: string): unknown {
  return JSON.parse(text, (key, value: unknown) => {
    if (key === 'lost') return (value as number[][]).map((range) => range.map(BigInt));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, field]) => translated(name, field)));
  });
}

function translated(name: string, field: unknown): [string, unknown] {
  const camel = name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  if (camel === 'sequence' || camel.endsWith('Sequence')) return [camel, BigInt(field as number)];
  if (camel.endsWith('Ns')) return [`${camel.slice(0, -2)}Ms`, (field as number) / 1e6];
  if (camel === 'state') return [camel, field === null ? 'ok' : (CODES.get(field as number) ?? 'ERR_INTERNAL')];
  return [camel, field];
}
