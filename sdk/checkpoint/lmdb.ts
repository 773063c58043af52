/**
 * Lmdb: the database that checkpoints lie in, and what is looked at before it is opened.
 *
 * LMDB maps its file and believes it: a file that another build of LMDB wrote, or one that was cut short, ends the
 * process with a signal instead of an error. So its first bytes are read here, by the layout that this build writes
 * (24-byte page headers, data version 2), and its length is compared with the newest page that it names.
 *
 * ```text
 * page 0, page 1   0 page header [24] · 24 magic u32 · 28 data version u32 · 40 map bytes u64 · 48 page bytes u32
 *                  144 last page u64 · 152 transaction u64; the page with the higher transaction counts
 * ```
 */
import { closeSync, fsyncSync, openSync, readSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { RootDatabase } from 'lmdb';
import { makeDirectory } from '../directory.ts';
import { failure, TailraceError } from '../error.ts';

/** State and number of a checkpoint. */
export type Key = [stateId: string, id: number];
/** What lies in the directory. */
export type Database = RootDatabase<Buffer, Key>;

const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const META_BYTES = 160;
const PAGE_BYTES_MAX = 65_536;

/** Opens the database in `directory`, which is made when it is not there. */
export async function openDatabase(directory: string, isReadOnly: boolean): Promise<Database> {
  if (!isReadOnly) prepare(directory);
  check(directory);
  const { open } = await loaded();
  try {
    const database = open<Buffer, Key>({
      path: directory,
      noSubdir: false,
      encoding: 'binary',
      overlappingSync: false,
      readOnly: isReadOnly,
      cache: false,
    });
    if (!isReadOnly) syncDirectory(directory);
    return database;
  } catch (error) {
    throw refused(`the checkpoints in ${directory} could not be opened`, error);
  }
}

async function loaded(): Promise<typeof import('lmdb')> {
  try {
    return await import('lmdb');
  } catch (error) {
    throw failure(
      'ERR_UNSUPPORTED',
      'checkpoints need the npm package lmdb (3.5.6 or newer, below 4), which could not be loaded',
      error,
    );
  }
}

function prepare(directory: string): void {
  try {
    makeDirectory(directory, 0o700);
    syncDirectory(dirname(directory));
  } catch (error) {
    throw refused(`${directory} could not be made`, error);
  }
}

/** Makes the names in a directory durable. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Throws when the file in `directory` was not written by this build of LMDB, or is not whole. */
function check(directory: string): void {
  const file = join(directory, 'data.mdb');
  const bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (bytes === 0) return;
  const metas = firstBytes(file, bytes);
  const isOurs = (meta: Buffer) => meta.readUInt32LE(24) === MAGIC && meta.readUInt32LE(28) === DATA_VERSION;
  const first = metas.subarray(0, META_BYTES);
  if (first.length < META_BYTES || !isOurs(first)) {
    throw failure('ERR_FOREIGN', `${file} was not written by the LMDB of this package, which would not survive it`);
  }
  const pageBytes = first.readUInt32LE(48);
  const second = metas.subarray(pageBytes, pageBytes + META_BYTES);
  if (second.length < META_BYTES || !isOurs(second)) {
    throw failure('ERR_CORRUPT', `${file} is cut off after ${bytes} bytes`);
  }
  const newest = second.readBigUInt64LE(152) > first.readBigUInt64LE(152) ? second : first;
  const whole = (newest.readBigUInt64LE(144) + 1n) * BigInt(pageBytes);
  if (whole > BigInt(bytes)) {
    throw failure('ERR_CORRUPT', `${file} has ${bytes} bytes, and names pages up to byte ${whole}`);
  }
}

/** The two pages at the start, whatever their size. */
function firstBytes(file: string, bytes: number): Buffer {
  const into = Buffer.alloc(Math.min(bytes, 2 * PAGE_BYTES_MAX));
  const descriptor = openSync(file, 'r');
  try {
    return into.subarray(0, readSync(descriptor, into, 0, into.length, 0));
  } finally {
    closeSync(descriptor);
  }
}

/** What LMDB or the system refused, by the code that fits best. */
export function refused(what: string, error: unknown): TailraceError {
  if (error instanceof TailraceError) return error;
  const { code, message } = error as { code?: unknown; message?: string };
  const isFull =
    code === 'ENOSPC' || code === 'EDQUOT' || code === 28 || code === 122 || /No space left/.test(message ?? '');
  if (isFull) return failure('ERR_DISK_FULL', `${what}: ${message}`, error);
  if (code === 'EACCES' || code === 'EPERM' || code === 13)
    return failure('ERR_PERMISSION', `${what}: ${message}`, error);
  return failure('ERR_IO', `${what}: ${message}`, error);
}
