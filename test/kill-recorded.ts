/**
 * The kill matrix of recorded channels: {every step of recorders and groups} × {SIGKILL, SIGSTOP 2 s then SIGCONT}.
 *
 * `TAILRACE_KILL_ONLY=recorder.appended` plays one step.
 */
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { build } from './drivers/drive.ts';
import { RECORDED_JOBS } from './kill/recorded-steps.ts';
import { playRecorded } from './kill/recorded-trial.ts';
import type { Fate } from './kill/trial.ts';

/** Trials at a time; who is stopped needs no processor. */
const AT_ONCE: Record<Fate, number> = { kill: 5, pause: 12 };

const only = process.env['TAILRACE_KILL_ONLY'];
const jobs = RECORDED_JOBS.filter((job) => only === undefined || job.step === only);
const matrix = suite('kill matrix of recorded channels');
const builds = build(true);

for (const fate of ['kill', 'pause'] as Fate[]) {
  matrix(`${fate === 'kill' ? 'killed' : 'stopped for 2 s'} at each of ${jobs.length} steps`, async () => {
    const stalls: number[] = [];
    const broken: string[] = [];
    const queue = [...jobs];
    const work = async () => {
      for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
        const where = `${job.step}${job.hasPredecessor ? ', after another' : ''}`;
        try {
          stalls.push(await playRecorded(job, fate, builds));
        } catch (error) {
          broken.push(`${where}: ${error instanceof Error ? error.message : error}`);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE[fate] }, work));
    assert.deepEqual(broken, []);
    const sorted = stalls.sort((one, other) => one - other);
    const [middle, most] = [sorted[sorted.length >> 1] ?? 0, sorted.at(-1) ?? 0];
    const what = fate === 'kill' ? 'killed' : 'stopped';
    console.log(
      `note: ${jobs.length} recorders and members ${what}: others done after p50 ${middle.toFixed(0)} ms, ` +
        `max ${most.toFixed(0)} ms`,
    );
  });
}

matrix.run();
