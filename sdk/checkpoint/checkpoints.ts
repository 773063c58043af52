/**
 * Checkpoints: states of an application, each with the place in its input that it stands for.
 *
 * A checkpoint is one LMDB transaction, awaited until it is on disk; two are kept of each state, so that one that rots
 * does not cost everything. Recovering is the newest one whose checksum holds, and then every record of the log after
 * it, in order, exactly once: the state says which record was its last, and the log's numbers have no gaps.
 *
 * The database is loaded by who opens one: programs without checkpoints import this, too.
 */
import { failure, wrongArgument } from '../error.ts';
import { native } from '../native.ts';
import { decodeEntry, type Entry, encodeEntry } from './entry.ts';
import type { Database } from './lmdb.ts';
import type { RecoverOptions, Recovery } from './recovery.ts';

/** How many checkpoints are kept of each state. */
const KEPT = 2;
const STATE_ID_BYTES_MAX = 255;

/** Where in its input a state stands. */
export interface Place {
  /** Log sequence of the last record that the state contains; 0 before the first. */
  sequence: bigint;
  /** Ring cursors that belong to it, by channel. */
  cursors?: Record<string, bigint> | undefined;
}

/** A checkpoint that was found. */
export interface Checkpoint extends Entry {
  /** Number of the checkpoint; grows with each of its state. */
  checkpointId: number;
  /** Newer ones that could not be believed: their checksum was wrong. */
  rotten: number[];
}

/** The checkpoints in one directory, which nobody else writes to. */
export class Checkpoints {
  /** The directory, as it was given. */
  readonly directory: string;
  readonly #database: Database;
  #isClosed = false;

  private constructor(directory: string, database: Database) {
    this.directory = directory;
    this.#database = database;
  }

  /**
   * Opens a directory of checkpoints, which is made when it is not there.
   *
   * Rejects with ERR_FOREIGN when another build of LMDB wrote it, ERR_CORRUPT when its file was cut short,
   * ERR_DISK_FULL, ERR_PERMISSION, ERR_IO, ERR_UNSUPPORTED.
   */
  static async open(directory: string, options: { readOnly?: boolean | undefined } = {}): Promise<Checkpoints> {
    if (typeof directory !== 'string' || directory === '') {
      throw wrongArgument(`directory is ${JSON.stringify(directory)}; give the name of a directory`);
    }
    const { openDatabase } = await import('./lmdb.ts');
    return new Checkpoints(directory, await openDatabase(directory, options.readOnly ?? false));
  }

  /**
   * Stores a state; resolves to the checkpoint's number when it is on disk.
   *
   * Rejects with ERR_DISK_FULL, and then what was stored before is still there.
   */
  async checkpoint(stateId: string, state: Uint8Array, place: Place): Promise<number> {
    this.#check(stateId);
    if (!(state instanceof Uint8Array)) throw wrongArgument('state is no Uint8Array; give the bytes of the state');
    const { sequence, cursors = {} } = place;
    if (typeof sequence !== 'bigint' || sequence < 0n) {
      throw wrongArgument(`sequence is ${String(sequence)}; give the bigint of the last record, 0n before the first`);
    }
    const bytes = encodeEntry({ state, sequence, cursors, createdNs: native().now() });
    try {
      const id = await this.#database.transaction(() => {
        const ids = this.#ids(stateId);
        const next = (ids[0] ?? 0) + 1;
        this.#database.put([stateId, next], bytes);
        for (const old of ids.slice(KEPT - 1)) this.#database.remove([stateId, old]);
        return next;
      });
      await this.#database.flushed;
      return id;
    } catch (error) {
      const { refused } = await import('./lmdb.ts');
      throw refused(`the checkpoint of ${JSON.stringify(stateId)} was not stored`, error);
    }
  }

  /**
   * The newest checkpoint of a state whose checksum holds, or the one with this number; undefined when there is none.
   *
   * Rejects with ERR_NOT_FOUND for a number that is not kept, ERR_CORRUPT when what is kept is rotten.
   */
  newest(stateId: string, checkpointId?: number): Checkpoint | undefined {
    this.#check(stateId);
    const ids = this.#ids(stateId);
    const wanted = checkpointId === undefined ? ids : ids.filter((id) => id === checkpointId);
    if (checkpointId !== undefined && wanted.length === 0) {
      const kept = ids.length > 0 ? `kept are ${ids.join(' and ')}` : 'none is kept';
      throw failure('ERR_NOT_FOUND', `${JSON.stringify(stateId)} has no checkpoint ${checkpointId}; ${kept}`);
    }
    const rotten: number[] = [];
    for (const id of wanted) {
      const bytes = this.#database.getBinary([stateId, id]);
      const entry = bytes && decodeEntry(bytes);
      if (entry) return { ...entry, checkpointId: id, rotten };
      rotten.push(id);
    }
    if (rotten.length === 0) return undefined;
    const which = `checkpoint ${rotten.join(' and ')} of ${JSON.stringify(stateId)}`;
    throw failure('ERR_CORRUPT', `${which} in ${this.directory} is not what was written: its checksum is wrong`);
  }

  /**
   * The newest checkpoint of a state whose checksum holds, and every record of the log after it, in order, exactly once.
   *
   * Rejects with ERR_GONE when the log no longer has those records, ERR_CORRUPT when it has fewer than the state contains,
   * and what `newest` and a reader of the log reject with.
   */
  async recover(stateId: string, options: RecoverOptions): Promise<Recovery> {
    const checkpoint = this.newest(stateId, options.checkpointId);
    const { recoverFrom } = await import('./recovery.ts');
    return recoverFrom(checkpoint, options);
  }

  /** Log sequence that records must be kept from: of the older checkpoint that is kept, of all states; none without. */
  get oldestSequence(): bigint | undefined {
    let oldest: bigint | undefined;
    for (const { value } of this.#database.getRange()) {
      const entry = decodeEntry(value);
      if (entry && (oldest === undefined || entry.sequence < oldest)) oldest = entry.sequence;
    }
    return oldest;
  }

  /** Numbers of the checkpoints of a state, newest first. */
  #ids(stateId: string): number[] {
    const keys = this.#database.getKeys({
      start: [stateId, Number.MAX_SAFE_INTEGER],
      end: [stateId, 0],
      reverse: true,
    });
    return [...keys].map(([, id]) => id);
  }

  #check(stateId: string): void {
    if (this.#isClosed) throw failure('ERR_CLOSED', 'the checkpoints were closed');
    const bytes = typeof stateId === 'string' ? Buffer.byteLength(stateId) : 0;
    if (bytes === 0 || bytes > STATE_ID_BYTES_MAX) {
      throw wrongArgument(`stateId is ${JSON.stringify(stateId)}; give a name of 1 to ${STATE_ID_BYTES_MAX} bytes`);
    }
  }

  /** Closes the directory. A second time is nothing. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#database.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
