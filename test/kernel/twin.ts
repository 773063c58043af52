/**
 * Twin: the stream of `bindings/assemblyscript`, which was written from the published pages alone, held to the vectors.
 *
 * Everything else of a region (channels, handles, other channels) is built by `plain.ts`, the twin of the test's own; the
 * bytes go into the module's memory before each of its operations, and back after it.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../../sdk/generated/layout.ts';
import { newMemory } from '../../sdk/kernel/room.ts';
import { type Inputs, Plain, payload } from '../plain.ts';

// biome-ignore lint/suspicious/noExplicitAny: the files are data, and each test says what it expects of them
type Data = any;

interface Stream {
  used: { value: number };
  lost: { value: bigint };
  messageMax(region: number, channel: number): number;
  crc32(at: number, length: number): number;
  publish(
    region: number,
    channel: number,
    first: bigint,
    atNs: bigint,
    type: number,
    pid: number,
    runtime: number,
    payload: number,
    length: number,
  ): void;
  write(region: number, entry: number, atNs: bigint, type: number, payload: number, length: number): number;
  poll(region: number, entry: number, limit: number, out: number, room: number): number;
}

interface Handed {
  sequence: bigint;
  timestamp: bigint;
  type: number;
  length: number;
  pid: number;
  runtime: number;
  isRight: boolean;
}

const FOLDER = fileURLToPath(new URL('../../bindings/assemblyscript/', import.meta.url));
const PAGE_BYTES = 65_536;
const PAGES = 256;
const PAYLOAD = PAGE_BYTES;
const OUT = 20 * PAGE_BYTES;
const OUT_BYTES = 20 * PAGE_BYTES;
const REGION = 48 * PAGE_BYTES;
const NO_ROOM = -1;
const TOO_LARGE = -6;

function read(name: string): Data {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'));
}

/** The module, over a region that somebody else has made. */
class Twin {
  readonly #memory: { buffer: ArrayBuffer };
  readonly stream: Stream;

  private constructor(memory: { buffer: ArrayBuffer }, stream: Stream) {
    this.#memory = memory;
    this.stream = stream;
  }

  static async compiled(): Promise<Twin> {
    const asc = await import('assemblyscript/asc');
    const { instantiate } = await import('@assemblyscript/loader');
    let module: Uint8Array | undefined;
    const words = ['stream.ts', '--outFile', 'stream.wasm', '--runtime', 'stub', '-O3', '--importMemory'];
    const { error, stderr } = await asc.main([...words, '--enable', 'threads'], {
      readFile: (name) => {
        try {
          return readFileSync(`${FOLDER}${name}`, 'utf8');
        } catch {
          return null;
        }
      },
      writeFile: (_, contents) => {
        module = contents as Uint8Array;
      },
      listFiles: () => [],
    });
    assert.is(error, null, stderr.toString());
    const memory = newMemory(PAGES);
    const { instance } = await instantiate(module!, { env: { memory } });
    return new Twin(memory, instance.exports as unknown as Stream);
  }

  /** Runs `work` over the bytes of a region. */
  over<T>(plain: { bytes: Uint8Array }, work: (stream: Stream) => T): T {
    const own = new Uint8Array(this.#memory.buffer, REGION, plain.bytes.length);
    own.set(plain.bytes);
    try {
      return work(this.stream);
    } finally {
      plain.bytes.set(own);
    }
  }

  /** Puts a payload where it is taken from. */
  put(bytes: Uint8Array): number {
    new Uint8Array(this.#memory.buffer).set(bytes, PAYLOAD);
    return PAYLOAD;
  }

  /** Changes a byte. */
  patch(address: number, byte: number): void {
    new Uint8Array(this.#memory.buffer)[address] = byte;
  }

  /** What `poll` has left. */
  get out(): Uint8Array {
    return new Uint8Array(this.#memory.buffer, OUT, this.stream.used.value);
  }

  /** The same as messages. */
  handed(): Handed[] {
    const bytes = this.out;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const handed: Handed[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = view.getUint32(at + 20, true);
      const content = bytes.subarray(at + layout.RECORD_HEADER_BYTES, at + layout.RECORD_HEADER_BYTES + length);
      handed.push({
        sequence: view.getBigUint64(at, true),
        timestamp: view.getBigUint64(at + 8, true),
        type: view.getUint32(at + 16, true),
        pid: view.getUint32(at + 24, true),
        runtime: view.getUint16(at + 28, true),
        length,
        isRight: Buffer.compare(content, payload(length)) === 0,
      });
      at += layout.RECORD_HEADER_BYTES + ((length + 7) & ~7);
    }
    return handed;
  }
}

const twins = suite<{ twin: Twin }>('twin');

const INPUTS: Inputs = {
  boot_id: '0'.repeat(32),
  region_id: '0'.repeat(32),
  created_ns: '0',
  pid: 4242,
  process_start: 1,
  pid_namespace: 1,
  runtime: layout.RUNTIME_WASM,
  limit_bytes: 1 << 26,
};

/** A region with one channel. */
function regionWith(flags: number, capacity: number, inputs: Partial<Inputs> = {}): Plain {
  const plain = new Plain({ ...INPUTS, ...inputs });
  plain.addChannel('ticks', flags, capacity);
  return plain;
}

twins.before(async (context) => {
  context.twin = await Twin.compiled();
});

twins('counts bytes as others do', ({ twin }) => {
  for (const length of [0, 1, 9, 1024]) {
    assert.is(twin.stream.crc32(twin.put(payload(length)), length) >>> 0, crc32(payload(length)));
  }
});

twins('fills the slots of the vectors', ({ twin }) => {
  let seen = 0;
  for (const vector of read('slots').cases) {
    const foreign = layout.CHANNEL_FOREIGN_CODE | layout.CHANNEL_FOREIGN_DOCUMENT;
    if (vector.flags & foreign || vector.abandoned || vector.length > 100_000) continue;
    const name = JSON.stringify({ ...vector, slots: [] });
    const plain = regionWith(vector.flags, vector.capacity);
    const position = BigInt(vector.position);
    seen += 1;
    twin.over(plain, (stream) => {
      if (vector.error) {
        assert.is(stream.messageMax(REGION, 0), vector.most_bytes, name);
        return;
      }
      const { type, pid, runtime, length, timestamp_ns } = vector;
      const at = twin.put(payload(length));
      stream.publish(REGION, 0, position, BigInt(timestamp_ns), type, pid, runtime, at, length);
    });
    if (vector.error) continue;
    const slots = Array.from({ length: vector.slot_count }, (_, index) => plain.slotBytes(0, position + BigInt(index)));
    assert.is(crc32(Buffer.concat(slots)), vector.crc32, name);
  }
  assert.ok(seen > 20, `${seen} vectors`);
});

twins('hands out the records of the vectors', ({ twin }) => {
  let seen = 0;
  for (const { name, records, total_bytes, bytes } of read('records').cases) {
    // A stream has no redelivery, and its positions end before 2^64.
    if (records.some(({ flags, delivery_count: count }: Data) => flags !== 0 || count !== 1)) continue;
    const plain = regionWith(layout.CHANNEL_STREAM, 16);
    const entry = plain.join(0, layout.ROLE_SUBSCRIBER, '', true);
    const expected = new Uint8Array(total_bytes);
    for (const [offset, hex] of bytes) expected.set(Buffer.from(hex, 'hex'), offset);
    seen += 1;
    let next = 1n;
    twin.over(plain, (stream) => {
      for (const { sequence, timestamp_ns, type, pid, runtime, length } of records) {
        for (; next < BigInt(sequence); next += 1n) tombstone(stream, twin, next - 1n);
        const at = twin.put(payload(length));
        stream.publish(REGION, 0, BigInt(sequence) - 1n, BigInt(timestamp_ns), type, pid, runtime, at, length);
        next = BigInt(sequence) + 1n;
      }
      assert.is(stream.poll(REGION, entry, 100, OUT, OUT_BYTES), records.length, name);
    });
    assert.is(Buffer.compare(twin.out, expected), 0, name);
  }
  assert.ok(seen > 10, `${seen} vectors`);

  /** A position without a message, as a dead writer's is left. */
  function tombstone(stream: Stream, twin: Twin, position: bigint): void {
    stream.publish(REGION, 0, position, 0n, 0, 0, 0, twin.put(new Uint8Array(0)), 0);
    const band = layout.FIRST_BAND_OFFSET + Number(position) * layout.Slot.size;
    twin.patch(REGION + band + layout.Slot.flags.offset, layout.MESSAGE_ABANDONED);
  }
});

twins('leaves the region that the vectors say', ({ twin }) => {
  const { inputs, operations, total_bytes, bytes } = read('region');
  const plain = new Plain(inputs);
  let own = 0;
  for (const [verb, with_] of operations) {
    const channel =
      with_.entry === undefined || verb === 'join' ? -1 : Number(plain.get('Participant.channel', with_.entry));
    const isStream =
      channel >= 0 && (Number(plain.get('ChannelEntry.flags', channel)) & layout.CHANNEL_KIND_MASK) === 1;
    if (isStream && verb === 'write') {
      own += 1;
      const written = twin.over(plain, (stream) => {
        let count = 0;
        for (const length of with_.lengths) {
          const at = twin.put(payload(length));
          if (stream.write(REGION, with_.entry, BigInt(with_.at_ns), with_.type, at, length) !== 1) break;
          count += 1;
        }
        return count;
      });
      assert.is(written, with_.written);
    } else if (isStream && verb === 'poll') {
      own += 1;
      twin.over(plain, (stream) => stream.poll(REGION, with_.entry, with_.limit, OUT, OUT_BYTES));
      const handed = twin.handed();
      assert.ok(handed.every(({ isRight }) => isRight));
      const expected = with_.messages.map(({ sequence, length }: Data) => ({ sequence: BigInt(sequence), length }));
      assert.equal(
        handed.map(({ sequence, length }) => ({ sequence, length })),
        expected,
      );
    } else {
      perform(plain, verb, with_);
    }
  }
  assert.ok(own === 7, `${own} operations`);
  const expected = new Uint8Array(total_bytes);
  for (const [offset, hex] of bytes) expected.set(Buffer.from(hex, 'hex'), offset);
  const wrong = plain.bytes.findIndex((byte, index) => byte !== expected[index]);
  assert.is(wrong, -1);
});

/** The operations that are not the twin's. */
function perform(plain: Plain, verb: string, with_: Data): void {
  const { entry } = with_;
  if (verb === 'add_channel') plain.addChannel(with_.name, with_.flags, with_.capacity);
  else if (verb === 'join') plain.join(plain.channel(with_.channel), with_.role, with_.label, with_.from === 'oldest');
  else if (verb === 'write') plain.write(entry, { at_ns: BigInt(with_.at_ns), type: with_.type }, with_.lengths);
  else if (verb === 'poll') plain.poll(entry, with_.limit);
  else if (verb === 'take') plain.take(entry, with_.limit);
  else if (verb === 'release') plain.release(entry, with_.count);
  else if (verb === 'die_writing') plain.dieWriting(entry, with_.count);
  else if (verb === 'repair') plain.repair(entry);
  else if (verb === 'inherit') plain.inherit(entry, with_.dead);
  else if (verb === 'close') plain.close(entry);
  else throw new Error(`nobody knows how to ${verb}`);
}

twins('passes over the slots that the vectors call bad', ({ twin }) => {
  const bad = read('bad');
  let seen = 0;
  for (const { name, channel, patches, handed_out, corrupt } of bad.cases) {
    if (channel !== 'ticks' || handed_out === undefined) continue;
    seen += 1;
    const plain = new Plain(bad.inputs);
    for (const [index, { name, flags, capacity }] of bad.channels.entries()) {
      plain.addChannel(name, flags, capacity);
      for (const [position, length] of [5, 6, 7].slice(0, capacity).entries()) {
        plain.publish(index, BigInt(position), { at_ns: 1_700_000_000_000_000_000n, type: 7 }, length);
        plain.put('ChannelEntry.tail', index, position + 1);
      }
    }
    for (const [field, index, value] of patches) {
      plain.putSlot(plain.channel(channel), BigInt(index), field.split('.')[1], BigInt(value));
    }
    const entry = plain.join(plain.channel(channel), layout.ROLE_SUBSCRIBER, '', true);
    twin.over(plain, (stream) => stream.poll(REGION, entry, 100, OUT, OUT_BYTES));
    assert.equal(
      twin.handed().map(({ sequence }) => String(sequence)),
      handed_out,
      name,
    );
    assert.is(Number(plain.get('Counters.corrupt', plain.channel(channel))), corrupt, name);
  }
  assert.ok(seen >= 7, `${seen} vectors`);
});

twins('keeps up over many laps, with and without a reader that holds it back', ({ twin }) => {
  for (const role of [layout.ROLE_SUBSCRIBER, layout.ROLE_GATING_SUBSCRIBER]) {
    const plain = regionWith(layout.CHANNEL_STREAM | layout.CHANNEL_CHECKSUM, 8);
    const writer = plain.join(0, layout.ROLE_PRODUCER, '', false);
    const reader = plain.join(0, role, '', false);
    const isGating = role === layout.ROLE_GATING_SUBSCRIBER;
    let written = 0;
    let taken = 0;
    let lost = 0;
    let refused = 0;
    twin.over(plain, (stream) => {
      assert.is(stream.write(REGION, writer, 1n, 1, PAYLOAD, 2_049), TOO_LARGE);
      for (let round = 0; round < 300; round += 1) {
        const length = (round * 97) % 2_049;
        if (stream.write(REGION, writer, BigInt(round), round, twin.put(payload(length)), length) === 1) written += 1;
        else refused += 1;
        if (round % 5 !== 4) continue;
        if (round % 25 === 24) assert.ok(stream.poll(REGION, reader, 100, OUT, 8) === NO_ROOM || isGating);
        stream.poll(REGION, reader, 3, OUT, OUT_BYTES);
        lost += Number(stream.lost.value);
        const handed = twin.handed();
        assert.ok(handed.every(({ isRight }) => isRight));
        taken += handed.length;
      }
      for (;;) {
        stream.poll(REGION, reader, 100, OUT, OUT_BYTES);
        lost += Number(stream.lost.value);
        const { length } = twin.handed();
        if (length === 0) break;
        taken += length;
      }
    });
    assert.is(plain.get('ChannelEntry.tail', 0), plain.get('Participant.cursor', reader));
    if (isGating) {
      assert.ok(refused > 0);
      assert.is(lost, 0);
      assert.is(taken, written);
    } else {
      assert.is(refused, 0);
      assert.ok(lost > 0 && taken < written);
    }
    assert.is(Number(plain.get('Participant.lost', reader)), lost);
    assert.is(Number(plain.get('Counters.full', 0)), refused);
  }
});

twins.run();
