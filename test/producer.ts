import { setTimeout as sleep } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { failureOf, newRegion, Pair } from './scratch.ts';

const producer = suite('producer');

producer('says when there is no room', () => {
  using pair = new Pair({ capacity: 2 });
  assert.is(pair.producer.write(Buffer.from('a')), true);
  assert.is(pair.producer.write(Buffer.from('b')), true);
  assert.is(pair.producer.write(Buffer.from('c')), false);
  assert.is(pair.consumer.poll(1).length, 1);
  assert.is(pair.producer.write(Buffer.from('c')), true);
  assert.is(pair.producer.lastSequence, 3n);
});

producer('writes as many of a batch as fit', () => {
  using pair = new Pair({ capacity: 4 });
  const payloads = ['a', 'b', 'c', 'd', 'e'].map((text) => Buffer.from(text));
  assert.is(pair.producer.writeBatch(payloads, { type: 9 }), 4);
  assert.is(pair.producer.writeBatch(payloads.slice(4)), 0);
  assert.is(pair.producer.writeBatch([]), 0);
  const batch = pair.consumer.poll();
  assert.equal([...batch].map((message) => message.text()).join(''), 'abcd');
  assert.equal(
    [...batch].map((message) => message.type),
    [9, 9, 9, 9],
  );
});

producer('carries every size up to the longest, alone and in batches', () => {
  const sizes = [0, 1, 7, 8, 9, 63, 64, 65, 959, 960, 1_023, 1_024, 1_025, 2_048, 2_049, 65_536, 1 << 20];
  const payloads = sizes.map((size) => new Uint8Array(size).map((_, index) => index % 251));
  using pair = new Pair({ capacity: 4_096 });
  const check = () => {
    const seen: Uint8Array[] = [];
    while (seen.length < sizes.length) {
      const batch = pair.consumer.poll();
      assert.ok(batch.length > 0);
      seen.push(...[...batch].map((message) => message.payload));
    }
    for (const [index, payload] of payloads.entries()) assert.ok(Buffer.from(payload).equals(seen[index]!));
  };
  for (const payload of payloads) assert.ok(pair.producer.write(payload));
  check();
  assert.is(pair.producer.writeBatch(payloads), sizes.length);
  check();
});

producer('checks a whole batch before it writes any of it', async () => {
  using pair = new Pair({ capacity: 8 });
  const error = await failureOf(() => pair.producer.writeBatch([Buffer.from('a'), new Uint8Array(4_096)]));
  assert.is(error.code, 'ERR_TOO_LARGE');
  assert.is(pair.consumer.depth, 0);
});

producer('takes bytes in every form, and nothing else', async () => {
  using pair = new Pair();
  const shared = new Uint8Array(new SharedArrayBuffer(8), 2, 3).fill(1);
  const foreign = runInNewContext('new Uint8Array([1, 1, 1])') as Uint8Array;
  const part = new Uint8Array([0, 1, 1, 1, 0]).subarray(1, 4);
  for (const bytes of [shared, foreign, part, Buffer.from([1, 1, 1])]) {
    assert.ok(pair.producer.write(bytes));
    assert.is(pair.producer.writeBatch([bytes]), 1);
  }
  for (const message of pair.consumer.poll()) assert.equal([...message.payload], [1, 1, 1]);
  for (const wrong of [
    'text',
    7,
    null,
    undefined,
    [1],
    new Float64Array(2),
    new ArrayBuffer(2),
    new DataView(new ArrayBuffer(2)),
  ]) {
    const single = await failureOf(() => pair.producer.write(wrong as never));
    assert.is(single.code, 'ERR_ARGUMENT');
    assert.match(single.message, /must be a Uint8Array/);
    const batch = await failureOf(() => pair.producer.writeBatch([Buffer.from('a'), wrong as never]));
    assert.is(batch.code, 'ERR_ARGUMENT');
    assert.match(batch.message, /payload 1 of the batch is/);
  }
  assert.is(pair.consumer.depth, 0);
});

producer('takes whole numbers for types', async () => {
  using pair = new Pair();
  for (const type of [-1, 1.5, 2 ** 32, Number.NaN, '1']) {
    const error = await failureOf(() => pair.producer.write(Buffer.from('a'), { type: type as number }));
    assert.is(error.code, 'ERR_ARGUMENT');
  }
  pair.producer.write(Buffer.from('a'), { type: 2 ** 32 - 1 });
  assert.is(pair.consumer.poll().at(0)?.type, 2 ** 32 - 1);
});

producer('sends as soon as there is room, in the order of the calls', async () => {
  using pair = new Pair({ capacity: 2 });
  const sent = ['a', 'b', 'c', 'd', 'e'].map((text) => pair.producer.send(Buffer.from(text)));
  await sleep(20);
  const seen: string[] = [];
  while (seen.length < 5) {
    for (const message of pair.consumer.poll(1)) seen.push(message.text());
    await sleep(1);
  }
  assert.is(seen.join(''), 'abcde');
  assert.equal(await Promise.all(sent), [1n, 2n, 3n, 4n, 5n]);
});

producer('waits for all the room that a long message needs', async () => {
  using pair = new Pair({ capacity: 16 });
  for (let index = 0; index < 16; index += 1) pair.write('x');
  const sent = pair.producer.send(new Uint8Array(4_000), { timeoutMs: 2_000 });
  for (let index = 0; index < 4; index += 1) {
    await sleep(5);
    assert.is(pair.consumer.poll(1).length, 1);
  }
  assert.is(await sent, 17n);
});

producer('gives up when the time is up, or on demand', async () => {
  using pair = new Pair({ capacity: 2 });
  pair.write('a', 'b');
  const abort = new AbortController();
  const late = pair.producer.send(Buffer.from('c'), { timeoutMs: 20 });
  const aborted = pair.producer.send(Buffer.from('d'), { signal: abort.signal });
  const kept = pair.producer.send(Buffer.from('e'));
  abort.abort(new Error('no more'));
  assert.is((await failureOf(() => aborted)).message, 'no more');
  assert.is((await failureOf(() => late)).code, 'ERR_TIMED_OUT');
  const never = failureOf(() =>
    pair.producer.send(Buffer.from('f'), { signal: AbortSignal.abort(new Error('never')) }),
  );
  assert.is((await never).message, 'never');
  assert.is(pair.consumer.poll(1).length, 1);
  await kept;
  assert.equal([...pair.consumer.poll()].map((message) => message.text()).join(''), 'be');
});

producer('rejects what it cannot send at all', async () => {
  using pair = new Pair({ capacity: 2 });
  const wrong: [() => Promise<unknown>, string][] = [
    [() => pair.producer.send('text' as never), 'ERR_ARGUMENT'],
    [() => pair.producer.send(Buffer.from('a'), { type: -1 }), 'ERR_ARGUMENT'],
    [() => pair.producer.send(new Uint8Array(1 << 21)), 'ERR_TOO_LARGE'],
  ];
  for (const [send, code] of wrong) {
    const sent = send();
    assert.instance(sent, Promise);
    assert.is((await failureOf(() => sent)).code, code);
  }
  pair.write('a', 'b');
  assert.is((await failureOf(() => pair.producer.send(Buffer.from('c'), { timeoutMs: -1 }))).code, 'ERR_ARGUMENT');
  const patient = pair.producer.send(Buffer.from('c'), { timeoutMs: Number.POSITIVE_INFINITY });
  const late = pair.producer.send(Buffer.from('d'), { timeoutMs: 2 ** 40 });
  await sleep(20);
  pair.consumer.poll();
  assert.equal(await Promise.all([patient, late]), [3n, 4n]);
});

producer('ends what it has not sent when it is closed', async () => {
  using pair = new Pair({ capacity: 2 });
  pair.write('a', 'b');
  const sent = pair.producer.send(Buffer.from('c'));
  pair.producer.close();
  assert.is((await failureOf(() => sent)).code, 'ERR_CLOSED');
  assert.is((await failureOf(() => pair.producer.write(Buffer.from('d')))).code, 'ERR_CLOSED');
  assert.is((await failureOf(() => pair.producer.send(Buffer.from('d')))).code, 'ERR_CLOSED');
});

producer('shares an exclusive channel with nobody', async () => {
  using made = newRegion();
  made.createChannel('c', { exclusiveProducer: true });
  const first = made.openProducer('c');
  const error = await failureOf(() => made.openProducer('c'));
  assert.is(error.code, 'ERR_BUSY');
  assert.match(error.message, new RegExp(String(process.pid)));
  first.close();
  made.openProducer('c').close();
});

producer('waits for the slowest of a gated stream', () => {
  using pair = new Pair({ kind: 'stream', capacity: 4, gated: true });
  for (let index = 0; index < 4; index += 1) assert.ok(pair.producer.write(Buffer.from('x')));
  assert.not(pair.producer.write(Buffer.from('x')));
  pair.consumer.poll(1);
  assert.ok(pair.producer.write(Buffer.from('x')));
});

producer.run();
