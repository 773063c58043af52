/**
 * Full disk: a log on a small file system waits for space, loses nothing, and goes on by itself.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { Log, LogReader, Region } from '../sdk/index.ts';
import { type Builds, build, type Language } from './drivers/drive.ts';
import { AppenderProcess } from './faults/appender-process.ts';
import { content } from './faults/content.ts';
import { Journal, SOUND } from './faults/journal.ts';
import { scratch } from './scratch.ts';

const LANGUAGES: readonly Language[] = ['rust', 'node', 'python'];
const BYTES = 3 << 20;
const FILLER_BYTES = 1 << 20;
const SEGMENT_BYTES = 64 << 10;
/** The log goes on within a second; machines that are busy get more. */
const RESUMED_MS = 60_000;

const full = suite('log-full');
let builds: Builds;

/** A small file system in memory, with a file that takes some of it; or why there can be none. */
class Place implements AsyncDisposable {
  readonly #directory = mkdtempSync('/dev/shm/tailrace-log-full-');
  readonly reason: string | undefined;
  readonly log = join(this.#directory, 'log');
  #fillers = 0;

  constructor() {
    const words = ['-t', 'tmpfs', '-o', `size=${BYTES}`, 'tmpfs', this.#directory];
    const { status, stderr, error } = spawnSync('mount', words, { encoding: 'utf8' });
    if (status !== 0) this.reason = stderr?.split('\n')[0] || error?.message || `mount ended with ${status}`;
    else this.fill();
  }

  /** Takes what is left, up to a mebibyte. */
  fill(): void {
    const { bavail, bsize } = statfsSync(this.#directory);
    writeFileSync(this.#filler(), Buffer.alloc(Math.min(FILLER_BYTES, bavail * bsize), 1));
  }

  #filler(): string {
    this.#fillers += 1;
    return join(this.#directory, `filler${this.#fillers}`);
  }

  /** Gives all of it back. */
  free(): void {
    for (; this.#fillers > 0; this.#fillers -= 1) {
      rmSync(join(this.#directory, `filler${this.#fillers}`), { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await AppenderProcess.killAll();
    if (!this.reason) spawnSync('umount', ['-l', this.#directory]);
    rmdirSync(this.#directory);
  }
}

full.before(() => {
  builds = build(false);
});

/** A test on a small file system, or the reason why not. */
function onPlace(name: string, test: (place: Place) => Promise<void>): void {
  full(name, async () => {
    await using place = new Place();
    if (place.reason) return console.log(`skip: ${name}: no file system of our own can be mounted (${place.reason})`);
    await test(place);
  });
}

/** Resolves at the next line that is like that. */
function next(appender: AppenderProcess, journal: Journal, is: (words: string[]) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const clock = setTimeout(() => reject(new Error(`${appender.language} did not get so far`)), 60_000);
    appender.onLine = (words) => {
      journal.take(words);
      if (!is(words)) return;
      clearTimeout(clock);
      resolve();
    };
  });
}

async function resumed(what: string, place: Place, going: Promise<void>): Promise<void> {
  const start = performance.now();
  place.free();
  await going;
  const ms = performance.now() - start;
  console.log(`note: ${what}: went on ${ms.toFixed(0)} ms after there was space`);
  assert.ok(ms < RESUMED_MS, `${what}: went on after ${ms} ms`);
}

for (const language of LANGUAGES) {
  onPlace(`a log is full, and goes on: ${language}`, async (place) => {
    const journal = new Journal();
    const appender = new AppenderProcess(language, builds);
    await appender.hear('ready');
    await appender.ask('opened', 'open', place.log, SEGMENT_BYTES);
    const isFull = next(appender, journal, ([word]) => word === 'failed');
    appender.say('append', 1);
    await isFull;
    await sleep(300);
    for (const { code, verb } of appender.failures) {
      assert.equal(code, 'ERR_DISK_FULL');
      assert.match(verb, /^append/);
    }
    assert.deepEqual(journal.check(place.log), SOUND, 'readers go on');
    assert.equal((await Log.stat(place.log)).state, 'ERR_DISK_FULL');
    const before = journal.records;
    await resumed(
      `log, ${language}`,
      place,
      next(appender, journal, ([word]) => word === 'd'),
    );
    await next(appender, journal, ([word]) => word === 'failed');
    assert.deepEqual(journal.check(place.log), SOUND);
    assert.ok(journal.records > before + 100);
    assert.deepEqual([...new Set(appender.failures.map(({ code }) => code))], ['ERR_DISK_FULL']);
    await appender.kill();
    // Opening needs no space that is not there.
    const heir = new AppenderProcess(language, builds);
    await heir.hear('ready');
    await heir.ask('opened', 'open', place.log, SEGMENT_BYTES);
    const isFullStill = next(heir, journal, ([word]) => word === 'failed');
    heir.say('append', 2);
    await isFullStill;
    assert.deepEqual([...new Set(heir.failures.map(({ code }) => code))], ['ERR_DISK_FULL']);
    assert.deepEqual(journal.check(place.log), SOUND);
    await heir.ask('closed', 'close');
  });
}

for (const [at, language] of LANGUAGES.entries()) {
  const senders = [LANGUAGES[at]!, LANGUAGES[(at + 1) % 3]!];
  onPlace(`a recorder's disk is full, and it goes on: ${language}`, async (place) => {
    const journal = new Journal();
    const path = scratch();
    using region = Region.create(path);
    region.createChannel('c', { kind: 'stream', recorded: true, capacity: 256 });
    const processes = [language, ...senders].map((of) => new AppenderProcess(of, builds));
    const [recorder, ...others] = processes as [AppenderProcess, AppenderProcess, AppenderProcess];
    await Promise.all(processes.map((one) => one.hear('ready')));
    await recorder.ask('recording', 'record', path, place.log, SEGMENT_BYTES);
    using member = region.openConsumer('c', { group: 'sinks', from: 'oldest', level: 'wal', log: place.log });
    using producer = region.openProducer('c');
    for (const [i, sender] of others.entries()) {
      sender.onLine = journal.take;
      sender.say('send', path, (1 << 16) + i);
    }
    const refused = async () => {
      for (let run = 1 << 17; ; run += 1) {
        const sent = producer.send(content(run, 0), { durability: 'wal', timeoutMs: 500 });
        try {
          journal.take(['d', String(await sent), String(run), '0', '1']);
        } catch (error) {
          if ((error as { code?: string }).code !== 'ERR_TIMED_OUT') return error as Error & { code?: string };
        }
      }
    };
    // Filled while they send, so that some of it is in the ring.
    place.fill();
    const error = await refused();
    assert.equal(error.code, 'ERR_DISK_FULL', error.message);
    assert.match(error.message, /nothing was written/);
    const sequence = await producer.send(content(1 << 18, 0));
    journal.take(['m', String(sequence), String(1 << 18), '0', '1']);
    // A group goes on: it takes, and what it has done is stored on the full disk.
    const taken = member.take(50);
    const last = [...taken].at(-1)?.sequence ?? assert.fail('there is something to take');
    taken.release();
    assert.equal(await member.commit(), last + 1n);
    assert.deepEqual(
      (await Log.stat(place.log)).cursors.map(({ sequence }) => sequence),
      [last + 1n],
    );
    {
      using reader = LogReader.open(place.log);
      assert.equal(reader.poll(1).length, 1);
    }
    const going = others.map((sender) => next(sender, journal, ([word]) => word === 'd'));
    await resumed(`recorder, ${language}`, place, Promise.race(going));
    await producer.send(content((1 << 18) + 1, 0), { durability: 'wal' });
    await Promise.all(others.map((sender) => sender.kill()));
    await recorder.ask('closed', 'close').catch((closing: Error) => assert.match(closing.message, /ERR_DISK_FULL/));
    assert.deepEqual(journal.check(place.log), SOUND);
    assert.ok(journal.has(1 << 18, 0), 'what was in the ring is recorded');
  });
}

full.run();
