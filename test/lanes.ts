/**
 * Lanes: who runs beside whom, and in which order the results are told.
 */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inLanes } from '../scripts/lanes.mjs';
import type { Suite } from '../scripts/suites.mjs';
import { below, dice } from './dice.ts';

const lanes = suite('lanes');

function named(name: string, more: Partial<Suite> = {}): Suite {
  return { name, runner: 'check', command: [], ...more };
}

/** A run in which each suite takes as many turns as `turnsOf` says. */
async function played(suites: Suite[], turnsOf: (suite: Suite) => number, count = 2) {
  const running = new Set<Suite>();
  const together: Suite[][] = [];
  const told: string[] = [];
  const play = async (suite: Suite) => {
    running.add(suite);
    together.push([...running]);
    for (let turn = turnsOf(suite); turn > 0; turn -= 1) await new Promise(setImmediate);
    running.delete(suite);
    return `result of ${suite.name}`;
  };
  const tell = (suite: Suite, result: string) => told.push(`${suite.name}: ${result}`);
  await inLanes(suites, play, tell, count);
  return { together, told };
}

lanes('results are told in the order of the suites, whatever ends first', async () => {
  const suites = ['slow', 'quick', 'last'].map((name) => named(name));
  const { told } = await played(suites, ({ name }) => (name === 'slow' ? 50 : 1));
  assert.equal(
    told,
    ['slow', 'quick', 'last'].map((name) => `${name}: result of ${name}`),
  );
});

lanes(
  'every suite runs once, never too many, never two that compile, and nobody beside one that is alone',
  async () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const roll = dice(seed);
      const suites = Array.from({ length: below(roll, 12) }, (_, index) =>
        named(`${index}`, {
          ...(roll() < 0.4 && { is_compiling: true }),
          ...(roll() < 0.2 && { alone: 'for the test' }),
        }),
      );
      const turns = new Map(suites.map((suite) => [suite, below(roll, 5)]));
      const count = 1 + below(roll, 3);
      const { together, told } = await played(suites, (suite) => turns.get(suite)!, count);
      assert.is(told.length, suites.length);
      assert.is(together.length, suites.length, 'each began once');
      for (const running of together) {
        assert.ok(running.length <= count);
        assert.ok(running.filter((suite) => suite.is_compiling).length <= 1);
        assert.ok(running.length === 1 || running.every((suite) => suite.alone === undefined));
      }
    }
  },
);

lanes('two lanes are used when there is something for both', async () => {
  const suites = [named('a', { is_compiling: true }), named('b', { is_compiling: true }), named('c'), named('d')];
  const { together } = await played(suites, () => 10);
  assert.ok(together.slice(1).every((running) => running.length === 2));
});

lanes('what has ended is told before the process is ended', () => {
  const program = `
    import { inLanes } from ${JSON.stringify(import.meta.resolve('../scripts/lanes.mjs'))};
    const play = async ({ name }) => {
      if (name === 'endless') await new Promise((resolve) => setTimeout(resolve, 60_000));
      if (name === 'third') setTimeout(() => process.exit(130), 20);
      return name;
    };
    const suites = ['endless', 'second', 'third'].map((name) => ({ name }));
    inLanes(suites, play, (suite, result) => console.log(result), 2);`;
  const words = ['--input-type=module', '--eval', program];
  const { stdout, status } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 60_000 });
  assert.is(status, 130);
  assert.is(stdout, 'second\nthird\n');
});

lanes.run();
