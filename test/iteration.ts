import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Region } from '../sdk/index.ts';
import { failureOf, onFile, Pair } from './scratch.ts';

const iteration = suite('iteration');

iteration('waits for batches, and releases each when the next is asked for', async () => {
  using pair = new Pair();
  using other = pair.region.openConsumer('c');
  const seen: string[] = [];
  setTimeout(() => pair.write('a', 'b'), 5);
  setTimeout(() => pair.write('c'), 30);
  for await (const batch of pair.consumer) {
    assert.ok(batch.isClaimed);
    for (const message of batch) seen.push(message.text());
    if (seen.length === 3) break;
  }
  assert.equal(seen, ['a', 'b', 'c']);
  assert.is(other.poll().length, 0);
  pair.write('d');
  assert.is(pair.consumer.poll().at(0)?.text(), 'd');
  assert.is(pair.counters.redelivered, 0);
});

iteration('releases a batch when its loop fails', async () => {
  using pair = new Pair();
  pair.write('a', 'b');
  const error = await failureOf(async () => {
    for await (const batch of pair.consumer) throw new Error(`${batch.length}`);
  });
  assert.is(error.message, '2');
  assert.is(pair.consumer.poll().length, 0);
});

iteration('keeps what its loop has not done when it is told to', async () => {
  using pair = new Pair();
  pair.write('a', 'b', 'c');
  for await (const batch of pair.consumer) {
    batch.release(1);
    batch.keep();
    break;
  }
  assert.equal(
    [...pair.consumer.poll()].map((message) => [message.text(), message.redelivered]),
    [
      ['b', true],
      ['c', true],
    ],
  );
});

iteration('ends with the reason of an abort', async () => {
  const abort = new AbortController();
  using pair = new Pair({}, { signal: abort.signal });
  pair.write('a');
  setTimeout(() => abort.abort(new Error('enough')), 20);
  let count = 0;
  const error = await failureOf(async () => {
    for await (const batch of pair.consumer) count += batch.length;
  });
  assert.is(error.message, 'enough');
  assert.is(count, 1);
  const again = await failureOf(async () => {
    for await (const _ of pair.consumer);
  });
  assert.is(again.message, 'enough');
});

iteration('ends with ERR_CLOSED when the consumer is closed', async () => {
  using pair = new Pair();
  setTimeout(() => pair.consumer.close(), 10);
  const error = await failureOf(async () => {
    for await (const _ of pair.consumer);
  });
  assert.is(error.code, 'ERR_CLOSED');
});

onFile(iteration)('ends with ERR_GONE when the region is removed', async () => {
  using pair = new Pair();
  setTimeout(() => Region.remove(pair.path), 10);
  const error = await failureOf(async () => {
    for await (const _ of pair.consumer);
  });
  assert.is(error.code, 'ERR_GONE');
});

iteration('has batches of the size that was asked for', async () => {
  using pair = new Pair({}, { limit: 2 });
  pair.write('a', 'b', 'c');
  const sizes: number[] = [];
  for await (const batch of pair.consumer) {
    sizes.push(batch.length);
    if (sizes.length === 2) break;
  }
  assert.equal(sizes, [2, 1]);
});

iteration('goes over streams', async () => {
  using pair = new Pair({ kind: 'stream', capacity: 8 });
  setTimeout(() => pair.write('a', 'b'), 5);
  for await (const batch of pair.consumer) {
    assert.not(batch.isClaimed);
    assert.is(batch.length, 2);
    break;
  }
  for (let index = 0; index < 20; index += 1) pair.write(`${index}`);
  let lost = 0;
  for await (const batch of pair.consumer) {
    lost += batch.lost;
    if (batch.at(-1)?.text() === '19') break;
  }
  assert.is(lost, 12);
});

iteration('goes message by message', async () => {
  using pair = new Pair();
  setTimeout(() => pair.write('a', 'b', 'c'), 5);
  const seen: string[] = [];
  for await (const message of pair.consumer.messages()) {
    seen.push(message.text());
    if (seen.length === 2) break;
  }
  assert.equal(seen, ['a', 'b']);
  assert.equal(
    [...pair.consumer.poll()].map((message) => message.text()),
    ['c'],
  );
});

iteration('loses nothing of a stream that it left in the middle of a batch', async () => {
  using pair = new Pair({ kind: 'stream' });
  pair.write('a', 'b', 'c');
  for await (const message of pair.consumer.messages()) {
    assert.is(message.text(), 'a');
    break;
  }
  assert.is(pair.consumer.depth, 2);
  assert.is(await pair.consumer.wait(), true);
  const seen: string[] = [];
  for await (const message of pair.consumer.messages()) {
    seen.push(message.text());
    if (seen.length === 2) break;
  }
  assert.equal(seen, ['b', 'c']);
  assert.is(pair.consumer.poll().length, 0);
});

iteration('lets the event loop turn when it never has to wait', async () => {
  using pair = new Pair();
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
  }, 1);
  const end = performance.now() + 30_000;
  pair.write('x');
  for await (const _ of pair.consumer) {
    pair.write('x');
    if (turns === 3 || performance.now() > end) break;
  }
  clearInterval(timer);
  assert.is(turns, 3);
});

iteration('shares a queue between loops', async () => {
  using pair = new Pair({ capacity: 64 });
  using other = pair.region.openConsumer('c');
  const seen = new Set<string>();
  const abort = new AbortController();
  const loop = async (consumer: typeof other) => {
    for await (const batch of consumer) {
      for (const message of batch) seen.add(message.text());
      await sleep(1);
    }
  };
  const loops = [loop(pair.consumer), loop(other)];
  for (let index = 0; index < 300; index += 1) await pair.producer.send(Buffer.from(`${index}`));
  while (pair.consumer.depth > 0) await sleep(5);
  await sleep(20);
  abort.abort();
  pair.consumer.close();
  other.close();
  for (const ended of await Promise.allSettled(loops)) assert.is(ended.status, 'rejected');
  assert.is(seen.size, 300);
});

iteration.run();
