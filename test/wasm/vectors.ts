/**
 * Vectors: the golden bytes of `test/vectors/`, written and read by the core in WebAssembly.
 */
import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../../sdk/generated/layout.ts';
import { Book, backend } from '../../sdk/index.ts';
import { native } from '../../sdk/native.ts';
import { checkFrame, checksum, decompressPayload, encodeFrame } from '../../sdk/wasm/frames.ts';
import { find } from '../../sdk/wasm/handles.ts';
import { payload } from '../plain.ts';
import { compareRecords, compareSlots, type Data, dense } from './bytes.ts';

process.env.TAILRACE_BACKEND = 'wasm';

function read(name: string): Data {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'));
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
  const { count, differing } = compareSlots(read('slots'));
  assert.equal(differing, []);
  assert.ok(count >= 20, `${count} cases`);
});

vectors('records are handed out as they stand', () => {
  const { count, differing } = compareRecords(read('records'));
  assert.equal(differing, []);
  assert.ok(count >= 10, `${count} records`);
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
