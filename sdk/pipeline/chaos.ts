/**
 * Chaos: kills a random member of the crew every two seconds, with SIGKILL, wherever it happens to be.
 *
 * The next kill waits until the last victim's successor is at work and each reader has passed the point at which the
 * other one joined. Killed earlier, both readers could be gone at once, and then nobody has promised to see what is
 * written meanwhile: that would prove nothing about the ring.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Crew } from './crew.ts';
import type { Dice } from './dice.ts';

const EVERY_MS = 2_000;
const LOOK_MS = 10;

/** Kills until `signal` is aborted. `isSafe` says whether any one of the crew may go. */
export async function chaos(crew: Crew, dice: Dice, isSafe: () => boolean, signal: AbortSignal): Promise<void> {
  try {
    while (!signal.aborted) {
      await sleep(EVERY_MS, undefined, { signal });
      while (!(crew.isWhole && isSafe())) await sleep(LOOK_MS, undefined, { signal });
      const victim = crew.members[dice.below(crew.members.length)];
      if (victim !== undefined) crew.kill(victim);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
