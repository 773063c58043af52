/**
 * Groups: what is sampled, in which turns. Samples are kept under names such as `one-way 64 x32 rtrb`.
 *
 * All subjects of a group take their turn before the first has its second, so that whatever the machine does, it does to
 * all of them; subjects that are judged against each other take more turns.
 */
import { rmSync } from 'node:fs';
import { book } from './books.ts';
import { exchange } from './exchanges.ts';
import { kernels } from './kernels.ts';
import { log } from './logs.ts';
import { type Bench, inTurns, keep, type Take } from './turns.ts';
import { wasm } from './wasm.ts';
import { at, say, type Workshop } from './workshop.ts';

const RINGS = ['queue', 'exclusive', 'stream', 'exclusive-stream'];
const TAKES = ['queue-take', 'exclusive-take'];
const RIVALS = ['rtrb', 'rtrb-chunks', 'array-queue', 'iceoryx2', 'ringfire'];

function rings(bench: Bench, shape: string, subjects: string[], bytes: number, batch: number): Map<string, Take> {
  const { workshop, sampler } = bench;
  const takes = new Map<string, Take>();
  for (const subject of subjects.filter((name) => !workshop.missing.has(name))) {
    const isSlow = subject === 'iceoryx2' || (subject === 'ringfire' && batch === 1);
    const count = shape === 'round-trip' ? 60_000 : isSlow ? 200_000 : bytes > 64 ? 400_000 : 1_200_000;
    const words = [workshop.binary, shape, subject, '--bytes', `${bytes}`, '--count', `${count}`];
    if (shape === 'one-way') words.push('--batch', `${batch}`);
    const name = shape === 'one-way' ? `${shape} ${bytes} x${batch} ${subject}` : `${shape} ${bytes} ${subject}`;
    takes.set(name, () => sampler.run(words));
  }
  return takes;
}

async function roundTrips(bench: Bench): Promise<void> {
  await inTurns(bench, 7 * bench.effort, rings(bench, 'round-trip', ['queue'], 64, 1));
  const others = [...RINGS.slice(1), ...RIVALS.filter((rival) => rival !== 'rtrb-chunks')];
  await inTurns(bench, 2 * bench.effort, rings(bench, 'round-trip', others, 64, 1));
  await inTurns(bench, bench.effort, rings(bench, 'round-trip', [...RINGS, ...RIVALS], 1_024, 1));
}

async function oneWays(bench: Bench): Promise<void> {
  // Rivals without batches push one message at a time: each made and pushed (x1), or 32 made and then pushed (x32).
  const judged = new Map([
    ...rings(bench, 'one-way', ['queue', 'exclusive-stream', 'rtrb', 'array-queue'], 64, 32),
    ...rings(bench, 'one-way', ['rtrb', 'array-queue'], 64, 1),
  ]);
  await inTurns(bench, 5 * bench.effort, judged);
  await inTurns(bench, 5 * bench.effort, rings(bench, 'one-way', ['rtrb', ...RINGS, ...TAKES], 1_024, 32));
  const others = ['rtrb-chunks', 'iceoryx2', 'ringfire', 'exclusive', 'stream', ...TAKES];
  await inTurns(bench, 2 * bench.effort, rings(bench, 'one-way', others, 64, 32));
  await inTurns(bench, bench.effort, rings(bench, 'one-way', RIVALS.slice(1), 1_024, 32));
  await inTurns(bench, bench.effort, rings(bench, 'one-way', [...RINGS, 'iceoryx2', 'ringfire'], 64, 1));
}

/** How many messages a pair of languages gets: about half a second's worth. */
function worth(language: string, batch: number): number {
  if (batch > 1) return language === 'node' ? 512_000 : 1_024_000;
  return language === 'node' ? 128_000 : 64_000;
}

function side(workshop: Workshop, language: string, role: string, path: string, numbers: number[]): string[] {
  const words = [role, path, ...numbers].map(String);
  if (language === 'node') return workshop.node('node/side.ts', ...words);
  if (language === 'zeromq') return workshop.node('rivals/zeromq.js', ...words);
  return [workshop.python, at('python/side.py'), ...words];
}

async function languages(bench: Bench): Promise<void> {
  const { workshop, sampler } = bench;
  const takes = new Map<string, Take>();
  const pair = (writer: string, reader: string, roles: [string, string], numbers: number[]) => () =>
    sampler.runBoth((path) => [
      side(workshop, reader, roles[0], path, numbers),
      side(workshop, writer, roles[1], path, numbers),
    ]);
  const languages = ['node', 'python'];
  for (const writer of languages) {
    for (const reader of languages) {
      const name = `${writer}-${reader}`;
      const slower = writer === 'node' || reader === 'node' ? 'node' : 'python';
      for (const [bytes, batch] of [
        [64, 256],
        [64, 32],
        [64, 1],
        [1_024, 32],
      ] as const) {
        const count = worth(slower, batch) / (bytes > 64 ? 4 : 1);
        takes.set(`one-way ${bytes} x${batch} ${name}`, pair(writer, reader, ['read', 'write'], [bytes, batch, count]));
      }
      for (const bytes of [64, 1_024]) {
        takes.set(`round-trip ${bytes} ${name}`, pair(writer, reader, ['pong', 'ping'], [bytes, 1, 10_000]));
      }
    }
  }
  for (const bytes of [64, 1_024]) {
    if (!workshop.missing.has('zeromq')) {
      takes.set(`one-way ${bytes} zeromq`, pair('zeromq', 'zeromq', ['read', 'write'], [bytes, 1, 64_000]));
      takes.set(`round-trip ${bytes} zeromq`, pair('zeromq', 'zeromq', ['pong', 'ping'], [bytes, 1, 4_000]));
    }
    for (const [shape, count] of [
      ['one-way', 40_000],
      ['round-trip', 4_000],
    ] as const) {
      const queue = [workshop.python, at('rivals/queue_side.py'), shape, `${bytes}`, `${count}`];
      takes.set(`${shape} ${bytes} multiprocessing.Queue`, () => sampler.run(queue));
      const post = workshop.node('rivals/post_message.ts', shape, bytes, 32, count);
      takes.set(`${shape} ${bytes} postMessage`, () => sampler.run(post));
    }
  }
  const judged = ['one-way 64 x256 node-node', 'one-way 64 x256 python-python', 'one-way 64 zeromq'];
  const more = new Map(
    [...takes].filter(([name]) => judged.includes(name) || name.endsWith('64 multiprocessing.Queue')),
  );
  await inTurns(bench, bench.effort, takes);
  await inTurns(bench, 2 * bench.effort, more);
}

async function calls(bench: Bench): Promise<void> {
  const { workshop, sampler } = bench;
  const programs = { node: workshop.node('node/calls.ts', 1_000) };
  const python = [workshop.python, at('python/calls.py'), '300', workshop.probe];
  for (let turn = 0; turn < 3 * bench.effort; turn += 1) {
    for (const [language, program] of Object.entries({ ...programs, python })) {
      const [first, ...rest] = await sampler.run(program);
      const around = (await sampler.bracketed(async () => [first!])).around!;
      for (const sample of [first!, ...rest]) keep(bench, `call ${language} ${sample.subject}`, { ...sample, around });
    }
  }
}

async function wakes(bench: Bench): Promise<void> {
  const { workshop, sampler } = bench;
  const count = 250;
  await inTurns(
    bench,
    3 * bench.effort,
    new Map<string, Take>([
      ['wake futex', () => sampler.run([workshop.binary, 'futex', '--count', `${count}`])],
      ['wake rust', () => sampler.run([workshop.binary, 'wake', '--count', `${count}`])],
      ['wake bare event loop', () => sampler.run(workshop.node('node/sleeping.ts', 'bare', workshop.binary, count))],
      ['wake node', () => sampler.run(workshop.node('node/sleeping.ts', 'wake', workshop.binary, count))],
    ]),
  );
}

async function idles(bench: Bench): Promise<void> {
  const { workshop, sampler } = bench;
  const seconds = 4 * bench.effort;
  for (const [name, command] of [
    ['idle rust', [workshop.binary, 'idle', '--seconds', `${seconds}`]],
    ['idle node', workshop.node('node/sleeping.ts', 'idle', seconds)],
  ] as const) {
    for (const sample of await sampler.run([...command])) keep(bench, name, sample);
  }
}

async function repairs(bench: Bench): Promise<void> {
  const { workshop, sampler } = bench;
  const trials = `${40 * bench.effort}`;
  for (const held of ['hole', 'taken', 'taken-busy']) {
    for (const sample of await sampler.run([workshop.binary, 'repair', held, '--trials', trials])) {
      keep(bench, `repair ${held}`, sample);
    }
  }
  const victims = { node: workshop.node('node/victim.ts'), python: [workshop.python, at('python/victim.py')] };
  for (const [language, program] of Object.entries(victims)) {
    const words = [workshop.binary, 'burial', language, '--trials', `${10 * bench.effort}`, '--', ...program];
    for (const sample of await sampler.run(words)) keep(bench, `burial ${language}`, sample);
  }
}

/** The groups, by the names that `--only` takes. */
export const GROUPS: Record<string, (bench: Bench) => Promise<void>> = {
  'round-trip': roundTrips,
  'one-way': oneWays,
  calls,
  wake: wakes,
  idle: idles,
  repair: repairs,
  languages,
  log,
  book,
  exchange,
  kernels,
  wasm,
};

/** Runs the groups whose name contains `only`. */
export async function measure(bench: Bench, only: string): Promise<void> {
  for (const [name, group] of Object.entries(GROUPS)) {
    if (!name.includes(only)) continue;
    const start = Date.now();
    try {
      await group(bench);
    } catch (error) {
      bench.workshop.missing.set(name, (error as Error).message);
    }
    say(`${name} took ${Math.round((Date.now() - start) / 1_000)} s`);
  }
  rmSync(`/dev/shm/bench-sides-${process.pid}`, { force: true });
}
