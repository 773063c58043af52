/**
 * Foreign: programs that know only the published layout share queues with every language of ours.
 *
 * In a region of theirs, without annex, and in a region of ours on channels that are marked; by both forms of the layout.
 * Such a program sleeps without saying so and without a time-out, so one wake that is forgotten stops it for ever. When
 * it dies in the middle of a write, nobody of ours may touch what it left; an operator may.
 */
import { deepEqual, equal, fail, ok } from 'node:assert/strict';
import { closeSync, openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { Region } from '../sdk/index.ts';
import { type Builds, build, Driver, type Language, type Line } from './drivers/drive.ts';
import { compile, type Form, makeRegion, OFFSETS, Peer } from './foreign/peer.ts';
import { Ledger } from './kill/ledger.ts';
import { removeRegion } from './scratch.ts';

const LANGUAGES: readonly Language[] = ['rust', 'node', 'python', 'c'];
const FORMS: readonly Form[] = ['document', 'code'];
/** Of each form, so 100,000 each way for each language and kind of region. */
const MESSAGES = 50_000;
const CAPACITY = 1_024;
/** Of each writer, where all share one queue. */
const EACH = 4_000;
const LONGEST: Record<Form, number> = { document: 960, code: 1_024 };
/** Whose region it is. */
type Kind = 'theirs' | 'ours';
const KINDS: readonly Kind[] = ['theirs', 'ours'];
/** Where the first band is, in a region of theirs and of ours. */
const BANDS: Record<Kind, number> = { theirs: 98_432, ours: 335_872 };
const SLOT_BYTES = 1_088;
const ALL_OF = (count: number) => ({
  written: count,
  delivered: count,
  lost: 0,
  torn: 0,
  duplicates: 0,
  redelivered: 0,
});

const foreign = suite('foreign');
let builds: Builds;
let paused: Builds | undefined;
let regions = 0;
const cleanUp: (() => Promise<void> | void)[] = [];

foreign.before(() => {
  compile();
  builds = build(false);
});

foreign.after.each(async () => {
  for (const clean of cleanUp.splice(0).reverse()) await clean();
});

/** A region with the channels 0 and 1: theirs, or ours with the names `0` and `1`. */
function made(kind: Kind, form: Form): string {
  regions += 1;
  const path = `/dev/shm/tailrace-foreign-${process.pid}-${regions}`;
  cleanUp.push(() => removeRegion(path));
  if (kind === 'theirs') makeRegion(path, 2, CAPACITY);
  else {
    using region = Region.create(path);
    for (const name of ['0', '1']) region.createChannel(name, { capacity: CAPACITY, foreign: form });
  }
  return path;
}

/** A driver with a region open, and a handle in it. */
async function driver(language: Language, path: string, kind: Kind, form: Form, handle: Line): Promise<Driver> {
  const driver = new Driver(language, builds);
  cleanUp.push(() => driver.end());
  const options = kind === 'theirs' ? { recovery: false, payload_offset: OFFSETS[form] } : {};
  await driver.must({ op: 'open', path, ...options });
  await driver.must(handle);
  return driver;
}

function peer(ledger: Ledger, ...words: (string | number)[]): Peer {
  const peer = new Peer(ledger.take, ...words);
  cleanUp.push(() => peer.kill());
  return peer;
}

for (const kind of KINDS) {
  for (const language of LANGUAGES) {
    for (const form of FORMS) {
      foreign(`both ways under load: ${language}, in a region of ${kind}, by the ${form}`, async () => {
        const path = made(kind, form);
        const [to, from] = [new Ledger(), new Ledger()];
        const offset = OFFSETS[form];
        const reader = await driver(language, path, kind, form, { op: 'open_consumer', channel: '0' });
        const writer = await driver(language, path, kind, form, { op: 'open_producer', channel: '1' });
        [reader.onLoad, writer.onLoad] = [to.take, from.take];
        const theirs = peer(from, 'read', path, 1, offset, MESSAGES);
        const wrote = peer(to, 'write', path, 0, offset, MESSAGES, 1);
        const consumed = reader.must({ op: 'consume', batch: 64, idle_ms: 700 });
        await writer.must({ op: 'produce', run: 2, count: MESSAGES - 100, batch: 32, size: 100 });
        await writer.must({ op: 'produce', run: 3, count: 100, batch: 1, size: LONGEST[form] });
        const [{ slept }] = await Promise.all([theirs.done(), wrote.done(), consumed]);
        deepEqual([to.sum(), from.sum()], [ALL_OF(MESSAGES), ALL_OF(MESSAGES)]);
        ok((slept as number) > 0, 'it had to be woken at least once');
      });
    }
  }

  foreign(`all at one queue, in a region of ${kind}`, async () => {
    const path = made(kind, 'document');
    const ledger = new Ledger();
    const end = { channel: '0' };
    const reads: Promise<unknown>[] = [];
    const theirs = peer(ledger, 'read', path, 0, OFFSETS.document, 0);
    for (const language of LANGUAGES) {
      const reader = await driver(language, path, kind, 'document', { op: 'open_consumer', ...end });
      reader.onLoad = ledger.take;
      reads.push(reader.must({ op: 'consume', batch: 16, idle_ms: 1_500 }));
    }
    const wrote = peer(ledger, 'write', path, 0, OFFSETS.document, EACH, 1);
    const writes = LANGUAGES.map(async (language, index) => {
      const writer = await driver(language, path, kind, 'document', { op: 'open_producer', ...end });
      writer.onLoad = ledger.take;
      await writer.must({ op: 'produce', run: 2 + index, count: EACH, batch: 5, size: 300 });
    });
    await Promise.all([...writes, ...reads, wrote.done()]);
    await theirs.stop();
    deepEqual(ledger.sum(), ALL_OF(EACH * 5));
  });

  for (const language of LANGUAGES) {
    foreign(`each single write wakes it: ${language}, in a region of ${kind}`, async () => {
      const path = made(kind, 'code');
      const ledger = new Ledger();
      const theirs = peer(ledger, 'read', path, 0, OFFSETS.code, 20);
      const writer = await driver(language, path, kind, 'code', { op: 'open_producer', channel: '0' });
      for (let run = 1; run <= 20; run += 1) {
        await writer.must({ op: 'produce', run, count: 1, batch: 1, size: 16 });
        while (ledger.readOf(run) === 0) await sleep(2);
      }
      ok(((await theirs.done()).slept as number) > 15);
    });
  }
}

/** What stands at a position, from the bytes of the file. */
function sequenceAt(path: string, kind: Kind, position: number): number {
  const file = openSync(path, 'r');
  const word = Buffer.alloc(8);
  readSync(file, word, 0, 8, BANDS[kind] + position * SLOT_BYTES);
  closeSync(file);
  return Number(word.readBigUInt64LE());
}

for (const language of LANGUAGES) {
  foreign(`what a foreign program leaves half written is an operator's: ${language}`, async () => {
    const path = made('ours', 'document');
    using region = Region.open(path);
    const counters = () => region.channels()[0]?.counters ?? fail('the channel is there');
    const writer = await driver(language, path, 'ours', 'document', { op: 'open_producer', channel: '0' });
    const reader = await driver(language, path, 'ours', 'document', { op: 'open_consumer', channel: '0' });
    await writer.must({ op: 'write', payloads: ['00'], type: 0 });
    equal(((await reader.must({ op: 'poll', limit: 8 })).messages as Line[]).length, 1);
    const theirs = peer(new Ledger(), 'claim', path, 0);
    await theirs.first;
    equal((await writer.must({ op: 'write', payloads: ['01', '02', '03'], type: 0 })).count, 3);
    const isNothing = async () => {
      equal((await reader.must({ op: 'wait', timeout_ms: 100 })).ready, false);
      deepEqual((await reader.must({ op: 'poll', limit: 8 })).messages, []);
      deepEqual(region.unblock({ channel: '0' }), []);
      equal(sequenceAt(path, 'ours', 1), 1, 'as it was before');
    };
    await isNothing();
    equal(counters().unattributed, 1);
    await theirs.kill();
    await isNothing();
    const claimed = region.channels()[0]?.oldestClaimed;
    deepEqual([claimed?.position, claimed?.participant, claimed?.ownerPid], [1, null, null]);
    deepEqual(region.unblock({ force: true }), [{ channel: 0, position: 1, action: 'forced' }]);
    equal((await reader.must({ op: 'wait', timeout_ms: 30_000 })).ready, true);
    const { messages } = await reader.must({ op: 'poll', limit: 8 });
    deepEqual(
      (messages as Line[]).map(({ payload }) => payload),
      ['01', '02', '03'],
    );
    const { abandoned, unattributed } = counters();
    deepEqual({ abandoned, unattributed }, { abandoned: 1, unattributed: 1 });
  });

  foreign(`a hole in a region of theirs is left alone: ${language}`, async () => {
    const path = made('theirs', 'code');
    const writer = await driver(language, path, 'theirs', 'code', { op: 'open_producer', channel: '0' });
    const reader = await driver(language, path, 'theirs', 'code', { op: 'open_consumer', channel: '0' });
    const theirs = peer(new Ledger(), 'claim', path, 0);
    await theirs.first;
    await theirs.kill();
    const payloads = Array.from({ length: CAPACITY }, () => '00');
    equal((await writer.must({ op: 'write', payloads, type: 0 })).count, CAPACITY - 1);
    equal((await writer.ask({ op: 'send', payload: '00', type: 0, timeout_ms: 50 })).code, 'ERR_TIMED_OUT');
    equal((await reader.must({ op: 'wait', timeout_ms: 50 })).ready, false);
    deepEqual((await reader.must({ op: 'poll', limit: 8 })).messages, []);
    equal(sequenceAt(path, 'theirs', 0), 0);
    equal((await reader.ask({ op: 'take', limit: 8 })).code, 'ERR_UNSUPPORTED');
  });
}

foreign("what a foreign program has taken is not another's, although one of ours died reaching for it", async () => {
  paused ??= build(true);
  const path = made('ours', 'code');
  const writer = await driver('rust', path, 'ours', 'code', { op: 'open_producer', channel: '0' });
  await writer.must({ op: 'write', payloads: ['01'], type: 0 });
  const victim = new Driver('rust', paused, { TAILRACE_PAUSE: 'take.trying' });
  cleanUp.push(() => victim.signal('SIGKILL'));
  const stopped = victim.paused();
  await victim.must({ op: 'open', path });
  await victim.must({ op: 'open_consumer', channel: '0' });
  victim.ask({ op: 'poll', limit: 1 }).catch(() => {});
  await stopped;
  const theirs = peer(new Ledger(), 'hold', path, 0);
  equal((await theirs.first).claimed, 0);
  victim.signal('SIGKILL');
  await victim.ended;
  const reader = await driver('rust', path, 'ours', 'code', { op: 'open_consumer', channel: '0' });
  await writer.must({ op: 'write', payloads: ['02'], type: 0 });
  const seen: unknown[] = [];
  for (let turn = 0; turn < 30; turn += 1) {
    await reader.must({ op: 'wait', timeout_ms: 5 });
    const { messages } = await reader.must({ op: 'poll', limit: 8 });
    seen.push(...(messages as Line[]).map(({ payload }) => payload));
  }
  deepEqual(seen, ['02']);
});

for (const language of ['rust', 'node', 'python'] as Language[]) {
  foreign(`what one of ours leaves, killed where a foreign program may have claimed: ${language}`, async () => {
    paused ??= build(true);
    for (const [step, isOurs] of [
      ['write.claimed', false],
      ['write.writing', true],
    ] as const) {
      const path = made('ours', 'code');
      using region = Region.open(path);
      const victim = new Driver(language, paused, { TAILRACE_PAUSE: step });
      cleanUp.push(() => victim.signal('SIGKILL'));
      const stopped = victim.paused();
      await victim.must({ op: 'open', path });
      await victim.must({ op: 'open_producer', channel: '0' });
      victim.ask({ op: 'write', payloads: ['00'], type: 0 }).catch(() => {});
      equal(await stopped, step);
      victim.signal('SIGKILL');
      await victim.ended;
      using consumer = region.openConsumer('0');
      using producer = region.openProducer('0');
      producer.write(Buffer.from('after'));
      equal(await consumer.wait({ timeoutMs: isOurs ? 30_000 : 100 }), isOurs);
      const { abandoned, unattributed } = region.channels()[0]?.counters ?? fail('the channel is there');
      deepEqual([abandoned, unattributed], isOurs ? [1, 0] : [0, 1], step);
    }
  });
}

foreign('in a region of theirs there is only what they know', async () => {
  const path = made('theirs', 'code');
  const code = async (ask: Line) => (await (await bare).ask(ask)).code;
  const bare = driver('rust', path, 'theirs', 'code', { op: 'open_consumer', channel: '#1' });
  equal(await code({ op: 'create_channel', name: 'new', capacity: 8, kind: 'queue' }), 'ERR_UNSUPPORTED');
  equal(await code({ op: 'open_producer', channel: '2' }), 'ERR_NOT_FOUND');
  equal(await code({ op: 'open_consumer', channel: '0', from: 'oldest' }), 'ERR_ARGUMENT');
  equal(await code({ op: 'open', path }), 'ERR_FOREIGN');
});

foreign.run();
