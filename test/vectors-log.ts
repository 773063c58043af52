/**
 * Vectors of the log: the golden bytes of `test/vectors/log.json`, read and built again from the printed layout.
 */
import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../sdk/generated/layout.ts';
import { payload } from './plain.ts';

type Fields = Record<string, bigint | number | string | Uint8Array>;

// biome-ignore lint/suspicious/noExplicitAny: the file is data, and each test says what it expects of it
type Data = any;

const vector: Data = JSON.parse(readFileSync(new URL('vectors/log.json', import.meta.url), 'utf8'));

const FRAME_HEADER = layout.FrameHeader.size;
const CRC = 4;

/** Lays the runs over zeros. */
function dense({ bytes: runs, total_bytes }: Data): Uint8Array {
  const bytes = new Uint8Array(total_bytes);
  for (const [offset, hex] of runs) bytes.set(Buffer.from(hex, 'hex'), offset);
  return bytes;
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

/** A structure of the printed layout with these fields, and zeros elsewhere. */
function structure(shape: { size: number }, values: Fields): Uint8Array {
  const bytes = new Uint8Array(shape.size);
  const view = new DataView(bytes.buffer);
  for (const [name, value] of Object.entries(values)) {
    const field = (shape as unknown as Record<string, layout.Field>)[name];
    if (!field) throw new Error(`no field ${name}`);
    if (value instanceof Uint8Array) bytes.set(value, field.offset);
    else if (field.kind === 'bytes') bytes.set(Buffer.from(String(value), 'hex'), field.offset);
    else if (field.size === 8) view.setBigUint64(field.offset, BigInt(value), true);
    else if (field.size === 4) view.setUint32(field.offset, Number(value), true);
    else if (field.size === 2) view.setUint16(field.offset, Number(value), true);
    else view.setUint8(field.offset, Number(value));
  }
  return bytes;
}

/** The stored bytes of a record. */
function storedBytes({ prefix, start, count }: Data): Uint8Array {
  return Buffer.concat([Buffer.from(prefix, 'hex'), payload(start + count).subarray(start)]);
}

/** A frame, its checksum and its zeros. */
function frame(values: Fields, stored: Uint8Array): Uint8Array {
  const header = structure(layout.FrameHeader, { ...values, length: stored.length, version: layout.FRAME_VERSION });
  const content = Buffer.concat([header, stored]);
  const bytes = Buffer.alloc(Math.ceil((content.length + CRC) / 8) * 8);
  bytes.set(content);
  bytes.writeUInt32LE(crc32(content), content.length);
  return bytes;
}

function recordFrame(record: Data): Uint8Array {
  const { sequence, flags, timestamp_ns, type, pid, runtime } = record;
  const values = { sequence, flags, timestamp_ns, message_type: type, sender_pid: pid, sender_runtime: runtime };
  return frame(values, storedBytes(record));
}

function commitFrame({ sequence, timestamp_ns, records: _, ...commit }: Data): Uint8Array {
  return frame({ sequence, timestamp_ns, flags: layout.FRAME_COMMIT }, structure(layout.CommitPayload, commit));
}

/** The structure with its checksum, which covers the bytes after it, too. */
function sealed(shape: { size: number; crc: layout.Field }, values: Fields, after = new Uint8Array(0)): Uint8Array {
  const bytes = Buffer.concat([structure(shape, values), after]);
  bytes.writeUInt32LE(crc32(bytes), shape.crc.offset);
  return bytes;
}

function segmentBytes({ first_sequence, created_ns, log_id, batches, total_bytes }: Data): Uint8Array {
  const values = { magic: layout.SEGMENT_MAGIC, version: layout.LOG_VERSION, first_sequence, created_ns, log_id };
  const frames = batches.flatMap((batch: Data) => [...batch.records.map(recordFrame), commitFrame(batch)]);
  const bytes = Buffer.alloc(total_bytes);
  bytes.set(Buffer.concat([sealed(layout.SegmentHeader, values), ...frames]));
  return bytes;
}

/** What the frame at an offset says; none where there are only zeros. */
function frameAt(bytes: Uint8Array, at: number) {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
  const { sequence, length, flags } = layout.FrameHeader;
  if (buffer.readBigUInt64LE(sequence.offset) === 0n) return undefined;
  const end = FRAME_HEADER + buffer.readUInt32LE(length.offset);
  assert.is(crc32(buffer.subarray(0, end)), buffer.readUInt32LE(end), `the frame at ${at}`);
  return {
    sequence: buffer.readBigUInt64LE(sequence.offset),
    flags: buffer.readUInt8(flags.offset),
    stored: buffer.subarray(FRAME_HEADER, end),
    next: at + Math.ceil((end + CRC) / 8) * 8,
  };
}

/** An LZ4 block without its frame: literals, then a match, again and again. */
function decompressed(block: Uint8Array, length: number): Uint8Array {
  const out = Buffer.alloc(length);
  let [at, filled] = [0, 0];
  const extended = (nibble: number): number => {
    let total = nibble;
    for (let more = nibble === 15 ? 255 : 0; more === 255; total += more) more = block[at++]!;
    return total;
  };
  while (at < block.length) {
    const token = block[at++]!;
    const literals = extended(token >> 4);
    out.set(block.subarray(at, at + literals), filled);
    at += literals;
    filled += literals;
    if (at === block.length) break;
    const distance = block[at]! | (block[at + 1]! << 8);
    at += 2;
    // Byte by byte, for a match may run into what it writes.
    for (let left = extended(token & 15) + 4; left > 0; left--, filled++) out[filled] = out[filled - distance]!;
  }
  assert.is(filled, length);
  return out;
}

type Message = [sequence: string, length: number];

/** The messages of a segment, in order; each must be bytes of the payload rule. */
function messagesOf(bytes: Uint8Array): Message[] {
  const messages: { sequence: bigint; content: Uint8Array }[] = [];
  let at: number = layout.SEGMENT_HEADER_BYTES;
  for (let found = frameAt(bytes, at); found; found = frameAt(bytes, at)) {
    const { sequence, flags, stored, next } = found;
    at = next;
    const newest = messages.at(-1);
    if (flags & (layout.FRAME_COMMIT | layout.FRAME_TOMBSTONE)) continue;
    if (flags & layout.FRAME_CONTINUATION && newest) newest.content = Buffer.concat([newest.content, stored]);
    else if (flags & layout.FRAME_LONG) messages.push({ sequence, content: stored.subarray(8) });
    else if (flags & layout.FRAME_COMPRESSED)
      messages.push({ sequence, content: decompressed(stored.subarray(4), stored.readUInt32LE()) });
    else messages.push({ sequence, content: stored });
  }
  return messages.map(({ sequence, content }) => {
    assert.ok(isSame(content, payload(content.length)), `message ${sequence}`);
    return [String(sequence), content.length];
  });
}

const vectors = suite('vectors of the log');

vectors('frames are written and read', () => {
  for (const record of vector.frames) {
    const expected = dense(record);
    assert.ok(isSame(recordFrame(record), expected), JSON.stringify(record));
    const found = frameAt(expected, 0);
    assert.is(found?.sequence, BigInt(record.sequence));
    assert.is(found?.flags, record.flags);
    assert.ok(isSame(found!.stored, storedBytes(record)));
    assert.is(crc32(expected.subarray(0, FRAME_HEADER + found!.stored.length)), record.crc32);
  }
});

vectors('segments are frame after frame', () => {
  for (const segment of vector.segments) {
    const expected = dense(segment);
    assert.ok(isSame(segmentBytes(segment), expected), segment.name);
    assert.is(crc32(expected), segment.crc32);
  }
  assert.equal(vector.segments.map(dense).flatMap(messagesOf), vector.messages);
});

vectors('indexes are entries', () => {
  for (const index of vector.indexes) {
    const built = Buffer.alloc(index.total_bytes);
    for (const [number, { sequence, timestamp_max, offset }] of index.entries.entries()) {
      const entry = built.subarray(number * 32, number * 32 + 32);
      for (const [word, value] of [sequence, timestamp_max, offset].entries()) {
        entry.writeBigUInt64LE(BigInt(value), word * 8);
      }
      entry.writeUInt32LE(crc32(entry.subarray(0, 24)), 24);
    }
    assert.ok(isSame(built, dense(index)), index.name);
  }
});

vectors('cursors are two copies', () => {
  const { log_id, copies, total_bytes, crc32: sum, bytes } = vector.cursors;
  const built = Buffer.alloc(total_bytes);
  for (const [index, { generation, groups }] of copies.entries()) {
    const values = {
      magic: layout.CURSORS_MAGIC,
      version: layout.LOG_VERSION,
      generation,
      log_id,
      count: groups.length,
    };
    const entries = groups.map(({ name, ...entry }: Data) =>
      structure(layout.CursorEntry, { ...entry, name: Buffer.from(name, 'utf8') }),
    );
    built.set(sealed(layout.CursorsHeader, values, Buffer.concat(entries)), index * layout.CURSORS_BYTES);
  }
  assert.ok(isSame(built, dense({ bytes, total_bytes })));
  assert.is(crc32(built), sum);
  const newest = copies.reduce((one: Data, other: Data) =>
    BigInt(other.generation) > BigInt(one.generation) ? other : one,
  );
  const positions = newest.groups.map(({ name, sequence }: Data) => [name, sequence]);
  assert.equal(Object.fromEntries(positions), vector.positions);
});

vectors.run();
