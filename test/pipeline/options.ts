/** Arguments: defaults, every option, and a sentence for each mistake. */
import { resolve } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { OptionError } from '../../sdk/crew/mistakes.ts';
import { HELP, parseOptions } from '../../sdk/pipeline/options.ts';

const test = suite('pipeline options');

test('defaults', () => {
  assert.equal(parseOptions([]), {
    input: undefined,
    rate: 200_000,
    seconds: undefined,
    isJson: false,
    isChaos: false,
    seed: 1,
    records: undefined,
    dir: '/dev/shm',
    data: undefined,
    isResumed: false,
    retainedBytes: 2 ** 30,
  });
});

test('all of them', () => {
  const all =
    '--input a.csv --rate 5e4 --for 2.5 --json --chaos --seed 9 --dir /tmp --data /tmp/run --records 1e6 --retain 256';
  assert.equal(parseOptions(all.split(' ')), {
    input: resolve('a.csv'),
    rate: 50_000,
    seconds: 2.5,
    isJson: true,
    isChaos: true,
    seed: 9,
    records: 1_000_000,
    dir: '/tmp',
    data: '/tmp/run',
    isResumed: false,
    retainedBytes: 2 ** 28,
  });
});

test('help names every option', () => {
  assert.is(parseOptions(['--help']), undefined);
  const names = ['input', 'rate', 'for', 'json', 'chaos', 'seed', 'records', 'data', 'resume', 'retain', 'dir', 'help'];
  for (const name of names) assert.match(HELP, `--${name}`);
});

const WRONG: [args: string[], says: RegExp][] = [
  [['--rate', 'fast'], /--rate is "fast"; give a number from 1 to/],
  [['--rate', '0'], /--rate/],
  [['--rate='], /--rate/],
  [['--for', '0'], /--for/],
  [['--for', 'NaN'], /--for/],
  [['--seed', '-1'], /--seed|ambiguous/],
  [['--colour'], /--colour/],
  [['file.csv'], /file\.csv/],
  [['--input'], /--input/],
  [['--records', '0'], /--records/],
  [['--retain', '1'], /--retain/],
  [['--resume'], /--resume needs --data/],
  [['--resume', '--data', '/tmp/run', '--seed', '2'], /--seed is what the resumed run began with/],
  [['--resume', '--data', '/tmp/run', '--records', '2'], /--records is what/],
];

for (const [args, says] of WRONG) {
  test(`wrong: ${args.join(' ')}`, () => {
    assert.throws(
      () => parseOptions(args),
      (error: unknown) => error instanceof OptionError && error.code === 'ERR_OPTION' && says.test(error.message),
    );
  });
}

test.run();
