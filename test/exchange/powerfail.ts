/**
 * Power failure under an exchange: the file system of its logs is shut down while the matcher works at level `wal`.
 *
 * The journal's short batches are stored through a mapping, those of the outputs too, and the latter are synced when
 * there is time; so what a failure leaves is not what it leaves of a log that is written (`test/powerfail.ts`). What was
 * heard before the order to shut down must be said again, byte for byte, by the matcher that starts on what is left.
 * `TAILRACE_POWERFAIL_SEED` repeats the choices, though not the moments.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { type Dice, dice, pick } from '../dice.ts';
import { around, absent as noInjection } from '../faults/injection.ts';
import { MatcherStand } from '../faults/matcher-stand.ts';
import { Volume } from '../faults/volume.ts';
import { scratch } from '../scratch.ts';

const CYCLES = 24;
/** The control has so many cycles to lose something. */
const CONTROL_CYCLES = 6;
const SEGMENTS = [64 << 10, 128 << 10, 256 << 10];
/** Commands of one write: of some, each batch of the journal is short enough to be stored. */
const TOGETHER = [1, 5, 40, 200];
const LONGEST_MS = 120;
/** A matcher whose disk is gone ends by itself; the test does not wait for it longer than this. */
const DEATH_MS = 1_000;

const powerfail = suite('exchange, power failure');
const seed = Number(process.env.TAILRACE_POWERFAIL_SEED ?? Date.now() % 1e9);
const roll: Dice = dice(seed);
const reason = await Volume.absent();

/** A test that needs a file system of our own. */
function onVolume(name: string, test: (volume: Volume) => Promise<void>): void {
  powerfail(name, async () => {
    if (reason) return console.log(`skip: exchange, ${name}: ${reason}`);
    await using volume = new Volume();
    volume.make();
    volume.mountSomehow(roll);
    await test(volume);
  });
}

function standOn(volume: Volume, name: string): MatcherStand {
  const [region, data, file] = [scratch(), join(volume.directory, name), `${scratch()}.json`];
  process.once('exit', () => rmSync(file, { force: true }));
  return new MatcherStand({ region, data, file, segmentBytes: SEGMENTS[0]! });
}

/** Trades for a moment, then the power fails, and all memory with it; how the matcher took it. */
async function failUnder(volume: Volume, stand: MatcherStand, log: string): Promise<string> {
  await using power = await volume.power();
  let isOver = false;
  const before = stand.acknowledged;
  const trading = stand.trade(pick(roll, TOGETHER), () => isOver);
  try {
    while (stand.acknowledged === before) await sleep(1);
    await sleep(roll() * LONGEST_MS);
    const torn = roll() < 0.5 ? { log, seed: Math.floor(roll() * 2 ** 31) } : undefined;
    stand.freeze();
    await power.fail(torn);
    const how = await stand.matcher.endsWithin(DEATH_MS);
    return `${volume.options}: ${how === undefined ? 'was killed' : `ended with ${how}`}`;
  } finally {
    isOver = true;
    await trading;
    await stand.forget();
  }
}

async function mountAgain(volume: Volume): Promise<void> {
  await volume.unmount();
  volume.mountSomehow(roll);
}

onVolume(`${CYCLES} failures under a matcher at level wal`, async (volume) => {
  const stand = standOn(volume, 'data');
  const endings: Record<string, number> = {};
  try {
    for (let cycle = 0; cycle <= CYCLES; cycle += 1) {
      const what = `seed ${seed}, cycle ${cycle}`;
      assert.ok(await stand.start([], pick(roll, SEGMENTS)), `${what}: ${stand.matcher.errors}`);
      await stand.check(what);
      if (cycle === CYCLES) break;
      const how = await failUnder(volume, stand, join(volume.directory, 'data', pick(roll, ['orders', 'reports'])));
      endings[how] = (endings[how] ?? 0) + 1;
      await mountAgain(volume);
    }
    assert.equal(await stand.matcher.leave(), 0, stand.matcher.errors);
    const { commands, reports } = stand.extent;
    console.log(
      `note: exchange: ${CYCLES} power failures, ${stand.acknowledged} reports heard, 0 lost; ${commands} commands and ` +
        `${reports} reports in the logs; the matcher ${JSON.stringify(endings)}`,
    );
  } finally {
    await stand.forget();
  }
});

onVolume('without fsync it is seen that the exchange loses what it has answered', async (volume) => {
  const injection = noInjection();
  if (injection) return console.log(`skip: the control of power failure under an exchange: ${injection}`);
  let seen = '';
  let cycle = 0;
  for (; cycle < CONTROL_CYCLES && !seen; cycle += 1) {
    const stand = standOn(volume, `data${cycle}`);
    try {
      // What it is given is on disk, so that it is the commands that are lost and not the exchange.
      assert.ok(await stand.start(), stand.matcher.errors);
      assert.equal(await stand.matcher.leave(), 0);
      await stand.forget();
      assert.ok(await stand.start(around('fsync,fdatasync:retval=0')), stand.matcher.errors);
      await failUnder(volume, stand, join(volume.directory, `data${cycle}`, 'orders'));
      await mountAgain(volume);
      seen = await damageSeen(stand);
    } finally {
      await stand.forget();
    }
  }
  assert.ok(seen, `seed ${seed}: ${CONTROL_CYCLES} failures without fsync and nothing was lost`);
  console.log(`note: without fsync, exchange: seen after ${cycle} of ${CONTROL_CYCLES}: ${seen.slice(0, 160)}`);
});

/** What is wrong with logs that were never synced; nothing when they are sound by luck. */
async function damageSeen(stand: MatcherStand): Promise<string> {
  if (!(await stand.start())) return stand.matcher.errors.trim();
  try {
    await stand.check('without fsync');
    return '';
  } catch (error) {
    if (error instanceof assert.AssertionError) return error.message;
    throw error;
  }
}

powerfail.run();
