/**
 * Hostile: rubbish is written over every part of a region while each language reads, writes, opens and waits.
 *
 * What may happen is an error, a message that is skipped, a message that is wrong. What may not: a crash, an exception
 * that is none of ours, a call that does not come back, ERR_INTERNAL (a panic that was caught). The seed is printed, and
 * `TAILRACE_HOSTILE_SEED` repeats what was written; not when. The last band ends where the file ends, also of a channel
 * that is added, so whoever reads beyond it is killed by the kernel.
 */
import { equal, fail, notEqual, ok } from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { suite } from 'uvu';
import { type ChannelOptions, Region } from '../sdk/index.ts';
import { payload } from './cross/crew.ts';
import { below, type Dice, dice, pick } from './dice.ts';
import { type Builds, build, Driver, type Language, type Line } from './drivers/drive.ts';
import { Vandal } from './hostile/vandal.ts';
import { removeRegion } from './scratch.ts';

const LANGUAGES: readonly Language[] = ['rust', 'node', 'python', 'c'];
const MILLISECONDS = 5_000;
/** Longest time for one answer; control calls wait for the region's lock for one second. */
const PATIENCE_MS = 20_000;
const STRIKES_A_TURN = 20;
const CHANNELS: Record<string, ChannelOptions> = {
  queue: { capacity: 64 },
  exclusive: { capacity: 8, exclusiveProducer: true, exclusiveConsumer: true },
  checksum: { capacity: 16, checksum: true },
  stream: { kind: 'stream', capacity: 64 },
  gated: { kind: 'stream', capacity: 8, gated: true },
  foreign: { capacity: 16, foreign: 'code' },
  last: { capacity: 64 },
};
const NAMES = Object.keys(CHANNELS);

const hostile = suite('hostile');
const seed = Number(process.env.TAILRACE_HOSTILE_SEED ?? Date.now() % 1e9);
const path = `/dev/shm/tailrace-hostile-${process.pid}`;
let builds: Builds;

hostile.before(() => {
  console.log(`  seed ${seed}`);
  builds = build(false);
});
hostile.after.each(() => removeRegion(path));
process.on('exit', () => removeRegion(path));

/** Something to ask, from what people do most. */
function question(roll: Dice): Line {
  const channel = pick(roll, NAMES);
  const some = () => payload(pick(roll, [0, 5, 64, 960, 1_024, 1_025, 2_048, 16_000]), below(roll, 251));
  const chance = roll();
  if (chance < 0.25) return { op: 'write', payloads: Array.from({ length: 1 + below(roll, 9) }, some), type: 1 };
  if (chance < 0.3) return { op: 'send', payload: some(), type: 1, timeout_ms: 5 };
  if (chance < 0.5) return { op: 'poll', limit: 1 + below(roll, 100) };
  if (chance < 0.62) return { op: 'take', limit: 1 + below(roll, 100) };
  if (chance < 0.7) return { op: 'release', ...(roll() < 0.5 && { count: below(roll, 4) }) };
  if (chance < 0.73) return { op: 'keep' };
  if (chance < 0.78) return { op: 'wait', timeout_ms: 5 };
  if (chance < 0.79) return { op: 'depth' };
  if (chance < 0.82) return { op: 'open', path };
  if (chance < 0.83) return { op: 'create_channel', name: pick(roll, ['new', channel]), capacity: 64 };
  if (chance < 0.91) return { op: 'open_producer', channel };
  if (chance < 0.99) return { op: 'open_consumer', channel, ...(roll() < 0.3 && { from: 'oldest' }) };
  return { op: pick(roll, ['close_producer', 'close_consumer']) };
}

/** The answer, if it comes in time. */
async function answered(driver: Driver, ask: Line): Promise<Line> {
  let late: NodeJS.Timeout | undefined;
  const never = new Promise<never>((_, reject) => {
    late = setTimeout(() => reject(new Error(`no answer to ${JSON.stringify(ask)}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([driver.ask(ask), never]);
  } finally {
    clearTimeout(late);
  }
}

/** Asks one driver until the time is up; how often it answered well, and how often with which code. */
async function use(driver: Driver, roll: Dice, end: number, seen: Map<string, number>): Promise<void> {
  const asked: Line[] = [];
  while (performance.now() < end) {
    const ask = question(roll);
    asked.push(ask);
    const answer = await answered(driver, ask).catch((error: Error) => {
      const last = asked.slice(-6).map((line) => JSON.stringify(line).slice(0, 120));
      fail(`seed ${seed}, ${driver.language}: ${error.message}\n${last.join('\n')}`);
    });
    const code = answer.ok ? 'ok' : String(answer.code);
    notEqual(code, 'ERR_INTERNAL', `seed ${seed}, ${driver.language}: ${JSON.stringify([ask, answer]).slice(0, 500)}`);
    seen.set(code, (seen.get(code) ?? 0) + 1);
  }
}

for (const [index, language] of LANGUAGES.entries()) {
  hostile(`rubbish everywhere: ${language}`, async () => {
    using region = Region.create(path, { limitBytes: 4 << 20 });
    for (const [name, options] of Object.entries(CHANNELS)) region.createChannel(name, options);
    const vandal = new Vandal(path, dice(seed + index), NAMES.length);
    const drivers = [0, 1, 2].map(() => new Driver(language, builds));
    try {
      for (const driver of drivers) await driver.must({ op: 'open', path });
      const end = performance.now() + MILLISECONDS;
      const seen = new Map<string, number>();
      const uses = drivers.map((driver, turn) => use(driver, dice(seed + 100 * turn), end, seen));
      const used = Promise.all(uses);
      used.catch(() => {});
      while (performance.now() < end) {
        for (let strike = 0; strike < STRIKES_A_TURN; strike += 1) vandal.strike();
        await turn();
      }
      await used;
      console.log(`  ${language}: ${vandal.writes} writes, ${JSON.stringify(Object.fromEntries(seen))}`);
      ok((seen.get('ok') ?? 0) > 100 && seen.size > 3, 'the region was used, and it was broken');
      rmSync(path);
      using whole = Region.create(path);
      whole.createChannel('queue');
      for (const driver of drivers) {
        for (const ask of ['open', 'open_producer', 'open_consumer']) {
          await driver.must({ op: ask, path, channel: 'queue' });
        }
        equal((await driver.must({ op: 'write', payloads: ['00'], type: 1 })).count, 1, 'it works as before');
        equal(((await driver.must({ op: 'poll', limit: 2 })).messages as Line[]).length, 1);
      }
    } finally {
      vandal.close();
      for (const driver of drivers) driver.signal('SIGKILL');
      await Promise.all(drivers.map((driver) => driver.ended));
    }
  });
}

hostile.run();
