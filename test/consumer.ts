import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch } from '../sdk/index.ts';
import { failureOf, newRegion, Pair } from './scratch.ts';

const consumer = suite('consumer');

function texts(batch: Batch): string {
  return [...batch].map((message) => message.text()).join('');
}

consumer('polls what is there, in order, once', () => {
  using pair = new Pair();
  assert.is(pair.consumer.poll().length, 0);
  pair.write('a', 'b', 'c');
  assert.is(pair.consumer.depth, 3);
  assert.is(texts(pair.consumer.poll(2)), 'ab');
  assert.is(texts(pair.consumer.poll()), 'c');
  assert.is(pair.consumer.poll().length, 0);
  assert.is(pair.consumer.depth, 0);
});

consumer('calls back for each message', () => {
  using pair = new Pair();
  pair.write('a', 'b', 'c');
  const seen: string[] = [];
  assert.is(
    pair.consumer.poll((message) => seen.push(message.text()), 2),
    2,
  );
  assert.is(
    pair.consumer.poll((message) => seen.push(message.text())),
    1,
  );
  assert.equal(seen, ['a', 'b', 'c']);
});

consumer('refuses limits that mean nothing', async () => {
  using pair = new Pair();
  for (const limit of [0, -1, Number.NaN, 'x']) {
    assert.is((await failureOf(() => pair.consumer.poll(limit as number))).code, 'ERR_ARGUMENT');
  }
});

consumer('releases what it took at the end of the scope', async () => {
  using pair = new Pair();
  using other = pair.region.openConsumer('c');
  pair.write('a', 'b', 'c');
  {
    using taken = pair.consumer.take(2);
    assert.is(texts(taken), 'ab');
    assert.ok(taken.isClaimed);
    assert.is(texts(other.poll()), 'c');
    for (const call of [() => pair.consumer.poll(), () => pair.consumer.take()]) {
      const error = await failureOf(call);
      assert.is(error.code, 'ERR_BUSY');
      assert.match(error.message, /release or keep it/);
    }
  }
  assert.is(pair.consumer.poll().length, 0);
  assert.is(pair.counters.redelivered, 0);
});

consumer('releases what it took when the scope is left by an exception', async () => {
  using pair = new Pair();
  pair.write('a');
  const error = await failureOf(() => {
    using taken = pair.consumer.take();
    throw new Error(texts(taken));
  });
  assert.is(error.message, 'a');
  assert.is(pair.consumer.poll().length, 0);
});

consumer('releases the first messages, and keeps the rest', () => {
  using pair = new Pair();
  pair.write('a', 'b', 'c', 'd');
  const taken = pair.consumer.take();
  assert.is(taken.release(1), 1);
  assert.is(taken.release(1), 1);
  assert.is(taken.keep(), 2);
  assert.is(taken.release(), 0);
  assert.is(taken.keep(), 0);
  const again = pair.consumer.poll();
  assert.is(texts(again), 'cd');
  for (const message of again) {
    assert.ok(message.redelivered);
    assert.is(message.deliveryCount, 2);
  }
});

consumer('ends a claim that was released piece by piece', () => {
  using pair = new Pair();
  pair.write('a', 'b', 'c');
  const taken = pair.consumer.take(2);
  taken.release(1);
  taken.release(1);
  assert.not(taken.isClaimed);
  assert.is(texts(pair.consumer.poll()), 'c');
});

consumer('does not release what another batch claimed', () => {
  using pair = new Pair();
  pair.write('a', 'b');
  const first = pair.consumer.take(1);
  first.release();
  const second = pair.consumer.take(1);
  assert.is(first.release(), 0);
  assert.ok(second.isClaimed);
  assert.is(second.release(), 1);
});

consumer('refuses to release more than it holds', async () => {
  using pair = new Pair();
  pair.write('a');
  using taken = pair.consumer.take();
  assert.is((await failureOf(() => taken.release(2))).code, 'ERR_ARGUMENT');
  assert.is((await failureOf(() => taken.release(-1))).code, 'ERR_ARGUMENT');
});

consumer('leaves what it kept to others when it is closed', () => {
  using pair = new Pair();
  using other = pair.region.openConsumer('c');
  pair.write('a', 'b');
  pair.consumer.take().keep();
  pair.consumer.close();
  const end = performance.now() + 30_000;
  let batch = other.poll();
  while (batch.length === 0 && performance.now() < end) batch = other.poll();
  assert.is(texts(batch), 'ab');
  assert.ok(batch.at(0)?.redelivered);
});

consumer('leaves what is claimed to others when it is closed', async () => {
  using pair = new Pair();
  using other = pair.region.openConsumer('c');
  pair.write('a');
  const taken = pair.consumer.take();
  pair.consumer.close();
  assert.is(taken.release(), 0);
  assert.is(await other.wait({ timeoutMs: 30_000 }), true);
  const again = other.poll();
  assert.is(texts(again), 'a');
  assert.ok(again.at(0)?.redelivered);
});

consumer('need not wait for what it kept', async () => {
  using pair = new Pair();
  pair.write('a');
  assert.is(pair.consumer.take().keep(), 1);
  assert.is(await pair.consumer.wait({ timeoutMs: 30_000 }), true);
  assert.is(texts(pair.consumer.poll()), 'a');
});

consumer('finds room for messages of any size', () => {
  using pair = new Pair({ capacity: 4_096 });
  const sizes = [10, 300_000, 20, 1 << 20, 30, 2_000];
  for (const size of sizes) assert.ok(pair.producer.write(new Uint8Array(size).fill(size % 251)));
  const seen: number[] = [];
  while (seen.length < sizes.length) {
    for (const message of pair.consumer.poll()) {
      assert.ok(message.payload.every((byte) => byte === message.payload.length % 251));
      seen.push(message.payload.length);
    }
  }
  assert.equal(seen, sizes);
});

consumer('hands out batches that may be kept', () => {
  using pair = new Pair({ capacity: 1_024 });
  const kept: Batch[] = [];
  for (let round = 0; round < 40; round += 1) {
    for (let index = 0; index < 256; index += 1) pair.write(`${round}`);
    kept.push(pair.consumer.poll());
  }
  for (const [round, batch] of kept.entries()) {
    assert.is(batch.length, 256);
    for (const message of batch) assert.is(message.text(), `${round}`);
  }
});

consumer('hands out one buffer again and again when it is asked to', () => {
  using pair = new Pair({}, { reuse: true });
  pair.write('a');
  const first = pair.consumer.poll().at(0)!;
  const { buffer } = first.payload;
  pair.write('b');
  const second = pair.consumer.poll().at(0)!;
  assert.is(second.payload.buffer, buffer);
  assert.is(second.text(), 'b');
  assert.is(first.text(), 'b');
  pair.producer.write(new Uint8Array(200_000).fill(7));
  assert.is(pair.consumer.poll().at(0)?.payload.length, 200_000);
});

consumer('survives that somebody gives its memory away', () => {
  using pair = new Pair();
  pair.write('a');
  const { payload } = pair.consumer.poll().at(0)!;
  structuredClone(payload.buffer, { transfer: [payload.buffer] });
  pair.write('b');
  assert.is(texts(pair.consumer.poll()), 'b');
});

consumer('says what a subscriber lost', () => {
  using pair = new Pair({ kind: 'stream', capacity: 4 });
  for (let index = 0; index < 10; index += 1) pair.write(`${index}`);
  const batches: Batch[] = [];
  let batch = pair.consumer.poll();
  while (batch.length > 0 || batches.length === 0) {
    batches.push(batch);
    batch = pair.consumer.poll();
  }
  const [first] = batches.filter((batch) => batch.length > 0);
  assert.is(first?.lost, 6);
  assert.is(texts(first!), '6789');
  assert.is(pair.consumer.lost, 6);
});

consumer('begins where it is told', async () => {
  using made = newRegion();
  made.createChannel('s', { kind: 'stream', capacity: 16 });
  made.createChannel('q');
  using producer = made.openProducer('s');
  producer.write(Buffer.from('a'));
  using latest = made.openConsumer('s');
  using oldest = made.openConsumer('s', { from: 'oldest' });
  producer.write(Buffer.from('b'));
  assert.is(texts(latest.poll()), 'b');
  assert.is(texts(oldest.poll()), 'ab');
  assert.is((await failureOf(() => made.openConsumer('q', { from: 'latest' }))).code, 'ERR_ARGUMENT');
  assert.match((await failureOf(() => made.openConsumer('s', { from: 'now' as never }))).message, /'latest', 'oldest'/);
});

consumer('takes from queues only', async () => {
  using pair = new Pair({ kind: 'stream' });
  assert.is((await failureOf(() => pair.consumer.take())).code, 'ERR_UNSUPPORTED');
});

consumer('waits until there is something, or the time is up', async () => {
  using pair = new Pair();
  assert.is(await pair.consumer.wait({ timeoutMs: 10 }), false);
  setTimeout(() => pair.write('a'), 10);
  assert.is(await pair.consumer.wait(), true);
  assert.is(texts(pair.consumer.poll()), 'a');
  pair.write('b');
  assert.is(await pair.consumer.wait({ timeoutMs: 1_000 }), true);
});

consumer('ends a wait when it is closed, or on demand', async () => {
  using pair = new Pair();
  const abort = new AbortController();
  const aborted = pair.consumer.wait({ signal: abort.signal });
  assert.is((await failureOf(() => pair.consumer.wait())).code, 'ERR_BUSY');
  abort.abort(new Error('enough'));
  assert.is((await failureOf(() => aborted)).message, 'enough');
  const closed = pair.consumer.wait();
  await sleep(5);
  pair.consumer.close();
  assert.is((await failureOf(() => closed)).code, 'ERR_CLOSED');
  assert.is((await failureOf(() => pair.consumer.wait())).code, 'ERR_CLOSED');
  assert.is((await failureOf(() => pair.consumer.poll())).code, 'ERR_CLOSED');
});

consumer.run();
