import { existsSync, statSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ANNEX_OFFSET,
  CHANNEL_MAX,
  CHANNELS_OFFSET,
  ChannelEntry,
  MAGIC,
  RegionHeader,
  Slot,
  VERSION,
} from '../sdk/generated/layout.ts';
import { now, Region, TailraceError } from '../sdk/index.ts';
import { eventually, failureOf, isWasm, newRegion, onFile, Pair, scratch } from './scratch.ts';

const region = suite('region');

/** A region with one queue, as a program makes it that knows only the published layout. */
function writeForeignRegion(path: string, capacity: number): void {
  const band = ANNEX_OFFSET;
  const bytes = Buffer.alloc(band + capacity * Slot.size);
  bytes.writeBigUInt64LE(MAGIC, RegionHeader.magic.offset);
  bytes.writeUInt32LE(VERSION, RegionHeader.version.offset);
  bytes.writeUInt32LE(CHANNEL_MAX, RegionHeader.max_channels.offset);
  bytes.writeUInt32LE(1, RegionHeader.channel_count.offset);
  bytes.writeBigUInt64LE(BigInt(capacity), CHANNELS_OFFSET + ChannelEntry.capacity.offset);
  bytes.writeBigUInt64LE(BigInt(band), CHANNELS_OFFSET + ChannelEntry.band_offset.offset);
  for (let index = 0; index < capacity; index += 1) {
    bytes.writeBigUInt64LE(BigInt(index), band + index * Slot.size + Slot.sequence.offset);
  }
  writeFileSync(path, bytes, { mode: 0o600 });
}

onFile(region)('is made once, opened often, and removed', async () => {
  const path = scratch();
  using made = Region.create(path, { limitBytes: 8 << 20 });
  assert.is((await failureOf(() => Region.create(path))).code, 'ERR_EXISTS');
  assert.is(statSync(path).mode & 0o777, 0o600);
  assert.is(made.createChannel('orders', { capacity: 64 }), 0);
  using opened = Region.open(path);
  assert.is(opened.channels()[0]?.name, 'orders');
  using either = Region.openOrCreate(path, { limitBytes: 1 << 20 });
  assert.is(either.stats().limitBytes, 8 << 20);
  Region.remove(path);
  assert.not(existsSync(path));
  assert.is((await failureOf(() => Region.open(path))).code, 'ERR_NOT_FOUND');
});

onFile(region)('makes what is not there', () => {
  const path = scratch();
  using made = Region.openOrCreate(path);
  assert.equal(made.channels(), []);
  assert.is(made.stats().limitBytes, 64 << 20);
});

onFile(region)('says what is wrong with a file', async () => {
  const path = scratch();
  writeFileSync(path, Buffer.alloc(200_000));
  const error = await failureOf(() => Region.open(path));
  assert.instance(error, TailraceError);
  assert.is(error.code, 'ERR_FOREIGN');
});

onFile(region)('keeps the error of the operating system', async () => {
  const error = await failureOf(() => Region.create('/dev/shm/no/such/folder'));
  assert.is(error.code, 'ERR_NOT_FOUND');
  assert.is((error.cause as NodeJS.ErrnoException).code, 'ENOENT');
});

region('finds a channel that has the same options, and refuses others', async () => {
  using made = newRegion();
  const index = made.createChannel('a', { kind: 'stream', capacity: 16, gated: true });
  assert.is(made.createChannel('a', { kind: 'stream', capacity: 16, gated: true }), index);
  assert.is((await failureOf(() => made.createChannel('a', { kind: 'stream', capacity: 16 }))).code, 'ERR_EXISTS');
});

region('tells of its channels', () => {
  using made = newRegion();
  made.createChannel('q', { capacity: 16, checksum: true });
  made.createChannel('s', { kind: 'stream', capacity: 32, exclusiveProducer: true, gated: true });
  const [queue, stream] = made.channels();
  assert.is(queue?.kind, 'queue');
  assert.is(queue?.capacity, 16);
  assert.equal(queue?.options, ['checksum']);
  assert.is(stream?.kind, 'stream');
  assert.equal(stream?.options, ['exclusive_producer', 'gated']);
  assert.is(stream?.oldestUnreadAgeMs, null);
});

region('tells who is attached, and what waits', () => {
  using pair = new Pair();
  using gateway = pair.region.openProducer('c', { label: 'gateway' });
  gateway.write(Buffer.from('one'));
  const { channels, participants, path, isForeign } = pair.region.stats();
  assert.is(path, isWasm ? 'memory' : pair.path);
  assert.not(isForeign);
  assert.is(channels[0]?.depth, 1);
  assert.ok((channels[0]?.oldestUnreadAgeMs ?? -1) >= 0);
  assert.equal(
    participants.map(({ role, label, pid, messages }) => [role, label, pid, messages]),
    [
      ['producer', '', process.pid, 0],
      ['consumer', '', process.pid, 0],
      ['producer', 'gateway', process.pid, 1],
    ],
  );
});

region('teaches by its refusals', async () => {
  using made = newRegion();
  const refusals: [() => unknown, RegExp][] = [
    [() => Region.open(7 as never), /path is a number/],
    [() => Region.create(scratch(), { limitBytes: 1.5 }), /limitBytes is 1.5; give a whole number/],
    [() => made.createChannel('a', { kind: 'topic' as never }), /kind is "topic"; give 'queue' or 'stream'/],
    [() => made.createChannel('a', { capacity: 100 }), /100/],
    [() => made.createChannel('a', { gated: true }), /gated is for streams/],
    [() => made.createChannel(''), /name has 1 to 63 bytes/],
    [() => made.createChannel('a', { foreign: 'yes' as never }), /give 'document' or 'code'/],
  ];
  for (const [call, message] of refusals) {
    const error = await failureOf(call);
    assert.is(error.code, 'ERR_ARGUMENT', String(call));
    assert.match(error.message, message);
  }
  assert.is((await failureOf(() => made.openProducer('nobody'))).code, 'ERR_NOT_FOUND');
  assert.is((await failureOf(() => made.openConsumer('nobody'))).code, 'ERR_NOT_FOUND');
});

onFile(region)('refuses modes that let everybody in', async () => {
  const error = await failureOf(() => Region.create(scratch(), { mode: 0o666 }));
  assert.is(error.code, 'ERR_ARGUMENT');
  assert.match(error.message, /mode is 0o666; it may be/);
});

region('may be closed before its handles, and twice', async () => {
  const pair = new Pair();
  pair.region.close();
  pair.region.close();
  pair.write('still there');
  assert.is(pair.consumer.poll().length, 1);
  assert.is((await failureOf(() => pair.region.channels())).code, 'ERR_CLOSED');
  pair[Symbol.dispose]();
});

onFile(region)('is gone for those who have it open when it is removed', async () => {
  using pair = new Pair({ capacity: 2 });
  Region.remove(pair.path);
  assert.is((await failureOf(() => pair.region.openProducer('c'))).code, 'ERR_GONE');
  const error = await failureOf(() => {
    while (pair.producer.write(Buffer.from('x')));
  });
  assert.is(error.code, 'ERR_GONE');
});

onFile(region)('can be mapped for reading only', async () => {
  const path = scratch();
  using made = Region.create(path);
  made.createChannel('s', { kind: 'stream' });
  using producer = made.openProducer('s');
  producer.write(Buffer.from('before'));
  using reading = Region.open(path, { readOnly: true });
  using consumer = reading.openConsumer('s', { from: 'oldest' });
  assert.is(consumer.poll().at(0)?.text(), 'before');
  assert.is((await failureOf(() => reading.openProducer('s'))).code, 'ERR_PERMISSION');
  assert.is(made.stats().participants.length, 1);
});

onFile(region)('is shared with programs that know only the published layout', async () => {
  const path = scratch();
  writeForeignRegion(path, 16);
  assert.is((await failureOf(() => Region.open(path))).code, 'ERR_FOREIGN');
  using opened = Region.open(path, { recovery: false });
  const [channel] = opened.channels();
  assert.is(channel?.capacity, 16);
  using producer = opened.openProducer(channel!.name);
  using consumer = opened.openConsumer(channel!.name);
  setTimeout(() => producer.write(Buffer.from('between us')), 10);
  for await (const batch of consumer) {
    assert.not(batch.isClaimed);
    assert.is(batch.at(0)?.text(), 'between us');
    break;
  }
  assert.is((await failureOf(() => opened.createChannel('more'))).code, 'ERR_UNSUPPORTED');
});

region('tells its listeners what was lost', async () => {
  using pair = new Pair({ kind: 'stream', capacity: 4 });
  const heard: [string, number][] = [];
  pair.region.on('lost', ({ channel, count }) => heard.push([channel, count]));
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (let index = 0; index < 10; index += 1) pair.write(`${index}`);
  while (pair.consumer.poll().length > 0);
  await eventually(() => heard.length > 0);
  assert.equal(heard, [['c', 6]]);
});

region('has the clock of the messages', () => {
  using pair = new Pair();
  const before = now();
  pair.write('now');
  const { timestamp } = pair.consumer.poll().at(0)!;
  assert.ok(before <= timestamp && timestamp <= now());
  assert.ok(Math.abs(Number(before / 1_000_000n) - Date.now()) < 1_000);
});

region.run();
