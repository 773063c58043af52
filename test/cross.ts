/**
 * Cross: every language writes to every language, over every kind of channel, and what comes is exact.
 *
 * The matrix is a loop over drivers, so a new language is one program and no new test. A wrong call gives the same code
 * whoever makes it (`cross/cases.ts`).
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { CASES, Place } from './cross/cases.ts';
import { Crew, type Pair, payload } from './cross/crew.ts';
import { Quartet } from './cross/quartet.ts';
import { build, type Driver, type Language, type Line } from './drivers/drive.ts';
import { Ledger } from './kill/ledger.ts';

const LANGUAGES: readonly Language[] = ['rust', 'node', 'python', 'c'];
const CAPACITY = 64;
const KINDS: Record<string, Line> = {
  queue: { kind: 'queue' },
  'exclusive queue': { kind: 'queue', exclusive_producer: true, exclusive_consumer: true },
  'checksummed queue': { kind: 'queue', checksum: true },
  stream: { kind: 'stream' },
  'exclusive stream': { kind: 'stream', exclusive_producer: true, checksum: true },
  'gated stream': { kind: 'stream', gated: true },
  'queue by the document': { kind: 'queue', foreign: 'document' },
  'queue by the code': { kind: 'queue', foreign: 'code' },
};
/** Bytes: at the edges of one slot, of two, and the longest of this capacity. */
const SIZES = [0, 1, 7, 8, 959, 960, 961, 1_023, 1_024, 1_025, 2_048, 2_049, (CAPACITY / 4) * 1_024];
const LONGEST: Record<string, number> = { 'queue by the document': 960, 'queue by the code': 1_024 };

const cross = suite('cross');
let crew: Crew;
let writers: Driver[] = [];
let readers: Driver[] = [];

cross.before(async () => {
  crew = new Crew(LANGUAGES, build(false));
  await crew.renew();
  [writers, readers] = await Promise.all([crew.startAll(), crew.startAll()]);
});

cross.before.each(() => crew.renew());

cross.after(() => crew.end());

/** Plays with every pair on a channel of its own, which the writer makes and the reader finds. */
async function eachPair(name: string, options: Line, play: (pair: Pair) => Promise<void>): Promise<void> {
  await crew.eachPair(writers, readers, name, async (pair) => {
    const channel = { op: 'create_channel', name: pair.channel, capacity: CAPACITY, ...options };
    await pair.writer.must(channel);
    await pair.reader.must(channel);
    await play(pair);
    await pair.close();
  });
}

for (const [name, options] of Object.entries(KINDS)) {
  cross(`one by one and in batches: ${name}`, () =>
    eachPair(name, options, async (pair) => {
      const sizes = SIZES.filter((size) => size <= (LONGEST[name] ?? size));
      await pair.open();
      for (const [index, size] of sizes.entries()) {
        const type = [0, 1, 0x8000_0000, 0xffff_ffff][index % 4];
        if (index % 2 === 0) equal(await pair.write([payload(size, index)], type), 1);
        else await pair.send(payload(size, index), type);
        await pair.read('poll', 256, 1);
      }
      const batch = sizes.map((size) => payload(size, size));
      for (const limit of [1, 4, 256]) {
        equal(await pair.write(batch, 7), batch.length);
        await pair.drain(limit);
      }
    }),
  );
}

cross('the longest message there is', () =>
  eachPair('longest', { capacity: 4_096 }, async (pair) => {
    await pair.open();
    equal(await pair.write([payload(1 << 20), payload(3), payload((1 << 20) - 1, 5)]), 3);
    await pair.drain(1);
  }),
);

cross('full, and how much fits', () =>
  eachPair('full', { capacity: 8 }, async (pair) => {
    await pair.open();
    equal(await pair.write(Array.from({ length: 12 }, (_, index) => payload(10, index))), 8);
    equal(await pair.write([payload(10)]), 0);
    await pair.read('poll', 3, 3);
    equal(await pair.write([payload(2_048), payload(2_048), payload(1)]), 1, 'three are free: two, and not four');
    await pair.drain(256);
    const { depth } = await pair.reader.must({ op: 'depth' });
    equal(depth, 0);
  }),
);

cross('a gating subscriber holds writers of every language back', () =>
  eachPair('gate', { kind: 'stream', capacity: 16 }, async (pair) => {
    await pair.open({}, { gating: true });
    equal(await pair.write(Array.from({ length: 20 }, () => payload(10))), 16);
    equal(await pair.write([payload(10)]), 0);
    await pair.read('poll', 5, 5);
    equal(await pair.write(Array.from({ length: 20 }, () => payload(20))), 5);
    await pair.drain(4);
  }),
);

cross('take, release some, keep the rest', () =>
  eachPair('kept', {}, async (pair) => {
    await pair.open();
    equal(await pair.write(Array.from({ length: 12 }, (_, index) => payload(index === 5 ? 3_000 : 30, index))), 12);
    const due = pair.due(8);
    await pair.read('take', 8, 8);
    deepEqual(await pair.reader.must({ op: 'release', count: 3 }), { ok: true, count: 3 });
    deepEqual(await pair.reader.must({ op: 'keep' }), { ok: true, count: 5 });
    pair.putBack(due.slice(3));
    await pair.read('take', 4, 4, 1);
    deepEqual(await pair.reader.must({ op: 'release' }), { ok: true, count: 4 });
    await pair.read('poll', 256, 1, 1);
    await pair.drain(256);
  }),
);

cross('a waiting reader is woken, and a writer that waits for room', () =>
  eachPair('woken', { capacity: 4 }, async (pair) => {
    await pair.open();
    const woken = pair.reader.must({ op: 'wait', timeout_ms: 20_000 });
    equal(await pair.write(Array.from({ length: 4 }, (_, index) => payload(9, index))), 4);
    equal((await woken).ready, true);
    const sent = pair.send(payload(9, 4));
    await pair.read('poll', 4, 4);
    await sent;
    await pair.drain(4);
    equal((await pair.reader.must({ op: 'wait', timeout_ms: 20 })).ready, false);
  }),
);

for (const name of ['queue', 'exclusive queue', 'gated stream']) {
  cross(`under load, waiting for each other: ${name}`, () =>
    eachPair(`load ${name}`, { ...KINDS[name], capacity: 128 }, async (pair) => {
      await pair.open();
      const ledger = new Ledger();
      for (const driver of [pair.writer, pair.reader]) driver.onLoad = ledger.take;
      const take = name === 'queue' && pair.writer.language !== pair.reader.language;
      const consumed = pair.reader.must({ op: 'consume', batch: 50, take, idle_ms: 700 });
      await pair.writer.must({ op: 'produce', run: 1, count: 3_000, batch: 7, size: 700 });
      await pair.writer.must({ op: 'produce', run: 2, count: 300, batch: 3, size: 5_000 });
      equal((await consumed).count, 3_300);
      deepEqual(ledger.sum(), { written: 3_300, delivered: 3_300, lost: 0, torn: 0, duplicates: 0, redelivered: 0 });
    }),
  );
}

/** A victim takes all of it and is killed; what its heirs get, three messages each. */
async function inherited(channel: string, victimOf: Language, heirs: Driver[]): Promise<unknown[]> {
  const victim = await crew.start(victimOf);
  await victim.must({ op: 'open_consumer', channel });
  await victim.must({ op: 'take', limit: 256 });
  await victim.must({ op: 'release', count: 1 });
  victim.signal('SIGKILL');
  await victim.ended;
  const seen: unknown[] = [];
  for (const heir of heirs) {
    await heir.must({ op: 'open_consumer', channel });
    equal((await heir.must({ op: 'wait', timeout_ms: 20_000 })).ready, true);
    const { messages } = await heir.must({ op: 'take', limit: 3 });
    for (const { payload, redelivered, delivery_count } of messages as Line[]) {
      seen.push({ payload, redelivered, delivery_count });
    }
    await heir.must({ op: 'release' });
    await heir.must({ op: 'close_consumer' });
  }
  return seen;
}

for (const kind of ['queue', 'exclusive queue']) {
  cross(`what a killed taker held goes to others: ${kind}`, async () => {
    for (const writer of writers) {
      const channel = `killed ${kind} ${writer.language}`;
      await writer.must({ op: 'create_channel', name: channel, capacity: CAPACITY, ...KINDS[kind] });
      await writer.must({ op: 'open_producer', channel });
      const payloads = Array.from({ length: 13 }, (_, index) => payload(index === 4 ? 4_000 : 40, index));
      await writer.must({ op: 'write', payloads });
      await writer.must({ op: 'close_producer' });
      const due = payloads.slice(1).map((hex) => ({ payload: hex, redelivered: true, delivery_count: 2 }));
      deepEqual(await inherited(channel, writer.language, readers), due);
    }
  });
}

for (const [turn, language] of LANGUAGES.entries()) {
  cross(`recorded, read, shared and read from the log by different languages: ${language} records`, async () => {
    const at = (drivers: Driver[], offset: number) => drivers[(turn + offset) % LANGUAGES.length] as Driver;
    const roles = {
      recorder: at(writers, 0),
      heir: at(writers, 2),
      writer: at(writers, 1),
      reader: at(readers, 2),
      members: [at(readers, 3), at(readers, 0)],
      auditor: at(readers, 1),
    };
    const log = mkdtempSync(join(tmpdir(), 'tailrace-cross-'));
    try {
      const quartet = new Quartet(roles, `recorded ${language}`, log);
      await quartet.open();
      for (let part = 0; part < 2; part += 1) {
        await quartet.write(120);
        await quartet.checkReader();
        await quartet.checkGroup();
        await quartet.checkLog();
        if (part === 0) await quartet.handOver();
      }
      await quartet.close();
    } finally {
      rmSync(log, { recursive: true, force: true });
    }
  });
}

for (const [index, language] of LANGUAGES.entries()) {
  cross(`a wrong call has its code: ${language}`, async () => {
    const driver = writers[index] as Driver;
    using place = new Place();
    const seen: Record<string, string> = {};
    for (const { name, before = [], meanwhile, ask } of CASES) {
      await driver.must(place.at({ op: 'open' }));
      place.clear();
      for (const step of before) await driver.must(place.at(step));
      meanwhile?.(place);
      let answer = await driver.ask(place.at(ask));
      // A wait may end because there is something to find out; then the next call finds it.
      if (answer.ok && ask.op === 'wait') answer = await driver.ask({ op: 'poll', limit: 8 });
      ok(answer.ok || String(answer.message).length > 10, `${name}: a message that helps`);
      seen[name] = String(answer.code);
    }
    deepEqual(seen, Object.fromEntries(CASES.map(({ name, code }) => [name, code])));
  });
}

cross.run();
