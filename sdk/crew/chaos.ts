/**
 * Chaos: kills a random member of the crew every two seconds, with SIGKILL, wherever it happens to be.
 *
 * The next kill waits until the last victim's successor is at work, so that nobody is killed over and over before it has
 * done anything. It waits for nothing else: what a reader missed while it was dead, it finds in the log.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Crew } from './crew.ts';
import type { Dice } from './dice.ts';
import type { Line } from './report.ts';

const EVERY_MS = 2_000;
const LOOK_MS = 10;

/** Kills until `signal` is aborted. */
export async function chaos<R extends Line>(crew: Crew<R>, dice: Dice, signal: AbortSignal): Promise<void> {
  try {
    while (!signal.aborted) {
      await sleep(EVERY_MS, undefined, { signal });
      while (!crew.isWhole) await sleep(LOOK_MS, undefined, { signal });
      const victim = crew.members[dice.below(crew.members.length)];
      if (victim !== undefined) crew.kill(victim);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
