/**
 * Vectors: the golden bytes of `test/vectors/`, read and built again from the printed layout, and the bad ones opened.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../sdk/generated/layout.ts';
import { Region } from '../sdk/index.ts';
import { bad, badBytes, isAboutFiles } from './bad.ts';
import { type Handed, Plain, packIntent, payload, unpackIntent } from './plain.ts';
import { isWasm, scratch } from './scratch.ts';
import { openMemory, seenOf, wantedOf } from './wasm/bytes.ts';

type Run = [offset: number, hex: string];

// biome-ignore lint/suspicious/noExplicitAny: the files are data, and each test says what it expects of them
type Data = any;

function read(name: string): Data {
  return JSON.parse(readFileSync(new URL(`vectors/${name}.json`, import.meta.url), 'utf8'));
}

/** Lays the runs over zeros. */
function dense(runs: Run[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (const [offset, hex] of runs) bytes.set(Buffer.from(hex, 'hex'), offset);
  return bytes;
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

const vectors = suite('vectors');

vectors('the layout has the hash of its lines', () => {
  const newest = read('hash').layouts.at(-1);
  const lines = Object.entries(layout.STRUCTS).flatMap(([name, { size: _, ...fields }]) =>
    Object.entries(fields as Record<string, layout.Field>).map(
      ([field, { offset, size }]) => `${name}.${field} ${offset} ${size}`,
    ),
  );
  assert.equal(lines, newest.lines);
  assert.is(crc32(`${lines.join('\n')}\n`), newest.crc32);
  assert.is(layout.LAYOUT_HASH, newest.crc32);
  assert.is(layout.ANNEX_VERSION, newest.annex_version);
});

vectors('intents are packed and unpacked', () => {
  const { packed, strange, over } = read('intents');
  for (const { kind, position, count, word, first } of packed) {
    assert.is(packIntent(kind, BigInt(position), BigInt(count)), BigInt(word));
    assert.equal(unpackIntent(BigInt(word)), { kind, first: BigInt(first), count: BigInt(count) });
  }
  for (const word of strange) assert.is(unpackIntent(BigInt(word)).kind, layout.INTENT_NONE);
  for (const { word, position, is_over } of over) {
    const { first, count } = unpackIntent(BigInt(word));
    assert.is(BigInt.asUintN(48, BigInt(position) - first) < count, is_over);
  }
});

/** The bytes of a record, from its meaning. */
function recordBytes(record: Data): Uint8Array {
  const bytes = new Uint8Array(layout.RECORD_HEADER_BYTES + Math.ceil(record.length / 8) * 8);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(record.sequence), true);
  view.setBigUint64(8, BigInt(record.timestamp_ns), true);
  view.setUint32(16, record.type, true);
  view.setUint32(20, record.length, true);
  view.setUint32(24, record.pid, true);
  view.setUint16(28, record.runtime, true);
  view.setUint16(30, record.flags, true);
  view.setUint16(32, record.delivery_count, true);
  bytes.set(payload(record.length), layout.RECORD_HEADER_BYTES);
  return bytes;
}

/** The meanings of records, from their bytes. */
function readRecords(bytes: Uint8Array): Data[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const records: Data[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint32(at + 20, true);
    const start = at + layout.RECORD_HEADER_BYTES;
    assert.ok(isSame(bytes.subarray(start, start + length), payload(length)));
    records.push({
      sequence: String(view.getBigUint64(at, true)),
      timestamp_ns: String(view.getBigUint64(at + 8, true)),
      type: view.getUint32(at + 16, true),
      pid: view.getUint32(at + 24, true),
      runtime: view.getUint16(at + 28, true),
      flags: view.getUint16(at + 30, true),
      delivery_count: view.getUint16(at + 32, true),
      length,
    });
    at = start + Math.ceil(length / 8) * 8;
  }
  return records;
}

vectors('records are written and read', () => {
  for (const { name, records, total_bytes, bytes } of read('records').cases) {
    const expected = dense(bytes, total_bytes);
    assert.ok(isSame(Buffer.concat(records.map(recordBytes)), expected), name);
    assert.equal(readRecords(expected), records, name);
  }
});

/** A region with one empty channel, by the inputs of a slot. */
function regionFor({ flags, capacity, pid = 0, runtime = 0 }: Data): Plain {
  const id = '0'.repeat(32);
  const plain = new Plain({
    boot_id: id,
    region_id: id,
    created_ns: '0',
    pid,
    process_start: 0,
    pid_namespace: 0,
    runtime,
    limit_bytes: 1 << 26,
  });
  plain.addChannel('orders', flags, capacity);
  return plain;
}

vectors('slots hold messages at the edge sizes', () => {
  for (const vector of read('slots').cases) {
    const name = JSON.stringify({ ...vector, slots: [] });
    const plain = regionFor(vector);
    const position = BigInt(vector.position);
    if (vector.error) {
      assert.is(vector.error, 'ERR_TOO_LARGE', name);
      assert.is(plain.messageMax(0), vector.most_bytes, name);
      assert.ok(vector.length > vector.most_bytes, name);
      continue;
    }
    if (vector.abandoned) plain.bury(0, position);
    else plain.publish(0, position, { at_ns: BigInt(vector.timestamp_ns), type: vector.type }, vector.length);
    const slots = Array.from({ length: vector.slot_count }, (_, index) => plain.slotBytes(0, position + BigInt(index)));
    assert.is(crc32(Buffer.concat(slots)), vector.crc32, name);
    const shown: [Uint8Array, Run[]][] = vector.slots
      ? slots.map((slot, index) => [slot, vector.slots[index]])
      : [
          [slots[0]!.subarray(0, 64), vector.first_slot],
          [slots.at(-1)!, vector.last_slot],
        ];
    for (const [slot, runs] of shown) assert.ok(isSame(slot, dense(runs, slot.length)), name);
  }
});

/** Runs one operation of a script; what it answers, if anything. */
function perform(plain: Plain, verb: string, with_: Data): { messages?: Handed[]; written?: number } {
  const { entry } = with_;
  switch (verb) {
    case 'add_channel':
      plain.addChannel(with_.name, with_.flags, with_.capacity);
      return {};
    case 'join':
      assert.is(plain.join(plain.channel(with_.channel), with_.role, with_.label, with_.from === 'oldest'), entry);
      return {};
    case 'write':
      return { written: plain.write(entry, { at_ns: BigInt(with_.at_ns), type: with_.type }, with_.lengths) };
    case 'poll':
      return { messages: plain.poll(entry, with_.limit) };
    case 'take':
      return { messages: plain.take(entry, with_.limit) };
    case 'release':
      plain.release(entry, with_.count);
      return {};
    case 'die_writing':
      plain.dieWriting(entry, with_.count);
      return {};
    case 'repair':
      plain.repair(entry);
      return {};
    case 'inherit':
      return { messages: plain.inherit(entry, with_.dead) };
    case 'close':
      plain.close(entry);
      return {};
    default:
      throw new Error(`nobody knows how to ${verb}`);
  }
}

vectors('a region is what its operations leave', () => {
  const { inputs, operations, total_bytes, bytes, crc32: sum } = read('region');
  const plain = new Plain(inputs);
  for (const [verb, with_] of operations) {
    const { messages, written } = with_;
    const answer = { messages: undefined, written: undefined, ...perform(plain, verb, with_) };
    assert.equal(answer, { messages, written }, verb);
  }
  assert.ok(isSame(plain.bytes, dense(bytes, total_bytes)));
  assert.is(crc32(plain.bytes), sum);
});

vectors('bad regions are built again', () => {
  for (const vector of bad.cases) assert.is(crc32(badBytes(vector)), vector.crc32, vector.name);
});

/** This machine's boot id, as a region has it. */
function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().replaceAll('-', '');
}

/** Opens a region of these bytes: a file, or a part of linear memory. */
function openBytes(bytes: Uint8Array, limitBytes: number): Region {
  if (!isWasm) {
    const path = scratch();
    writeFileSync(path, bytes, { mode: 0o600 });
    return Region.open(path);
  }
  return openMemory(bytes, limitBytes, bad.inputs.limit_bytes);
}

vectors('bad regions are refused by their code, and bad slots passed over', () => {
  for (const vector of bad.cases) {
    const bytes = badBytes(vector, bootId());
    const limitBytes = vector.total_bytes ?? bad.inputs.limit_bytes;
    if (isWasm && isAboutFiles(vector)) continue;
    assert.equal(
      seenOf(vector, () => openBytes(bytes, limitBytes)),
      wantedOf(vector),
      vector.name,
    );
  }
});

vectors.run();
