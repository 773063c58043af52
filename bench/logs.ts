/**
 * Logs: what the disk lets through. Every sample has a directory of its own on the disk of this checkout, or on that of
 * TAILRACE_BENCH_DISK, and its floor in it: a write and an fdatasync between two puts, a plain loop between two turns.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import type { Sample } from './sampling.ts';
import { type Bench, keep, type Take } from './turns.ts';
import { at, redis } from './workshop.ts';

const PATIENCE_MS = 120_000;
const STORES = ['log', 'recorder', 'sqlite', 'lmdb', 'redis'];
const BATCH = 256;

/** A new directory on the disk that is measured. */
export function disk(): string {
  const parent = process.env.TAILRACE_BENCH_DISK ?? at('target');
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(`${parent}/disk-`);
}

/** Takes every named sample once, and again for as many turns as there are; without a probe of the cache line. */
async function inTurns(bench: Bench, turns: number, takes: Map<string, Take>): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    for (const [name, take] of takes) {
      try {
        keep(bench, name, await bench.sampler.steady(take));
      } catch (error) {
        bench.workshop.missing.set(name, (error as Error).message);
        takes.delete(name);
      }
    }
  }
}

/** One measurement in a directory that is removed after it. */
function once({ workshop, sampler }: Bench, words: string[], options: string[] = []): Take {
  return async () => {
    const directory = disk();
    try {
      return await sampler.run([workshop.binary, 'log', ...words, directory, ...options], PATIENCE_MS);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
}

async function puts(bench: Bench): Promise<void> {
  const server = redis(bench.workshop);
  const takes = new Map<string, Take>();
  for (const store of STORES.filter((name) => !bench.workshop.missing.has(name))) {
    const more = server === undefined ? [] : ['--redis', server];
    takes.set(`durable 256 x1 ${store}`, once(bench, ['puts', store], ['--count', '300', ...more]));
    const batch = ['--count', '100', '--batch', `${BATCH}`, ...more];
    takes.set(`durable 256 x${BATCH} ${store}`, once(bench, ['puts', store], batch));
  }
  await inTurns(bench, 1 + bench.effort, takes);
}

async function stored(bench: Bench): Promise<void> {
  const { workshop, sampler } = bench;
  const directory = disk();
  try {
    await sampler.run([workshop.binary, 'log', 'make', directory], PATIENCE_MS);
    const take = (...words: string[]): Promise<Sample[]> =>
      sampler.run([workshop.binary, 'log', words[0]!, directory, ...words.slice(1)], PATIENCE_MS);
    await inTurns(
      bench,
      1 + bench.effort,
      new Map<string, Take>([
        ['replay 256', () => take('replay')],
        ['recovery, 1 GB, warm', () => take('recover')],
        ['recovery, 1 GB, cold', () => take('recover', '--cold')],
      ]),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Everything that is promised of logs. */
export async function log(bench: Bench): Promise<void> {
  await puts(bench);
  await inTurns(
    bench,
    1 + bench.effort,
    new Map<string, Take>([
      ['writers 8 x 256', once(bench, ['writers'])],
      ['recorder 64, prepared', once(bench, ['keep-up'])],
      ['recorder 64, sustained', once(bench, ['keep-up'], ['--spares', '1'])],
      ['recorder 64, disk stalls', once(bench, ['stall'])],
    ]),
  );
  await stored(bench);
}
