import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { SharedRegion } from '../sdk/index.ts';
import { native } from '../sdk/native.ts';
import { eventually, failureOf, isWasm, onFile, Pair } from './scratch.ts';

const worker = suite('worker');
const SDK = JSON.stringify(import.meta.resolve('../sdk/index.ts'));
const NATIVE = JSON.stringify(import.meta.resolve('../sdk/native.ts'));

/** How a worker finds the region of a test: with WebAssembly it is handed over, and the worker's end is watched. */
function givenOf(pair: Pair): { path?: string; shared?: SharedRegion } {
  return isWasm ? { shared: pair.region.share() } : { path: pair.path };
}

/** A worker that runs `code`, with the package as `tailrace`, and what it was given as `given`. */
function start(pair: Pair, code: string, given: unknown = givenOf(pair)): Worker {
  const program = `
    const { parentPort, workerData: given } = require('node:worker_threads');
    require(${JSON.stringify(import.meta.resolve('tsx/esm/api').replace('file://', ''))}).register();
    (async () => {
      const tailrace = await import(${SDK});
      const { native, numbers } = await import(${NATIVE});
      ${code}
    })().catch((error) => parentPort.postMessage({ failed: error.message, code: error.code }));`;
  const worker = new Worker(program, { eval: true, workerData: given, execArgv: [] });
  if (isWasm) pair.region.attach(worker);
  return worker;
}

async function answer(thread: Worker): Promise<Record<string, unknown>> {
  const [message] = (await once(thread, 'message')) as [Record<string, unknown>];
  assert.is(message.failed, undefined, String(message.failed));
  return message;
}

const OPEN = `
  const region = given.shared ? tailrace.Region.attach(given.shared) : tailrace.Region.open(given.path);
  const producer = region.openProducer('c', { label: 'worker' });
  const consumer = region.openConsumer('c', { label: 'worker' });
  // What is collected is closed.
  globalThis.held = [region, producer, consumer];`;

function participants(pair: Pair): number {
  return pair.region.stats().participants.filter(({ label }) => label === 'worker').length;
}

worker('writes and reads like the main thread', async () => {
  using pair = new Pair();
  const thread = start(pair, `${OPEN} producer.write(Buffer.from('hello')); parentPort.postMessage({});`);
  await answer(thread);
  for await (const batch of pair.consumer) {
    assert.is(batch.at(0)?.text(), 'hello');
    break;
  }
  await thread.terminate();
});

worker('closes its handles when it ends by itself', async () => {
  using pair = new Pair();
  const thread = start(pair, `${OPEN} parentPort.postMessage({});`);
  await once(thread, 'exit');
  assert.is(participants(pair), 0);
});

worker('closes its handles when it is terminated in a wait', async () => {
  using pair = new Pair();
  for (let round = 0; round < 5; round += 1) {
    const thread = start(pair, `${OPEN} parentPort.postMessage({}); for await (const batch of consumer);`);
    await answer(thread);
    assert.is(participants(pair), 2);
    await thread.terminate();
    assert.is(participants(pair), 0);
  }
});

worker('closes its handles when it is terminated in a loop', async () => {
  using pair = new Pair();
  const code = `${OPEN} parentPort.postMessage({}); for (;;) { producer.write(Buffer.from('x')); consumer.poll(); }`;
  const thread = start(pair, code);
  await answer(thread);
  await thread.terminate();
  assert.is(participants(pair), 0);
  while (pair.consumer.poll().length > 0);
  pair.write('goes on');
  assert.is(pair.consumer.poll().at(-1)?.text(), 'goes on');
});

worker('leaves what it had claimed to others', async () => {
  using pair = new Pair();
  pair.write('a', 'b');
  const code = `${OPEN} consumer.take().keep(); parentPort.postMessage({});`;
  const thread = start(pair, code);
  await answer(thread);
  await thread.terminate();
  const seen: string[] = [];
  for await (const batch of pair.consumer) {
    for (const message of batch) seen.push(message.text());
    if (seen.length === 2) break;
  }
  assert.equal(seen, ['a', 'b']);
});

onFile(worker)('may not use the handles of another thread', async () => {
  using pair = new Pair();
  const library = native();
  const region = library.regionOpen(pair.path, 1_000, 48, 0);
  const handle = library.openProducer(region, 'c', '', -1);
  const code = `
    native();
    const codes = [];
    for (const handle of [given.handle, given.handle + 4096, 5]) {
      numbers[0] = handle;
      try { native().write(Buffer.from('x')); } catch (error) { codes.push(error.code); }
    }
    parentPort.postMessage({ codes });`;
  const thread = start(pair, code, { handle });
  assert.equal((await answer(thread)).codes, ['ERR_BUSY', 'ERR_CLOSED', 'ERR_CLOSED']);
  await thread.terminate();
  library.close(handle);
  library.close(region);
});

worker('finds handles that were closed to be closed, even when their place is used again', async () => {
  using pair = new Pair();
  const old = pair.region.openProducer('c');
  old.close();
  using fresh = pair.region.openProducer('c');
  assert.is((await failureOf(() => old.write(Buffer.from('x')))).code, 'ERR_CLOSED');
  assert.ok(fresh.write(Buffer.from('x')));
  old.close();
  assert.ok(fresh.write(Buffer.from('y')));
});

worker('closes handles that were forgotten', async () => {
  using pair = new Pair();
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  (() => pair.region.openProducer('c', { label: 'worker' }))();
  assert.is(participants(pair), 1);
  await eventually(() => {
    collect();
    return participants(pair) === 0;
  });
});

worker.run();
