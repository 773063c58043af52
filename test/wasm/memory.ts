/**
 * Memory: regions without a file, on both backends, and what only linear memory has: homes, their limit, and their reuse.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AT, COUNT, HANDLE, numbers, TYPE, words } from '../../sdk/desk.ts';
import { Region } from '../../sdk/index.ts';
import { native } from '../../sdk/native.ts';
import { find } from '../../sdk/wasm/handles.ts';
import { STACK_BYTES } from '../../sdk/wasm/plan.ts';
import { eventually, failureOf } from '../scratch.ts';
import { indexOf, messageOf } from './threads/messages.ts';
import { Thread, WORD } from './threads/thread.ts';

process.env.TAILRACE_BACKEND = 'wasm';

const VICTIM = import.meta.resolve('./threads/victim.ts');
const NEST = import.meta.resolve('./threads/nest.ts');
const ECHO = import.meta.resolve('./threads/echo.ts');
const TEN_MS = 10;

function regionWith(options = {}, memory = {}): Region {
  const region = Region.memory({ limitBytes: 4 << 20, ...memory });
  region.createChannel('c', options);
  return region;
}

const memory = suite('memory');

memory('a message goes from thread to thread and back, in queues and streams', async () => {
  for (const kind of ['queue', 'stream'] as const) {
    using region = Region.memory({ limitBytes: 8 << 20 });
    region.createChannel('there', { kind, capacity: 1_024, gated: kind === 'stream' });
    region.createChannel('back', { kind, capacity: 1_024, gated: kind === 'stream' });
    using producer = region.openProducer('there');
    using consumer = region.openConsumer('back');
    const thread = new Thread(region, ECHO, {});
    await thread.until(WORD.ready);
    const sizes = [4, 64, 1_023, 1_024, 1_025, 20_000];
    const count = 6_000;
    const sending = (async () => {
      for (let index = 0; index < count; index += 1) {
        await producer.send(messageOf(index, sizes[index % sizes.length]!), { timeoutMs: 20_000 });
      }
    })();
    let next = 0;
    for await (const message of consumer.messages()) {
      assert.is(indexOf(message), next);
      assert.is(message.payload.length, sizes[next % sizes.length]);
      next += 1;
      if (next === count) break;
    }
    await sending;
    const { counters } = region.channels()[0]!;
    assert.equal([counters.corrupt, counters.lost, counters.unattributed], [0, 0, 0]);
    await thread.end();
    await eventually(() => region.stats().participants.length === 2);
  }
});

memory(
  'a thread that is ended takes those along that it has started, and what they had is given to others',
  async () => {
    using region = regionWith({}, { threads: 4 });
    using producer = region.openProducer('c');
    for (let round = 0; round < 3; round += 1) {
      producer.writeBatch([0, 1, 2, 3].map((index) => messageOf(index, 64)));
      const thread = new Thread(region, NEST, { depth: 2 });
      await thread.until(WORD.ready);
      using consumer = region.openConsumer('c');
      assert.is(consumer.poll().length, 0);
      await thread.end();
      assert.ok(await consumer.wait({ timeoutMs: 20_000 }));
      const again = [...consumer.poll()].map((message) => [indexOf(message), message.redelivered]);
      assert.equal(
        again,
        [0, 1, 2, 3].map((index) => [index, true]),
      );
    }
  },
);

memory('has room for so many threads, and for others after them', async () => {
  using region = regionWith({}, { threads: 2 });
  using _producer = region.openProducer('c');
  for (let round = 0; round < 3; round += 1) {
    const first = new Thread(region, VICTIM, { step: '', asks: [{ op: 'open', as: 'producer' }] });
    await first.until(WORD.ready);
    const second = new Thread(region, VICTIM, { step: '', asks: [{ op: 'open', as: 'producer' }] });
    const failure = (await failureOf(() => second.until(WORD.ready))) as Error & { code?: string };
    assert.is(failure.code, 'ERR_NO_SPACE');
    assert.match(failure.message, /all 2 threads of this memory are taken/);
    await first.end();
    await eventually(() => region.stats().participants.length === 1);
  }
});

memory('a thread that closes gives its home back', async () => {
  using region = regionWith({}, { threads: 2 });
  for (let round = 0; round < 4; round += 1) {
    const again = Region.attach(region.share());
    const producer = again.openProducer('c');
    again.close();
    assert.ok(producer.write(messageOf(round, 64)), 'the producer outlives its region');
    producer.close();
  }
  using consumer = region.openConsumer('c');
  assert.equal(
    [...consumer.poll()].map((message) => indexOf(message)),
    [0, 1, 2, 3],
  );
});

memory('says what is wrong', async () => {
  using region = regionWith({ exclusiveProducer: true, capacity: 8 });
  using producer = region.openProducer('c');
  const cases: [() => unknown, string, RegExp][] = [
    [() => region.createChannel('c', { capacity: 16 }), 'ERR_EXISTS', /"c" has another capacity/],
    [() => region.createChannel('', {}), 'ERR_ARGUMENT', /1 to 63 bytes/],
    [() => region.createChannel('d', { capacity: 1_000 }), 'ERR_ARGUMENT', /power of two/],
    [() => region.createChannel('d', { capacity: 1 << 16 }), 'ERR_NO_SPACE', /this memory has room for/],
    [() => region.createChannel('d', { kind: 'stream', recorded: true }), 'ERR_UNSUPPORTED', /need a file/],
    [() => region.openProducer('x'), 'ERR_NOT_FOUND', /no channel "x"/],
    [() => region.openProducer('c'), 'ERR_BUSY', /the one producer of channel "c"/],
    [() => region.openConsumer('c', { from: 'oldest' }), 'ERR_ARGUMENT', /is a queue/],
    [() => producer.write(new Uint8Array(3_000)), 'ERR_TOO_LARGE', /3000 bytes, and this channel takes at most 2048/],
    [() => producer.writeBatch([new Uint8Array(2 << 20)]), 'ERR_TOO_LARGE', /takes at most 2048/],
    [() => producer.write('text' as never), 'ERR_ARGUMENT', /must be a Uint8Array/],
    [() => Region.memory({ limitBytes: 1_000 }), 'ERR_ARGUMENT', /./],
    [() => Region.memory({ limitBytes: 5 * 2 ** 30 }), 'ERR_ARGUMENT', /there is room for/],
    [() => Region.memory({ threads: 0 }), 'ERR_ARGUMENT', /threads is 0/],
    [() => Region.attach({} as never), 'ERR_ARGUMENT', /share\(\)/],
  ];
  for (const [call, code, message] of cases) {
    const failure = await failureOf(call);
    assert.is(failure.code, code, failure.message);
    assert.match(failure.message, message);
  }
  assert.is(producer.writeBatch([messageOf(1, 4), messageOf(2, 4)]), 2, 'it still works');
});

memory('a batch that is larger than the stage arrives whole and in order', () => {
  using region = Region.memory({ limitBytes: 32 << 20 });
  region.createChannel('c', { capacity: 8_192 });
  using producer = region.openProducer('c');
  using consumer = region.openConsumer('c');
  const payloads = Array.from({ length: 300 }, (_, index) => messageOf(index, 10_000 + index));
  assert.is(producer.writeBatch(payloads), payloads.length);
  let next = 0;
  while (next < payloads.length) {
    const batch = consumer.poll(1_000);
    assert.ok(batch.length > 0);
    for (const message of batch) {
      assert.is(indexOf(message), next);
      next += 1;
    }
  }
});

memory('claims are released, kept and inherited', () => {
  using region = regionWith({ capacity: 16 });
  using producer = region.openProducer('c');
  using consumer = region.openConsumer('c');
  producer.writeBatch([0, 1, 2, 3].map((index) => messageOf(index, 8)));
  const taken = consumer.take(4);
  assert.is(taken.release(1), 1);
  assert.is(taken.keep(), 3);
  const again = consumer.poll();
  assert.equal(
    [...again].map((message) => [indexOf(message), message.redelivered]),
    [1, 2, 3].map((index) => [index, true]),
  );
});

memory('listeners hear of what was repaired', async () => {
  using region = regionWith({ kind: 'stream', capacity: 2 });
  using producer = region.openProducer('c');
  using consumer = region.openConsumer('c');
  let heard = 0;
  region.on('lost', ({ channel, count }) => {
    if (channel === 'c') heard += count;
  });
  for (let index = 0; index < 10; index += 1) producer.write(messageOf(index, 8));
  assert.ok(consumer.poll().lost > 0 || consumer.poll().lost > 0 || consumer.lost > 0);
  await eventually(() => heard > 0);
});

memory('a wait ends by time, by a signal, and by closing', async () => {
  using region = regionWith();
  const consumer = region.openConsumer('c');
  assert.is(await consumer.wait({ timeoutMs: TEN_MS }), false);
  const controller = new AbortController();
  const waiting = consumer.wait({ signal: controller.signal });
  controller.abort(new Error('enough'));
  assert.is((await failureOf(() => waiting)).message, 'enough');
  const closing = consumer.wait();
  consumer.close();
  assert.is((await failureOf(() => closing)).code, 'ERR_CLOSED');
});

memory('a main thread never sleeps: a lock that is held is ERR_BUSY, soon', async () => {
  using region = regionWith();
  const handle = native().attachShared(region.share(), 1_000);
  const { instance, plan } = find('region', handle);
  const lock = new Int32Array(instance.memory.buffer, plan.regionOffset + 102_400 + 64, 1);
  Atomics.store(lock, 0, 77);
  const start = performance.now();
  const failure = await failureOf(() => region.openProducer('c'));
  assert.is(failure.code, 'ERR_BUSY');
  assert.match(failure.message, /instance 77 holds the lock/);
  assert.ok(performance.now() - start < 1_000);
  Atomics.store(lock, 0, 0);
  region.openProducer('c').close();
  native().close(handle);
});

memory('an instance uses a small part of its stack', () => {
  const handle = native().regionMemory(8 << 20, 1, 1_000);
  const { instance, home } = find('region', handle);
  native().createChannel(handle, 'c', 0, 1_024);
  const producer = native().openProducer(handle, 'c', 'label', -1);
  const consumer = native().openConsumer(handle, 'c', 'label', -1, 0, 0);
  for (let round = 0; round < 50; round += 1) {
    [numbers[HANDLE], words[TYPE]] = [producer, 1];
    native().write(messageOf(round, 20_000));
    [numbers[HANDLE], words[COUNT], words[AT]] = [consumer, 9, 0];
    native().take(new Uint8Array(100_000));
    [numbers[HANDLE], words[COUNT]] = [consumer, -1];
    native().release();
  }
  native().unblock(handle, null, 3);
  const stack = instance.bytes.subarray(home.start, home.start + STACK_BYTES);
  const used = STACK_BYTES - stack.findIndex((byte) => byte !== 0);
  assert.ok(used > 0 && used < STACK_BYTES / 4, `${used} bytes`);
  for (const open of [producer, consumer, handle]) native().close(open);
});

memory('threads wait for room without spinning', async () => {
  using region = regionWith({ capacity: 4 });
  using producer = region.openProducer('c');
  using consumer = region.openConsumer('c');
  for (let index = 0; index < 4; index += 1) assert.ok(producer.write(messageOf(index, 8)));
  assert.not.ok(producer.write(messageOf(4, 8)));
  const sent = producer.send(messageOf(4, 8), { timeoutMs: 30_000 });
  await sleep(30);
  assert.is(consumer.poll(1).length, 1);
  assert.is(await sent, 5n);
});

memory.run();
