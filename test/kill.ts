/**
 * The kill matrix: {every step} × {Rust, Node, Python} × {SIGKILL, SIGSTOP 2 s then SIGCONT}, then kills at random.
 *
 * `TAILRACE_KILL_ONLY=take.read` plays one step; `TAILRACE_KILL_SEED` repeats a storm.
 */
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { build, type Language } from './drivers/drive.ts';
import { JOBS } from './kill/steps.ts';
import { storm } from './kill/storm.ts';
import { type Fate, type Outcome, play } from './kill/trial.ts';

const LANGUAGES: Language[] = (process.env['TAILRACE_KILL_LANGUAGES'] ?? 'rust,node,python').split(',') as Language[];
/** Trials at a time; who is stopped needs no processor. */
const AT_ONCE: Record<Fate, number> = { kill: 5, pause: 12 };
const STORM_KILLS = 520;

const only = process.env['TAILRACE_KILL_ONLY'];
const jobs = JOBS.filter((job) => only === undefined || job.step === only);
const matrix = suite('kill matrix');
const paused = build(true);

function print(what: string, values: number[]): void {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1);
  console.log(`  ${what}: p50 ${at(0.5)} ms, max ${at(1)} ms (${sorted.length})`);
}

for (const language of LANGUAGES) {
  for (const fate of ['kill', 'pause'] as Fate[]) {
    matrix(
      `${language} is ${fate === 'kill' ? 'killed' : 'stopped for 2 s'} at each of ${jobs.length} steps`,
      async () => {
        const outcomes: Outcome[] = [];
        const broken: string[] = [];
        const queue = [...jobs];
        const work = async () => {
          for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
            try {
              outcomes.push(await play(job, language, fate, paused));
            } catch (error) {
              broken.push(`${job.step} on a ${job.channel}: ${error instanceof Error ? error.message : error}`);
            }
          }
        };
        await Promise.all(Array.from({ length: AT_ONCE[fate] }, work));
        if (fate === 'kill')
          print(
            `${language}: stall of the others after a kill`,
            outcomes.map((outcome) => outcome.stallMs),
          );
        if (fate === 'kill')
          print(
            `${language}: from the kill until its end was seen`,
            outcomes.map((outcome) => outcome.buriedMs),
          );
        assert.deepEqual(broken, []);
        assert.equal(outcomes.length, jobs.length);
      },
    );
  }
}

if (only === undefined) {
  matrix(`${STORM_KILLS} random kills under load`, async () => {
    const seed = Number(process.env['TAILRACE_KILL_SEED'] ?? Date.now() % 1e9);
    const result = await storm(STORM_KILLS, seed, build(false));
    console.log(`  seed ${seed}: ${JSON.stringify(result)}`);
    const { lost, torn, duplicates, participantsLeft } = result;
    assert.deepEqual({ lost, torn, duplicates }, { lost: 0, torn: 0, duplicates: 0 }, `seed ${seed}`);
    assert.ok(result.written > STORM_KILLS, `seed ${seed}: something was written between kills`);
    assert.equal(participantsLeft, 2, `seed ${seed}: entries of the dead are left`);
  });
}

matrix.run();
