/**
 * Exchanges: from an order to what follows from it, in an open loop, each way in turns with the same way without an
 * engine; both are in one sample, and a floor is on both sides of it.
 */
import { rmSync } from 'node:fs';
import { disk } from './logs.ts';
import { type Bench, inTurns, type Take } from './turns.ts';

const PATIENCE_MS = 90_000;

/** One measurement in a directory that is removed after it. */
function once({ workshop, sampler }: Bench, words: string[], options: string[] = []): Take {
  return async () => {
    const directory = disk();
    try {
      return await sampler.run([workshop.binary, 'exchange', ...words, directory, ...options], PATIENCE_MS);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
}

/** Everything that is promised of the exchange. */
export async function exchange(bench: Bench): Promise<void> {
  const slices = ['--slices', bench.effort > 1 ? '10' : '5'];
  const takes = new Map<string, Take>();
  for (const level of ['memory', 'written', 'wal']) takes.set(`ring ${level}`, once(bench, ['ring', level], slices));
  for (const rate of [100, 250, 500]) {
    takes.set(`sockets ${rate} k/s`, once(bench, ['sockets'], ['--rate', `${rate}000`, ...slices]));
  }
  takes.set('late', once(bench, ['late'], ['--snapshots', bench.effort > 1 ? '16' : '6']));
  await inTurns(bench, bench.effort > 1 ? 2 : 1, takes);
}
