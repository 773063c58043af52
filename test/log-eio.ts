/**
 * EIO: a write, a sync or a rename of a log's writer fails, each at its k-th call.
 *
 * Strace makes the call fail and does not make it at all; it counts for each thread by itself. A failed sync after which
 * the page cache says that all is well needs a device that fails: that is left to the simulated disk of `core/tests/log`.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { Log } from '../sdk/index.ts';
import { type Builds, build, type Language } from './drivers/drive.ts';
import { AppenderProcess } from './faults/appender-process.ts';
import { absent, around } from './faults/injection.ts';
import { Journal, SOUND } from './faults/journal.ts';
import { isSync, read } from './faults/trace.ts';

/** Calls, and the words by which strace knows them on every machine. */
const CALLS = {
  write: 'pwrite64,?pwritev,?pwritev2',
  sync: 'fdatasync',
  'sync of names': 'fsync',
  rename: '?rename,?renameat,?renameat2',
};
/** A program, how it opens the log, and which calls fail. */
interface Kind {
  language: Language;
  words: readonly string[];
  ats: readonly number[];
}
const KINDS: Record<string, Kind> = {
  rust: { language: 'rust', words: [], ats: [1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 17, 22, 29, 38, 50] },
  node: { language: 'node', words: [], ats: [1, 3, 6, 10, 25] },
  // Short batches are stored in memory: only the sync says that the disk has failed.
  'rust, mapped': { language: 'rust', words: ['mapped'], ats: [1, 2, 3, 4, 6, 10, 17, 29] },
  'rust, mapped and lazy': { language: 'rust', words: ['mapped', 'lazy'], ats: [1, 2, 3, 5, 9, 15] },
};
const LANES: Record<string, number> = { rust: 4, node: 24 };
const AT_ONCE = 3;
/** So long a failure is waited for; the k-th call may never come. */
const PATIENCE_MS = 3_000;
/** Files that can be made anew: an error of theirs stops nobody. */
const DERIVED = /\.index(\.\w+)?$/;

const eio = suite('log-eio');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-eio-'));
const reason = absent();
let builds: Builds;
let unknownOutcomes = 0;

eio.before(() => {
  if (!reason) builds = build(false);
});
eio.after(async () => {
  await AppenderProcess.killAll();
  rmSync(folder, { recursive: true, force: true });
});

/** What came of one injection. */
type Ending = 'refused to open' | 'failed' | 'went on' | 'was not met';

async function trial(kind: string, call: string, at: number): Promise<Ending> {
  const { language, words: how } = KINDS[kind]!;
  const name = `${kind}-${call}-${at}`.replaceAll(/[ ,]+/g, '-');
  const [log, output] = [join(folder, name), join(folder, `${name}.trace`)];
  const traced = Object.values(CALLS).join(',');
  const words = CALLS[call as keyof typeof CALLS];
  const strace = around(`${words}:error=EIO:when=${at}`, traced, output);
  const appender = new AppenderProcess(language, builds, strace);
  const journal = new Journal();
  await appender.hear('ready');
  const isOpen = await appender.ask('opened', 'open', log, 64 << 10, ...how).then(
    () => true,
    (error: Error) => {
      assert.match(error.message, /^failed ERR_IO /);
      return false;
    },
  );
  let ended = 0;
  if (isOpen) ended = await appendUntilFailure(appender, journal);
  await appender.kill();
  const calls = read(output);
  const first = calls.findIndex(({ isInjected }) => isInjected);
  const injected = calls[first];
  if (injected && isSync(injected) && !DERIVED.test(injected.file)) {
    const again = calls.slice(first + 1).filter((later) => isSync(later) && later.file === injected.file);
    assert.deepEqual(again, [], `${name}: ${injected.file} was synced again`);
  }
  await soundAgain(log, journal, name);
  if (!isOpen) return 'refused to open';
  if (!injected) return 'was not met';
  if (ended === 0) {
    const all = calls.filter(({ isInjected }) => isInjected);
    assert.ok(
      all.every(({ file }) => DERIVED.test(file)),
      `${name}: nobody was told of ${JSON.stringify(all)}`,
    );
    return 'went on';
  }
  assert.equal(ended, LANES[language], `${name}: all lanes end`);
  checkOutcomes(appender, journal, name);
  return 'failed';
}

/** What is known to be refused is not there. What was on its way is there or not. */
function checkOutcomes(appender: AppenderProcess, journal: Journal, name: string): void {
  const unknown = new Set<string>();
  for (const { code, outcome, verb } of appender.failures) {
    assert.equal(code, 'ERR_IO', name);
    if (outcome === 'unknown') unknown.add(verb);
    const [, run, index] = verb.split('/').map(Number) as [number, number, number];
    if (!unknown.has(verb)) assert.ok(!journal.has(run, index), `${name}: ${verb} was said not to be written`);
  }
  unknownOutcomes += unknown.size;
}

/** Appends; how many lanes have ended, none when nothing failed in time. */
async function appendUntilFailure(appender: AppenderProcess, journal: Journal): Promise<number> {
  let ended = 0;
  const stop = new Promise<void>((resolve) => {
    appender.onLine = (words) => {
      journal.take(words);
      if (words[0] === 'ended') ended += 1;
      if (ended === LANES[appender.language]) resolve();
    };
  });
  appender.say('append', 1);
  await Promise.race([stop, sleep(PATIENCE_MS, undefined, { ref: false })]);
  // Where one lane has heard of a failure, the others will.
  if (ended > 0) await Promise.race([stop, sleep(30_000, undefined, { ref: false })]);
  return ended;
}

/** Everything acknowledged is there, and the log goes on. */
async function soundAgain(path: string, journal: Journal, name: string): Promise<void> {
  {
    await using _writer = await Log.open(path, { segmentBytes: 64 << 10 });
    assert.deepEqual(journal.check(path), SOUND, name);
  }
  const before = journal.records;
  const appender = new AppenderProcess('rust', builds);
  await appender.hear('ready');
  await appender.ask('opened', 'open', path, 64 << 10);
  appender.onLine = journal.take;
  appender.say('append', 2);
  const enough = journal.acknowledgements + 300;
  while (journal.acknowledgements < enough) await sleep(5);
  await appender.kill();
  assert.deepEqual(journal.check(path), SOUND, `${name}, and then`);
  assert.ok(journal.records > before);
}

for (const [kind, { ats }] of Object.entries(KINDS)) {
  for (const call of Object.keys(CALLS)) {
    eio(`${kind}: a ${call} fails at each of ${ats.length} calls`, async () => {
      if (reason) return console.log(`skip: EIO at a ${call}, ${kind}: ${reason}`);
      const endings: Record<string, number> = {};
      unknownOutcomes = 0;
      const queue = [...ats];
      const work = async () => {
        for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
          const ending = await trial(kind, call, at);
          endings[ending] = (endings[ending] ?? 0) + 1;
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      assert.ok((endings['failed'] ?? 0) + (endings['refused to open'] ?? 0) > 0, JSON.stringify(endings));
      if (call === 'write' || call === 'sync') assert.ok(unknownOutcomes > 0, 'somebody was told that nobody knows');
      const counts = `${JSON.stringify(endings)}, ${unknownOutcomes} outcomes unknown`;
      console.log(`note: EIO at a ${call}, ${kind}: ${counts}`);
    });
  }
}

eio('a page cache that lies after a failed sync', () => {
  console.log(
    'skip: a page cache that lies after a failed sync needs a device that fails; core/tests/log simulates it',
  );
});

eio.run();
