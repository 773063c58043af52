/**
 * Entry: the bytes of one checkpoint.
 *
 * ```text
 * 0 magic 'TAILCKPT' · 8 version u32 · 12 crc u32 (of all bytes with this field 0) · 16 sequence u64
 * 24 created_ns u64 · 32 count of cursors u32 · 36 zero u32 · 40 cursors: position u64, length u32, zero u32, name,
 * zeros to a multiple of 8 · the state
 * ```
 */
import { failure } from '../error.ts';

/** A state, and where in its input it stands. */
export interface Entry {
  /** The application's bytes. */
  state: Uint8Array;
  /** Log sequence of the last record that the state contains; 0 before the first. */
  sequence: bigint;
  /** Ring cursors that belong to it, by channel. */
  cursors: Record<string, bigint>;
  /** When it was taken, nanoseconds since 1970. */
  createdNs: bigint;
}

const MAGIC = Buffer.from('TAILCKPT');
const VERSION = 1;
const HEADER_BYTES = 40;
const CURSOR_BYTES = 16;

/** Programs without checkpoints import this, too, and have no use for the rest of that module. */
const crc32 = (bytes: Uint8Array) => process.getBuiltinModule('node:zlib').crc32(bytes);

const padded = (length: number) => (length + 7) & ~7;

/** The bytes of an entry. */
export function encodeEntry(entry: Entry): Buffer {
  const cursors = Object.entries(entry.cursors).map(([name, position]) => ({ name: Buffer.from(name), position }));
  const start = cursors.reduce((at, { name }) => at + CURSOR_BYTES + padded(name.length), HEADER_BYTES);
  const bytes = Buffer.alloc(start + entry.state.length);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeBigUInt64LE(entry.sequence, 16);
  bytes.writeBigUInt64LE(entry.createdNs, 24);
  bytes.writeUInt32LE(cursors.length, 32);
  let at = HEADER_BYTES;
  for (const { name, position } of cursors) {
    bytes.writeBigUInt64LE(position, at);
    bytes.writeUInt32LE(name.length, at + 8);
    name.copy(bytes, at + CURSOR_BYTES);
    at += CURSOR_BYTES + padded(name.length);
  }
  bytes.set(entry.state, start);
  bytes.writeUInt32LE(crc32(bytes), 12);
  return bytes;
}

/** What the bytes say; undefined when they are not what was written. */
export function decodeEntry(stored: Uint8Array): Entry | undefined {
  const bytes = Buffer.from(stored);
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return undefined;
  const stated = bytes.readUInt32LE(12);
  bytes.writeUInt32LE(0, 12);
  if (crc32(bytes) !== stated) return undefined;
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION) throw failure('ERR_VERSION', `a checkpoint has version ${version}, and this is ${VERSION}`);
  const cursors: Record<string, bigint> = {};
  let at = HEADER_BYTES;
  for (let left = bytes.readUInt32LE(32); left > 0; left -= 1) {
    const length = bytes.readUInt32LE(at + 8);
    const name = bytes.toString('utf8', at + CURSOR_BYTES, at + CURSOR_BYTES + length);
    cursors[name] = bytes.readBigUInt64LE(at);
    at += CURSOR_BYTES + padded(length);
  }
  const state = new Uint8Array(bytes.subarray(at));
  return { state, sequence: bytes.readBigUInt64LE(16), cursors, createdNs: bytes.readBigUInt64LE(24) };
}
