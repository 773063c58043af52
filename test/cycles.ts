/**
 * Cycles: attaching and detaching a thousand times leaves nothing behind, in every language and in worker threads.
 *
 * Counted are descriptors, mappings, threads, memory of its own, entries in the region, and handles: a process has room
 * for 4,096, and more than that are opened.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import { Region } from '../sdk/index.ts';
import { type Builds, build, Driver, type Language } from './drivers/drive.ts';
import { scratch } from './scratch.ts';

const LANGUAGES: readonly Language[] = ['rust', 'node', 'python', 'c'];
const WARM_UP = 300;
const CYCLES = 1_400;
/** Memory that may come and go, kB; a forgotten mapping's page tables alone would be more in so many cycles. */
const SLACK_KB: Record<Language, number> = { rust: 1_024, c: 1_024, python: 4_096, node: 24_576 };
const WORKERS = 20;
const CYCLES_OF_WORKER = 50;

const cycles = suite('cycles');
let builds: Builds;

cycles.before(() => {
  builds = build(false);
});

/** What a process has. */
function belongings(pid: number, path: string) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
  const inode = ` ${statSync(path).ino} `;
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    mappings: maps.filter((line) => line.includes(inode)).length,
    threads: number('Threads'),
    memoryKb: number('RssAnon'),
  };
}

async function cycle(driver: Driver, path: string): Promise<void> {
  await driver.must({ op: 'open', path });
  await driver.must({ op: 'open_producer', channel: driver.language });
  await driver.must({ op: 'open_consumer', channel: driver.language });
  await driver.must({ op: 'write', payloads: ['00', '01'], type: 1 });
  await driver.must({ op: 'wait', timeout_ms: 1_000 });
  const { messages } = await driver.must({ op: 'take', limit: 8 });
  equal((messages as unknown[]).length, 2);
  await driver.must({ op: 'release' });
}

for (const language of LANGUAGES) {
  cycles(`${WARM_UP + CYCLES} times: ${language}`, async () => {
    const path = scratch();
    using region = Region.create(path);
    region.createChannel(language, { capacity: 8 });
    const driver = new Driver(language, builds);
    try {
      for (let done = 0; done < WARM_UP; done += 1) await cycle(driver, path);
      const { memoryKb: memoryBefore, ...before } = belongings(driver.pid, path);
      for (let done = 0; done < CYCLES; done += 1) await cycle(driver, path);
      const { memoryKb, ...after } = belongings(driver.pid, path);
      deepEqual(after, before);
      const grown = memoryKb - memoryBefore;
      console.log(`  ${language}: ${JSON.stringify(after)}, memory ${memoryBefore} kB, and ${grown} kB more`);
      ok(grown < SLACK_KB[language], `memory has grown by ${grown} kB`);
      const participants = region.stats().participants.map(({ index, role }) => ({ index: index < 8, role }));
      deepEqual(participants, [
        { index: true, role: 'producer' },
        { index: true, role: 'consumer' },
      ]);
    } finally {
      await driver.end();
    }
    deepEqual(region.stats().participants, []);
  });
}

/** A worker that attaches and detaches, and at the end has handles open, and says so. */
function worker(path: string, channel: string): Worker {
  const tsx = import.meta.resolve('tsx/esm/api').replace('file://', '');
  const program = `
    const { parentPort } = require('node:worker_threads');
    require(${JSON.stringify(tsx)}).register();
    (async () => {
      const { Region } = await import(${JSON.stringify(import.meta.resolve('../sdk/index.ts'))});
      for (let cycle = 0; cycle <= ${CYCLES_OF_WORKER}; cycle += 1) {
        const region = Region.open(${JSON.stringify(path)});
        const producer = region.openProducer(${JSON.stringify(channel)});
        const consumer = region.openConsumer(${JSON.stringify(channel)});
        await producer.send(Buffer.from('x'));
        for await (const batch of consumer) break;
        if (cycle < ${CYCLES_OF_WORKER}) for (const open of [producer, consumer, region]) open.close();
      }
      parentPort.postMessage('done');
      setInterval(() => {}, 1_000);
    })();`;
  return new Worker(program, { eval: true, execArgv: [] });
}

cycles(`${WORKERS} worker threads, ${CYCLES_OF_WORKER} times each, ended with handles open`, async () => {
  const path = scratch();
  using region = Region.create(path);
  const play = async (channel: string) => {
    region.createChannel(channel, { capacity: 8 });
    const thread = worker(path, channel);
    equal((await once(thread, 'message'))[0], 'done');
    await thread.terminate();
  };
  for (let warmUp = 0; warmUp < 2; warmUp += 1) await play('one');
  const { memoryKb: memoryBefore, ...before } = belongings(process.pid, path);
  for (let turn = 0; turn < WORKERS; turn += 2) await Promise.all([play('one'), play('two')]);
  const { memoryKb, ...after } = belongings(process.pid, path);
  console.log(`  ${JSON.stringify(after)}, memory ${memoryBefore} kB, and ${memoryKb - memoryBefore} kB more`);
  deepEqual(after, before);
  deepEqual(region.stats().participants, []);
});

cycles.run();
