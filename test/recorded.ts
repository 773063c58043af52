import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ChannelOptions, type Consumer, LogReader, Region } from '../sdk/index.ts';
import { eventually, failureOf, scratch } from './scratch.ts';

const test = suite('recorded channels');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-recorded-'));
let places = 0;

/** A directory that nobody uses. */
const place = () => join(folder, String(places++));
const bytes = (text: string) => Buffer.from(text);

test.after(() => rmSync(folder, { recursive: true, force: true }));

/** A region with the recorded channel `c`, and a directory for its log. */
class Scene implements Disposable {
  readonly path = scratch();
  readonly log = place();
  readonly region: Region;

  constructor(options: ChannelOptions = {}) {
    this.region = Region.create(this.path);
    this.region.createChannel('c', { kind: 'stream', recorded: true, capacity: 64, ...options });
  }

  [Symbol.dispose](): void {
    this.region.close();
    Region.remove(this.path);
  }
}

/** Everything that a consumer has to give now, checked to be dense from `first` on; the texts. */
function drain(consumer: Consumer | LogReader, first: bigint): string[] {
  const texts: string[] = [];
  for (;;) {
    const batch = consumer.poll(1_000);
    if (batch.length === 0) return texts;
    for (const message of batch) {
      assert.is(message.sequence, first + BigInt(texts.length));
      texts.push(message.text());
    }
  }
}

test('writers wait for the recorder, whether there is one or not', async () => {
  using scene = new Scene({ capacity: 4 });
  using producer = scene.region.openProducer('c');
  for (let index = 0; index < 4; index += 1) assert.ok(producer.write(bytes(String(index))));
  assert.not(producer.write(bytes('4')), 'full, though nobody subscribes');
  assert.is(producer.lastSequence, 0n, 'it has no number yet');
  const sent = producer.send(bytes('4'));
  await using _recorder = scene.region.record('c', { log: scene.log });
  assert.is(await sent, 5n);
  assert.is(producer.lastSequence, 5n);
});

test('send waits for the disk when it is told to', async () => {
  using scene = new Scene();
  using producer = scene.region.openProducer('c');
  const unbound = await failureOf(() => producer.send(bytes('x'), { durability: 'wal' }));
  assert.is(unbound.code, 'ERR_UNSUPPORTED');
  await using recorder = scene.region.record('c', { log: scene.log });
  assert.is(await producer.send(bytes('one'), { durability: 'wal' }), 1n);
  assert.ok(recorder.status.durableSequence >= 1n);
  const many = Array.from({ length: 300 }, (_, index) => producer.send(bytes(String(index)), { durability: 'wal' }));
  const sequences = await Promise.all(many);
  assert.equal(
    sequences,
    [...sequences.keys()].map((index) => BigInt(index + 2)),
  );
  assert.ok(recorder.status.durableSequence >= 301n);
  assert.is((await failureOf(() => producer.send(bytes('x'), { durability: 'replicated' }))).code, 'ERR_UNSUPPORTED');
  const wrong = await failureOf(() => producer.send(bytes('x'), { durability: 'disk' as never }));
  assert.is(wrong.code, 'ERR_ARGUMENT');
});

test('a message that is in the ring is recorded by the next recorder, and its sender waits for that', async () => {
  using scene = new Scene();
  using producer = scene.region.openProducer('c');
  await scene.region.record('c', { log: scene.log }).close();
  const sent = producer.send(bytes('one'), { durability: 'wal' });
  const late = await failureOf(() => producer.send(bytes('two'), { durability: 'wal', timeoutMs: 30 }));
  assert.is(late.code, 'ERR_TIMED_OUT');
  await using recorder = scene.region.record('c', { log: scene.log });
  assert.is(await sent, 1n);
  await eventually(() => recorder.status.recordedSequence === 2n);
  using reader = LogReader.open(scene.log);
  assert.equal(drain(reader, 1n), ['one', 'two']);
});

test('there is one recorder, and it says how it is', async () => {
  using scene = new Scene();
  using producer = scene.region.openProducer('c');
  const recorder = scene.region.record('c', { log: scene.log, label: 'scribe' });
  const second = await failureOf(() => scene.region.record('c', { log: place() }));
  assert.is(second.code, 'ERR_BUSY');
  assert.match(second.message, String(process.pid));
  producer.write(bytes('12345'));
  await eventually(() => recorder.status.records === 1);
  const { state, lag, bytes: length, recordedSequence } = recorder.status;
  assert.equal([state, lag, length, recordedSequence], ['ok', 0, 5, 1n]);
  const { channels, participants } = scene.region.stats();
  const seen = channels[0]?.recorder;
  assert.equal([seen?.pid, seen?.base, seen?.recordedPosition, seen?.lag], [process.pid, 1, 1, 0]);
  assert.is(participants.find((entry) => entry.index === seen?.participant)?.label, 'scribe');
  await recorder.close();
  assert.is(scene.region.stats().channels[0]?.recorder?.pid ?? null, null);
});

test('a reader gets every message once, from the log, the ring, and the log again when it was lapped', async () => {
  using scene = new Scene({ capacity: 16 });
  using producer = scene.region.openProducer('c');
  await using recorder = scene.region.record('c', { log: scene.log, segmentBytes: 65_536 });
  using reader = scene.region.openConsumer('c', { from: 'oldest' });
  using waiting = scene.region.openConsumer('c', { from: 'oldest', level: 'wal' });
  const count = 5_000;
  const long = 'x'.repeat(3_000);
  const writing = (async () => {
    for (let index = 1; index <= count; index += 1) {
      await producer.send(bytes(index % 100 === 0 ? `${index} ${long}` : String(index)));
    }
  })();
  const follow = async (consumer: Consumer) => {
    let next = 1;
    for await (const batch of consumer) {
      for (const message of batch) {
        assert.is(Number.parseInt(message.text(), 10), next);
        assert.is(message.payload.length, next % 100 === 0 ? String(next).length + 3_001 : String(next).length);
        if (consumer === waiting) assert.ok(message.sequence <= recorder.status.durableSequence);
        next += 1;
      }
      if (next > count) return;
      if (next % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
    }
  };
  await Promise.all([writing, follow(reader), follow(waiting)]);
  assert.is(reader.lost, 0);
});

test('a reader begins where it is told, and before there is a log it waits for one', async () => {
  using scene = new Scene();
  using producer = scene.region.openProducer('c');
  using early = scene.region.openConsumer('c', { from: 'oldest' });
  producer.write(bytes('1'));
  assert.is(early.poll().length, 0, 'it has no number yet');
  assert.is(early.position, 0n);
  await using recorder = scene.region.record('c', { log: scene.log });
  assert.is(await early.wait({ timeoutMs: 30_000 }), true);
  assert.equal(drain(early, 1n), ['1']);
  for (let index = 2; index <= 20; index += 1) await producer.send(bytes(String(index)));
  await eventually(() => recorder.status.recordedSequence === 20n);
  using middle = scene.region.openConsumer('c', { from: 15n });
  assert.equal(drain(middle, 15n), ['15', '16', '17', '18', '19', '20']);
  assert.is(middle.seek(20n), 20n);
  assert.equal(drain(middle, 20n), ['20']);
  using latest = scene.region.openConsumer('c', { from: 'latest' });
  assert.is(latest.poll().length, 0);
  producer.write(bytes('21'));
  assert.equal(drain(latest, 21n), ['21']);
  using other = scene.region.openConsumer('c', { from: 'oldest', log: scene.log });
  assert.is(other.poll(1).at(0)?.text(), '1');
  const foreign = place();
  {
    using another = new Scene();
    await another.region.record('c', { log: foreign }).close();
  }
  const mixed = await failureOf(() => scene.region.openConsumer('c', { from: 'oldest', log: foreign }));
  assert.is(mixed.code, 'ERR_FOREIGN');
});

test('numbers go on when the region was made anew', async () => {
  const log = place();
  for (let life = 0; life < 3; life += 1) {
    using scene = new Scene();
    using producer = scene.region.openProducer('c');
    await using _recorder = scene.region.record('c', { log });
    for (let index = 1; index <= 10; index += 1) {
      assert.is(await producer.send(bytes(`${life}:${index}`), { durability: 'wal' }), BigInt(life * 10 + index));
    }
    using reader = scene.region.openConsumer('c', { from: 'oldest' });
    assert.is(drain(reader, 1n).at(-1), `${life}:10`);
  }
});

test('each message of a group goes to one member, and what a member leaves to another, flagged', async () => {
  using scene = new Scene();
  using producer = scene.region.openProducer('c');
  await using _recorder = scene.region.record('c', { log: scene.log });
  using one = scene.region.openConsumer('c', { group: 'sinks', from: 'oldest' });
  using two = scene.region.openConsumer('c', { group: 'sinks', from: 'oldest' });
  using everything = scene.region.openConsumer('c', { from: 'oldest' });
  for (let index = 1; index <= 20; index += 1) await producer.send(bytes(String(index)));
  const first = one.take(5);
  const second = two.take(5);
  assert.equal(
    [...first].map((message) => message.text()),
    ['1', '2', '3', '4', '5'],
  );
  assert.equal(
    [...second].map((message) => message.text()),
    ['6', '7', '8', '9', '10'],
  );
  second.release();
  assert.is(await two.commit({ timeoutMs: 30_000 }), 1n, 'the first holds sequence 1');
  first.release(2);
  assert.is(await two.commit({ timeoutMs: 30_000 }), 3n);
  one.close();
  const seen = new Map<string, boolean>();
  await eventually(() => {
    for (const message of two.poll(100)) seen.set(message.text(), message.redelivered);
    return seen.size === 13;
  });
  for (const text of ['3', '4', '5']) assert.is(seen.get(text), true, `${text} was claimed by the one that left`);
  for (const text of ['11', '20']) assert.is(seen.get(text), false);
  assert.is(await two.commit({ timeoutMs: 30_000 }), 21n);
  assert.is(drain(everything, 1n).length, 20, 'a group takes nothing from others');
});

test('a commit that waits for a recorder holds up neither its consumer, nor a worker, nor the end of the process', async () => {
  using scene = new Scene();
  await scene.region.record('c', { log: scene.log }).close();
  using producer = scene.region.openProducer('c');
  using member = scene.region.openConsumer('c', { group: 'sinks', from: 'oldest' });
  for (let index = 0; index < 5; index += 1) producer.write(bytes('x'));
  assert.is(member.poll().length, 5, 'nobody has them on disk');
  assert.is((await failureOf(() => member.commit({ timeoutMs: 150 }))).code, 'ERR_TIMED_OUT');
  assert.is((await failureOf(() => member.commit({ timeoutMs: Number.NaN }))).code, 'ERR_ARGUMENT');
  const waiting = failureOf(() => member.commit({ timeoutMs: Number.POSITIVE_INFINITY }));
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    require(${JSON.stringify(import.meta.resolve('tsx/esm/api').replace('file://', ''))}).register();
    (async () => {
      const { Region } = await import(${JSON.stringify(import.meta.resolve('../sdk/index.ts'))});
      const region = Region.open(process.env.REGION ?? workerData);
      const member = region.openConsumer('c', { group: 'others', from: 'oldest' });
      member.poll();
      member.commit().catch(() => {});
      if (parentPort) parentPort.postMessage(1);
      else setTimeout(() => process.exit(7), 50);
    })();`;
  const thread = new Worker(program, { eval: true, workerData: scene.path, execArgv: [] });
  await once(thread, 'message');
  await thread.terminate();
  const child = spawn(process.execPath, ['-e', program], {
    env: { ...process.env, REGION: scene.path },
    timeout: 30_000,
  });
  assert.equal(await once(child, 'exit'), [7, null]);
  member.close();
  assert.is((await waiting).code, 'ERR_CLOSED');
});

test('a group goes on where it was committed, also in a region made anew', async () => {
  const log = place();
  const expected = [
    ['1', '2', '3', '4'],
    ['5', '6', '7', '8'],
  ];
  for (const texts of expected) {
    using scene = new Scene();
    using producer = scene.region.openProducer('c');
    await using _recorder = scene.region.record('c', { log });
    for (const text of texts) await producer.send(bytes(text), { durability: 'wal' });
    using member = scene.region.openConsumer('c', { group: 'sinks', from: 'oldest' });
    assert.equal(
      [...member.take(100)].map((message) => message.text()),
      texts,
    );
    await failureOf(() => member.take()).then(({ code }) => assert.is(code, 'ERR_BUSY'));
    member.close();
    using again = scene.region.openConsumer('c', { group: 'sinks', from: 'oldest' });
    let count = 0;
    await eventually(() => {
      count += again.poll().length;
      return count === texts.length;
    });
    await again.commit({ timeoutMs: 30_000 });
  }
});

test('what only recorded channels have is refused elsewhere', async () => {
  using scene = new Scene();
  scene.region.createChannel('plain', { kind: 'stream' });
  scene.region.createChannel('queue');
  for (const options of [{ group: 'g' }, { level: 'wal' as const }, { log: scene.log }, { from: 7n }]) {
    const error = await failureOf(() => scene.region.openConsumer('plain', options));
    assert.is(error.code, 'ERR_UNSUPPORTED', JSON.stringify(Object.keys(options)));
  }
  assert.is((await failureOf(() => scene.region.record('plain', { log: place() }))).code, 'ERR_UNSUPPORTED');
  assert.is((await failureOf(() => scene.region.record('c', {} as never))).code, 'ERR_ARGUMENT');
  using plain = scene.region.openConsumer('plain');
  assert.is((await failureOf(() => plain.commit())).code, 'ERR_UNSUPPORTED');
  assert.is((await failureOf(() => plain.seek('oldest'))).code, 'ERR_UNSUPPORTED');
  using follower = scene.region.openConsumer('c');
  assert.is((await failureOf(() => follower.take())).code, 'ERR_UNSUPPORTED');
  assert.is((await failureOf(() => scene.region.createChannel('q', { recorded: true }))).code, 'ERR_ARGUMENT');
  assert.is((await failureOf(() => scene.region.openConsumer('c', { level: 'disk' as never }))).code, 'ERR_ARGUMENT');
});

test.run();
