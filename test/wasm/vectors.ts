/**
 * Vectors: the golden bytes of `test/vectors/`, written and read by the core in WebAssembly.
 */
import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ANSWER, AT, BYTES, COUNT, HANDLE, numbers, TYPE, words } from '../../sdk/desk.ts';
import * as layout from '../../sdk/generated/layout.ts';
import { Book, backend } from '../../sdk/index.ts';
import { native } from '../../sdk/native.ts';
import { checkFrame, checksum, decompressPayload, encodeFrame } from '../../sdk/wasm/frames.ts';
import { find } from '../../sdk/wasm/handles.ts';
import { payload } from '../plain.ts';

process.env.TAILRACE_BACKEND = 'wasm';

type Run = [offset: number, hex: string];
// biome-ignore lint/suspicious/noExplicitAny: the files are data, and each test says what it expects of them
type Data = any;

function read(name: string): Data {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'));
}

/** Lays the runs over zeros. */
function dense(runs: Run[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (const [offset, hex] of runs) bytes.set(Buffer.from(hex, 'hex'), offset);
  return bytes;
}

const FOREIGN = layout.CHANNEL_FOREIGN_CODE | layout.CHANNEL_FOREIGN_DOCUMENT;
/** What a real writer chooses itself. */
const OWN = [layout.Slot.timestamp_ns, layout.Slot.sender_pid, layout.Slot.sender_runtime];

/** A slot without what its writer chose: its time, and who it is. */
function common(slot: Uint8Array): string {
  const bytes = Buffer.from(slot);
  for (const { offset, size } of OWN) bytes.fill(0, offset, offset + size);
  return bytes.toString('hex');
}

const vectors = suite('vectors in WebAssembly');

vectors('the module has the layout of the vectors', () => {
  const newest = read('hash').layouts.at(-1);
  const region = native().regionMemory(1 << 20, 2, 1_000);
  const { calls } = find('region', region).instance;
  assert.is(backend().name, 'wasm');
  assert.is(calls.layout_hash_of_module() >>> 0, newest.crc32);
  native().close(region);
});

vectors('slots hold messages at the edge sizes', () => {
  let count = 0;
  for (const vector of read('slots').cases) {
    if (vector.flags & (FOREIGN | layout.CHANNEL_RECORDED) || vector.abandoned) continue;
    count += 1;
    slotCase(vector);
  }
  assert.ok(count >= 20, `${count} cases`);
});

function slotCase(vector: Data): void {
  const name = JSON.stringify({ ...vector, slots: [], first_slot: [], last_slot: [] });
  const region = native().regionMemory(vector.capacity * layout.Slot.size + (1 << 20), 2, 1_000);
  native().createChannel(region, 'orders', vector.flags, vector.capacity);
  const { instance, plan } = find('region', region);
  const view = new DataView(instance.memory.buffer, plan.regionOffset);
  const entry = layout.CHANNELS_OFFSET;
  const band = Number(view.getBigUint64(entry + layout.ChannelEntry.band_offset.offset, true));
  const mask = BigInt(vector.capacity - 1);
  const position = BigInt(vector.position);
  // As if everything before had been written and taken.
  for (let index = 0n; index <= mask; index += 1n) {
    const x = position + index;
    view.setBigUint64(band + Number(x & mask) * layout.Slot.size, slotBefore(vector, x, mask), true);
  }
  for (const cursor of [layout.ChannelEntry.tail, layout.ChannelEntry.head]) {
    view.setBigUint64(entry + cursor.offset, position, true);
  }
  const producer = native().openProducer(region, 'orders', '', -1);
  numbers[HANDLE] = producer;
  words[TYPE] = vector.type;
  if (vector.error) {
    assert.throws(
      () => native().write(payload(vector.length)),
      (error: { code: string }) => error.code === vector.error,
      name,
    );
  } else {
    native().write(payload(vector.length));
    assert.is(words[ANSWER], 1, name);
    const slots = Array.from({ length: vector.slot_count }, (_, index) => {
      const at = plan.regionOffset + band + Number((position + BigInt(index)) & mask) * layout.Slot.size;
      return instance.bytes.slice(at, at + layout.Slot.size);
    });
    const shown: [Uint8Array, Run[]][] = vector.slots
      ? slots.map((slot, index) => [slot, vector.slots[index]])
      : [
          [slots[0]!.subarray(0, 64), vector.first_slot],
          [slots.at(-1)!, vector.last_slot],
        ];
    for (const [slot, runs] of shown) assert.is(common(slot), common(dense(runs, slot.length)), name);
  }
  native().close(producer);
  native().close(region);
}

/** The sequence of a slot that is free for position x. */
function slotBefore(vector: Data, x: bigint, mask: bigint): bigint {
  const isStream = (vector.flags & layout.CHANNEL_KIND_MASK) === layout.CHANNEL_STREAM;
  return isStream && x > mask ? x - mask : x;
}

vectors('records are handed out as they stand', () => {
  for (const { name, records } of read('records').cases) {
    const plain = records.filter((record: Data) => record.flags === 0 && record.length <= 1 << 20);
    if (plain.length === 0) continue;
    const region = native().regionMemory(4 << 20, 2, 1_000);
    native().createChannel(region, 'orders', 0, 2_048);
    const producer = native().openProducer(region, 'orders', '', -1);
    const consumer = native().openConsumer(region, 'orders', '', -1, 0, 0);
    for (const record of plain) {
      if (Math.ceil(record.length / layout.SLOT_PAYLOAD) > 512) continue;
      numbers[HANDLE] = producer;
      words[TYPE] = record.type;
      native().write(payload(record.length));
      numbers[HANDLE] = consumer;
      [words[COUNT], words[AT]] = [1, 0];
      const buffer = new Uint8Array(record.length + 64);
      native().poll(buffer);
      assert.is(words[ANSWER], 1, name);
      assert.is(words[BYTES], layout.RECORD_HEADER_BYTES + Math.ceil(record.length / 8) * 8, name);
      const view = new DataView(buffer.buffer);
      assert.is(view.getUint32(16, true), record.type, name);
      assert.is(view.getUint32(20, true), record.length, name);
      assert.is(view.getUint16(28, true), layout.RUNTIME_WASM, name);
      assert.is(view.getUint16(32, true), 1, name);
      assert.is(Buffer.compare(buffer.subarray(40, 40 + record.length), payload(record.length)), 0, name);
    }
    for (const handle of [producer, consumer, region]) native().close(handle);
  }
});

vectors('frames are written, and seen', () => {
  for (const vector of read('log').frames) {
    const stored = Buffer.concat([
      Buffer.from(vector.prefix, 'hex'),
      payload(vector.start + vector.count).subarray(vector.start),
    ]);
    const head = {
      sequence: BigInt(vector.sequence),
      timestamp: BigInt(vector.timestamp_ns),
      type: vector.type,
      pid: vector.pid,
      runtime: vector.runtime,
      flags: vector.flags,
    };
    const expected = dense(vector.bytes, vector.total_bytes);
    const written = encodeFrame(head, stored);
    assert.is(Buffer.compare(written, expected), 0);
    const seen = checkFrame(Buffer.concat([expected, Buffer.alloc(16)]));
    assert.equal(seen, { seen: 'frame', bytes: expected.length, head, payload: new Uint8Array(stored) });
    assert.is(checksum(expected.subarray(0, 32 + stored.length)), vector.crc32);
    for (const bit of [0, 77, expected.length * 8 - 1]) {
      const wrong = Buffer.from(expected);
      wrong[bit >>> 3] = wrong[bit >>> 3]! ^ (1 << (bit & 7));
      assert.is.not(checkFrame(wrong).seen, 'frame');
    }
    assert.equal(checkFrame(expected.subarray(0, expected.length - 8)), { seen: 'incomplete', bytes: expected.length });
  }
  assert.equal(checkFrame(new Uint8Array(64)), { seen: 'absent' });
});

vectors('checksums are those of everybody', () => {
  for (const length of [0, 1, 7, 8, 64, 1_023, 1_024, 100_000]) {
    assert.is(checksum(payload(length)), crc32(payload(length)), `${length} bytes`);
  }
});

vectors('compressed payloads come back, and hostile ones are refused', () => {
  let count = 0;
  for (const { flags, prefix, start, count: bytes } of read('log').frames) {
    if (!(flags & layout.FRAME_COMPRESSED)) continue;
    count += 1;
    const stored = Buffer.concat([Buffer.from(prefix, 'hex'), payload(start + bytes).subarray(start)]);
    const whole = decompressPayload(stored);
    assert.is(whole.length, stored.readUInt32LE(0));
    assert.is(Buffer.compare(whole, payload(whole.length)), 0);
    for (let cut = 0; cut < stored.length; cut += 1) {
      assert.throws(
        () => decompressPayload(stored.subarray(0, cut)),
        (error: { code: string }) => error.code === 'ERR_CORRUPT',
      );
    }
  }
  assert.ok(count > 0, 'there is a compressed frame among the vectors');
});

/** The hash over the words of events, as the vectors say. */
function hashOf(events: Uint8Array, before: bigint): bigint {
  const mask = (1n << 64n) - 1n;
  const view = new DataView(events.buffer, events.byteOffset, events.length);
  let hash = before;
  for (let at = 0; at < events.length; at += 8) {
    hash = ((hash ^ view.getBigUint64(at, true)) * 0x9e3779b97f4a7c15n) & mask;
    hash ^= hash >> 32n;
  }
  return hash;
}

vectors('the book says what it says everywhere, to the bit', () => {
  const { config, commands, after } = read('book');
  const options = { slotCount: config.slot_count, accountCount: config.account_count, bandTicks: config.band_ticks };
  using book = new Book(options);
  let hash = 0xcbf29ce484222325n;
  let events = 0;
  let done = 0;
  for (const mark of after) {
    const bytes = Buffer.alloc((mark.commands - done) * 56);
    for (let index = done; index < mark.commands; index += 1) {
      const at = (index - done) * 56;
      bytes.writeBigUInt64LE(BigInt(index + 1), at);
      bytes.writeBigUInt64LE(BigInt((index + 1) * 1_000), at + 8);
      bytes.set(Buffer.from(commands[index], 'hex'), at + 16);
    }
    const said = book.apply(bytes);
    hash = hashOf(said.bytes, hash);
    events += said.length;
    done = mark.commands;
    assert.equal(
      { events, hash: String(hash), orders: book.orderCount, state: String(book.stateHash) },
      { events: mark.events, hash: mark.events_hash, orders: mark.orders, state: mark.state_hash },
    );
  }
  using again = Book.restore(book.snapshot(), options);
  assert.is(again.stateHash, book.stateHash);
});

vectors.run();
