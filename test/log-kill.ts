/**
 * Kills of a log's writers, at random moments under load, of three languages; and of what mends the log after them.
 *
 * The page cache outlives a process, so a kill must not even take what was only written. A reader in another process
 * follows the log all the time. `TAILRACE_LOG_KILL_SEED` repeats the choices, though not the moments.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { Log } from '../sdk/index.ts';
import { dice, pick } from './dice.ts';
import { type Builds, build, type Language } from './drivers/drive.ts';
import { AppenderProcess } from './faults/appender-process.ts';
import { content } from './faults/content.ts';
import { around, absent as noInjection } from './faults/injection.ts';
import { Journal, SOUND } from './faults/journal.ts';

const LANGUAGES: readonly Language[] = ['rust', 'node', 'python'];
const CYCLES = 60;
/** Recoveries that are killed. */
const RECOVERIES = 20;
/** A follower is told within 25 ms; machines that are busy get more. */
const PATIENCE_MS = 60_000;
const LONGEST_MS = 100;
const SEGMENTS = [64 << 10, 128 << 10, 256 << 10];
/** One segment with a large tail, so that mending it takes a while. */
const TAIL_SEGMENT_BYTES = 64 << 20;
/** Syncs take so long while that tail is written, and no record of it is known to be on disk. */
const SYNC_MS = 500;
const MENDING_MS = 60;

const kill = suite('log-kill');
const seed = Number(process.env['TAILRACE_LOG_KILL_SEED'] ?? Date.now() % 1e9);
const roll = dice(seed);
const folder = mkdtempSync(join(tmpdir(), 'tailrace-log-kill-'));
let builds: Builds;

kill.before(() => {
  builds = build(false);
  console.log(`  seed ${seed}`);
});
kill.after(async () => {
  await AppenderProcess.killAll();
  rmSync(folder, { recursive: true, force: true });
});

/** Readers in other processes, who never see anything wrong. */
class Followers {
  readonly #processes = (['rust', 'node'] as const).map((language) => new AppenderProcess(language, builds));
  readonly #seen = this.#processes.map(() => 0);
  readonly wrong: string[] = [];

  async follow(path: string): Promise<void> {
    for (const [i, process] of this.#processes.entries()) {
      await process.hear('ready');
      process.onLine = (words) => {
        if (words[0] === 'r') this.#seen[i] = Number(words[1]);
        else this.wrong.push(`${process.language}: ${words.join(' ')}`);
      };
      process.ended.then((how) => this.wrong.push(`${process.language} ended with ${how}: ${process.errors}`));
      process.say('follow', path);
    }
  }

  /** Waits until all have read so far. */
  async reach(sequence: number): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (this.#seen.some((seen) => seen < sequence)) {
      assert.deepEqual(this.wrong, [], `seed ${seed}`);
      assert.ok(performance.now() < end, `seed ${seed}: ${this.#seen} of ${sequence} were followed`);
      await sleep(5);
    }
  }
}

kill(`${CYCLES} kills of writers in three languages, and readers that follow`, async () => {
  const path = join(folder, 'log');
  const journal = new Journal();
  const followers = new Followers();
  let next = new AppenderProcess('rust', builds);
  for (let cycle = 0; cycle <= CYCLES; cycle += 1) {
    const appender = next;
    next = new AppenderProcess(LANGUAGES[(cycle + 1) % LANGUAGES.length]!, builds);
    await appender.hear('ready');
    await appender.ask('opened', 'open', path, pick(roll, SEGMENTS));
    if (cycle === 0) await followers.follow(path);
    assert.deepEqual(journal.check(path), SOUND, `seed ${seed}`);
    await followers.reach(journal.records);
    if (cycle === CYCLES) break;
    const first = new Promise<void>((resolve) => {
      appender.onLine = (words) => {
        journal.take(words);
        if (words[0] === 'd') resolve();
      };
    });
    appender.say('append', cycle);
    await first;
    await sleep(roll() * LONGEST_MS);
    // What it said before it died is heard: it was written, and so it is there.
    await appender.kill();
    assert.deepEqual(appender.failures, []);
  }
  assert.deepEqual(followers.wrong, []);
  await AppenderProcess.killAll();
  const { records } = await Log.verify(path);
  assert.equal(records, journal.records);
  const { segments } = await Log.stat(path);
  const counts = `${journal.acknowledgements} acknowledged, 0 lost; ${records} records, ${segments.length} segments`;
  console.log(`note: ${CYCLES} kills of log writers: ${counts}`);
});

kill(`${RECOVERIES} kills while a log is mended`, async () => {
  const injection = noInjection();
  if (injection) return console.log(`skip: kills while a log is mended: ${injection}`);
  const path = join(folder, 'tail');
  const journal = new Journal();
  let killed = 0;
  let mended = 0;
  let run = 0;
  /** Appends without waiting for the disk, so that much is to be mended, and dies. */
  const leaveTail = async () => {
    const slowly = around(`fdatasync:delay_enter=${SYNC_MS * 1_000}`);
    const appender = new AppenderProcess('rust', builds, slowly);
    await appender.hear('ready');
    await appender.ask('opened', 'open', path, TAIL_SEGMENT_BYTES);
    appender.onLine = journal.take;
    appender.say('append', ++run, 'memory');
    await sleep(SYNC_MS * 0.8);
    await appender.kill();
  };
  {
    // The first segment of a log is short: it is filled, and the next one has room for the tail.
    await using log = await Log.open(path, { segmentBytes: TAIL_SEGMENT_BYTES });
    for (let index = 0; index < 100; index += 1) {
      const last = await log.append(Array.from({ length: 40 }, (_, i) => content(1, index * 40 + i)));
      journal.take(['d', String(last - 39n), '1', String(index * 40), '40']);
    }
  }
  await leaveTail();
  for (let cycle = 0; cycle < RECOVERIES; cycle += 1) {
    const opener = new AppenderProcess(pick(roll, LANGUAGES), builds);
    await opener.hear('ready');
    const opened = opener.ask('opened', 'open', path, TAIL_SEGMENT_BYTES).then(
      () => true,
      () => false,
    );
    await sleep(roll() * MENDING_MS);
    await opener.kill();
    if (await opened) {
      // It was too late to kill the mending: the next one finds a tail again.
      mended += 1;
      await leaveTail();
    } else killed += 1;
  }
  const start = performance.now();
  await using _writer = await Log.open(path);
  const ms = performance.now() - start;
  assert.deepEqual(journal.check(path), SOUND, `seed ${seed}`);
  assert.ok(killed > 0, `seed ${seed}: all ${mended} were mended before they were killed`);
  const counts = `${killed} killed before the end, ${mended} too late, one of ${ms.toFixed(0)} ms to the end`;
  console.log(`note: mending: ${counts}; ${journal.records} records, 0 lost`);
});

kill.run();
