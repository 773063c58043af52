/**
 * Power failure: the file system under a log is shut down while programs of three languages append to it, again and again.
 *
 * An ext4 in a file is mounted, written, shut down without a flush of its journal, and mounted anew; what the page cache
 * knew is gone then, as it is when the power fails. What was acknowledged is fixed before the order to shut down is given.
 * Another language opens the log and goes on with it, so each failure also hits what the last one was mended to.
 * `TAILRACE_POWERFAIL_SEED` repeats the choices, though not the moments.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { Log, Region } from '../sdk/index.ts';
import { type Dice, dice, pick } from './dice.ts';
import { type Builds, build, type Language } from './drivers/drive.ts';
import { AppenderProcess } from './faults/appender-process.ts';
import { around, absent as noInjection } from './faults/injection.ts';
import { type Findings, Journal, SOUND } from './faults/journal.ts';
import { Volume } from './faults/volume.ts';
import { removeRegion } from './scratch.ts';

const LANGUAGES: readonly Language[] = ['rust', 'node', 'python'];
const CYCLES = { appending: 36, mapped: 30, checkpoints: 12, recording: 12 };
/** The control has so many cycles to lose something. */
const CONTROL_CYCLES = 6;
const SEGMENTS = [64 << 10, 128 << 10, 256 << 10];
const LONGEST_MS = 120;

const powerfail = suite('powerfail');
const seed = Number(process.env['TAILRACE_POWERFAIL_SEED'] ?? Date.now() % 1e9);
const roll: Dice = dice(seed);
const reason = await Volume.absent();
let builds: Builds;

powerfail.before(() => {
  if (!reason) builds = build(false);
  console.log(`  seed ${seed}`);
});

/** A program, and how it opens the log. */
interface Kind {
  language: Language;
  words?: readonly string[];
}

/** A test that needs a file system of our own. */
function onVolume(name: string, test: (volume: Volume) => Promise<void>): void {
  powerfail(name, async () => {
    if (reason) return console.log(`skip: power failure, ${name}: ${reason}`);
    await using volume = new Volume();
    volume.make();
    volume.mountSomehow(roll);
    try {
      await test(volume);
    } finally {
      await AppenderProcess.killAll();
    }
  });
}

/** Appends for a moment, then the power fails, and the program with it. */
async function failUnder(volume: Volume, log: string, journal: Journal, processes: AppenderProcess[]): Promise<void> {
  await using power = await volume.power();
  await sleep(roll() * LONGEST_MS);
  const torn = roll() < 0.5 ? { log, seed: Math.floor(roll() * 2 ** 31) } : undefined;
  journal.freeze();
  await power.fail(torn);
  await Promise.all(processes.map((process) => process.kill()));
  await volume.unmount();
  volume.mountSomehow(roll);
  journal.thaw();
  journal.forgetWritten();
}

async function checked(log: string, journal: Journal): Promise<void> {
  assert.deepEqual(journal.check(log), SOUND, `seed ${seed}`);
  const { records, lastSequence } = await Log.verify(log);
  assert.equal(records, journal.records);
  assert.equal(Number(lastSequence), journal.records);
}

function note(what: string, cycles: number, journal: Journal, log: string, volume: Volume): Promise<void> {
  return Log.stat(log).then(({ segments }) => {
    const { acknowledgements, records } = journal;
    console.log(
      `note: ${what}: ${cycles} power failures, ${acknowledgements} acknowledged, 0 lost; ` +
        `${records} records in ${segments.length} segments (${volume.options} last)`,
    );
  });
}

/** Fails under appenders, a fresh one each time; `kind` says which. */
async function failUnderAppends(volume: Volume, what: string, cycles: number, kind: (cycle: number) => Kind) {
  const log = join(volume.directory, 'log');
  const journal = new Journal();
  let next = new AppenderProcess(kind(0).language, builds);
  for (let cycle = 0; cycle <= cycles; cycle += 1) {
    const appender = next;
    next = new AppenderProcess(kind(cycle + 1).language, builds);
    appender.onLine = journal.take;
    await appender.hear('ready');
    await appender.ask('opened', 'open', log, pick(roll, SEGMENTS), ...(kind(cycle).words ?? []));
    await checked(log, journal);
    if (cycle < cycles) {
      const first = new Promise<void>((resolve) => {
        appender.onLine = (words) => {
          journal.take(words);
          if (words[0] === 'd') resolve();
        };
      });
      appender.say('append', cycle);
      await first;
      await failUnder(volume, log, journal, [appender]);
    }
  }
  await note(what, cycles, journal, log, volume);
}

onVolume(`${CYCLES.appending} failures under appends of three languages`, (volume) =>
  failUnderAppends(volume, 'appends', CYCLES.appending, (cycle) => ({
    language: LANGUAGES[cycle % LANGUAGES.length]!,
  })),
);

onVolume(`${CYCLES.mapped} failures under appends to a log that is in memory`, (volume) =>
  failUnderAppends(volume, 'mapped appends', CYCLES.mapped, () => ({
    language: 'rust',
    words: pick(roll, [['mapped'], ['mapped', 'lazy'], ['lazy']]),
  })),
);

onVolume(`${CYCLES.checkpoints} failures under appends and checkpoints`, async (volume) => {
  const log = join(volume.directory, 'log');
  const journal = new Journal();
  let newest: [id: number, sequence: number] = [0, 0];
  let stored = 0;
  for (let cycle = 0; cycle <= CYCLES.checkpoints; cycle += 1) {
    const appender = new AppenderProcess('node', builds);
    await appender.hear('ready');
    await appender.ask('opened', 'open', log, pick(roll, SEGMENTS));
    await checked(log, journal);
    const [id, sequence, last] = (await appender.ask('kept', 'keep', join(volume.directory, 'checkpoints')))
      .slice(1)
      .map(Number) as [number, number, number];
    assert.ok(id >= newest[0], `seed ${seed}: checkpoint ${newest[0]} was acknowledged, ${id} is the newest`);
    if (id === newest[0]) assert.equal(sequence, newest[1]);
    assert.ok(sequence >= newest[1]);
    if (id > 0) assert.equal(last, journal.records, 'recovering reads to the end of the log');
    newest = [id, sequence];
    let isFrozen = false;
    const first = new Promise<void>((resolve) => {
      appender.onLine = (words) => {
        journal.take(words);
        if (words[0] !== 'c') return;
        stored += 1;
        if (!isFrozen) newest = [Number(words[1]), Number(words[2])];
        resolve();
      };
    });
    const freeze = journal.freeze.bind(journal);
    journal.freeze = () => {
      isFrozen = true;
      freeze();
    };
    if (cycle < CYCLES.checkpoints) {
      appender.say('append', cycle);
      await first;
      await failUnder(volume, log, journal, [appender]);
    }
  }
  await note(`appends and ${stored} checkpoints`, CYCLES.checkpoints, journal, log, volume);
});

onVolume(`${CYCLES.recording} failures under a recorder`, async (volume) => {
  const log = join(volume.directory, 'log');
  const journal = new Journal();
  const path = `/dev/shm/tailrace-powerfail-${process.pid}`;
  for (let cycle = 0; cycle <= CYCLES.recording; cycle += 1) {
    // The memory is lost with the power: each cycle has a region of its own.
    removeRegion(path);
    using region = Region.create(path);
    region.createChannel('c', { kind: 'stream', recorded: true, capacity: 256 });
    const languages = [0, 1, 2].map((i) => LANGUAGES[(cycle + i) % LANGUAGES.length]!);
    const processes = languages.map((language) => new AppenderProcess(language, builds));
    const [recorder, ...senders] = processes as [AppenderProcess, ...AppenderProcess[]];
    try {
      await Promise.all(processes.map((one) => one.hear('ready')));
      await recorder.ask('recording', 'record', path, log, pick(roll, SEGMENTS));
      await checked(log, journal);
      if (cycle === CYCLES.recording) continue;
      const firsts = senders.map((sender, i) => {
        const first = new Promise<void>((resolve) => {
          sender.onLine = (words) => {
            journal.take(words);
            if (words[0] === 'd') resolve();
          };
        });
        sender.say('send', path, (1 << 16) + cycle * 8 + i);
        return first;
      });
      await Promise.all(firsts);
      await failUnder(volume, log, journal, processes);
    } finally {
      await Promise.all(processes.map((one) => one.kill()));
      removeRegion(path);
    }
  }
  await note('two senders and a recorder', CYCLES.recording, journal, log, volume);
});

const CONTROLS: readonly Kind[] = [
  ...LANGUAGES.map((language) => ({ language })),
  { language: 'rust', words: ['mapped'] },
];

for (const { language, words: how = [] } of CONTROLS) {
  onVolume(`without fsync it is seen that records are lost: ${[language, ...how].join(' ')}`, async (volume) => {
    const injection = noInjection();
    if (injection) return console.log(`skip: the control of power failure: ${injection}`);
    let seen = '';
    let cycle = 0;
    for (; cycle < CONTROL_CYCLES && !seen; cycle += 1) {
      const log = join(volume.directory, `log${cycle}`);
      // What it is given is on disk, so that it is the records that are lost and not the log.
      await Log.open(log, { segmentBytes: SEGMENTS[0]! }).then((made) => made.close());
      const journal = new Journal();
      const appender = new AppenderProcess(language, builds, around('fsync,fdatasync:retval=0'));
      await appender.hear('ready');
      await appender.ask('opened', 'open', log, SEGMENTS[0], ...how);
      const first = new Promise<void>((resolve) => {
        appender.onLine = (words) => {
          journal.take(words);
          if (words[0] === 'd') resolve();
        };
      });
      appender.say('append', cycle);
      await first;
      await failUnder(volume, log, journal, [appender]);
      seen = await damageSeen(log, journal);
    }
    assert.ok(seen, `seed ${seed}: ${CONTROL_CYCLES} failures without fsync and nothing was lost`);
    console.log(
      `note: without fsync, ${[language, ...how].join(' ')}: seen after ${cycle} of ${CONTROL_CYCLES}: ${seen}`,
    );
  });
}

/** What is wrong with a log that was never synced; nothing when it is sound by luck. */
async function damageSeen(log: string, journal: Journal): Promise<string> {
  const acknowledged = journal.acknowledgements;
  try {
    await using _writer = await Log.open(log);
    const findings: Findings = journal.check(log);
    return findings.lost > 0 ? `${findings.lost} of ${acknowledged} acknowledged are lost` : '';
  } catch (error) {
    return (error as Error).message.slice(0, 120);
  }
}

powerfail.run();
