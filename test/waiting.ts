import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Consumer } from '../sdk/index.ts';
import { bundled } from './built.ts';
import { eventually, newRegion, onFile, Pair } from './scratch.ts';

const waiting = suite('waiting');
const DRIVER = bundled('test/drivers/driver.ts').slice(1);

/** Another process, which does what it is asked (drivers/README.md). */
class Other implements Disposable {
  readonly process = spawn(process.execPath, DRIVER, {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  readonly #answers: ((answer: unknown) => void)[] = [];

  constructor(path: string) {
    createInterface(this.process.stdout).on('line', (line) => {
      if (line.startsWith('{"ok"')) this.#answers.shift()?.(JSON.parse(line));
    });
    this.ask({ op: 'open', path });
  }

  ask(question: object): Promise<unknown> {
    this.process.stdin.write(`${JSON.stringify(question)}\n`);
    return new Promise((resolve) => this.#answers.push(resolve));
  }

  [Symbol.dispose](): void {
    this.process.kill('SIGKILL');
  }
}

waiting('serves more channels than one thread can sleep for', async () => {
  using region = newRegion({ limitBytes: 256 << 20 });
  const names = Array.from({ length: 200 }, (_, index) => `c${index}`);
  for (const name of names) region.createChannel(name, { capacity: 2 });
  const consumers = names.map((name) => region.openConsumer(name));
  const seen: string[] = [];
  const loop = async (consumer: Consumer) => {
    for await (const batch of consumer) {
      seen.push(batch.at(0)!.text());
      break;
    }
  };
  const loops = consumers.map(loop);
  await sleep(20);
  for (const name of names.toReversed()) {
    using producer = region.openProducer(name);
    producer.write(Buffer.from(name));
  }
  await Promise.all(loops);
  assert.equal(seen.toSorted(), names.toSorted());
  for (const consumer of consumers) consumer.close();
});

waiting('may be begun and given up at any rate', async () => {
  using pair = new Pair();
  for (let round = 0; round < 500; round += 1) {
    const abort = new AbortController();
    const wait = pair.consumer.wait({ signal: abort.signal }).catch((error: unknown) => error);
    if (round % 3 === 0) await sleep(0);
    abort.abort();
    assert.is(await wait, abort.signal.reason);
  }
  pair.write('a');
  assert.is(await pair.consumer.wait({ timeoutMs: 30_000 }), true);
});

waiting('costs next to nothing while nothing comes', async () => {
  using pair = new Pair();
  const loop = (async () => {
    for await (const _ of pair.consumer);
  })().catch(() => {});
  await sleep(200);
  // Whatever else this process has to do now and then, in one of these seconds it has nothing to do but wait.
  const percents: number[] = [];
  for (let second = 0; second < 20 && !percents.some((percent) => percent < 2); second += 1) {
    const before = process.cpuUsage();
    await sleep(1_000);
    const { user, system } = process.cpuUsage(before);
    percents.push((user + system) / 1_000 / 10);
  }
  assert.ok(percents.at(-1)! < 2, `${percents} %`);
  pair.consumer.close();
  await loop;
});

onFile(waiting)('passes on what a busy loop was told of and does not take', async () => {
  using pair = new Pair();
  using other = new Other(pair.path);
  await other.ask({ op: 'open_consumer', channel: 'c' });
  const before = pair.counters.rescuedWaits;
  const rounds = 8;
  for (let round = 0; round < rounds; round += 1) {
    const own = pair.consumer.wait();
    const others = other.ask({ op: 'wait', timeout_ms: 30_000 });
    await sleep(30);
    pair.write('x');
    const end = performance.now() + 50;
    while (performance.now() < end);
    assert.equal(await others, { ok: true, ready: true });
    await own;
    assert.is(pair.consumer.poll().length, 1);
  }
  assert.ok(pair.counters.rescuedWaits - before < rounds);
});

onFile(waiting)('goes on when another process is killed over what it took', async () => {
  using pair = new Pair();
  const heard: number[] = [];
  pair.region.on('recovered', ({ count }) => heard.push(count));
  using other = new Other(pair.path);
  pair.write('a', 'b', 'c');
  await other.ask({ op: 'open_consumer', channel: 'c' });
  await other.ask({ op: 'take', limit: 2 });
  const seen: [string, boolean][] = [];
  const loop = (async () => {
    for await (const batch of pair.consumer) {
      for (const message of batch) seen.push([message.text(), message.redelivered]);
      if (seen.length === 3) break;
    }
  })();
  await eventually(() => seen.length > 0);
  assert.equal(seen, [['c', false]]);
  other.process.kill('SIGKILL');
  await loop;
  assert.equal(seen.slice(1), [
    ['a', true],
    ['b', true],
  ]);
  await eventually(() => heard.length > 0);
  assert.is(pair.counters.redelivered, 2);
});

onFile(waiting)('is no matter of this process alone', async () => {
  using pair = new Pair();
  using other = new Other(pair.path);
  await other.ask({ op: 'open_producer', channel: 'c' });
  const produced = other.ask({ op: 'produce', run: 1, count: 20_000, batch: 32, size: 64 });
  let count = 0;
  for await (const batch of pair.consumer) {
    count += batch.length;
    if (count === 20_000) break;
  }
  assert.equal(await produced, { ok: true, count: 20_000 });
  assert.is(pair.consumer.depth, 0);
});

waiting.run();
