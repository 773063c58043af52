/** Arguments: defaults, every option, and a sentence for each mistake. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HELP, OptionError, parseOptions } from '../../sdk/pipeline/options.ts';

const test = suite('pipeline options');

test('defaults', () => {
  assert.equal(parseOptions([]), {
    input: undefined,
    rate: 200_000,
    seconds: undefined,
    isJson: false,
    isChaos: false,
    seed: 1,
    dir: '/dev/shm',
  });
});

test('all of them', () => {
  const all = '--input a.csv --rate 5e4 --for 2.5 --json --chaos --seed 9 --dir /tmp';
  assert.equal(parseOptions(all.split(' ')), {
    input: 'a.csv',
    rate: 50_000,
    seconds: 2.5,
    isJson: true,
    isChaos: true,
    seed: 9,
    dir: '/tmp',
  });
});

test('help names every option', () => {
  assert.is(parseOptions(['--help']), undefined);
  for (const name of ['input', 'rate', 'for', 'json', 'chaos', 'seed', 'dir', 'help']) assert.match(HELP, `--${name}`);
});

const WRONG: [args: string[], says: RegExp][] = [
  [['--rate', 'fast'], /--rate is "fast"; a number from 1 to/],
  [['--rate', '0'], /--rate/],
  [['--rate='], /--rate/],
  [['--for', '0'], /--for/],
  [['--for', 'NaN'], /--for/],
  [['--seed', '-1'], /--seed|ambiguous/],
  [['--colour'], /--colour/],
  [['file.csv'], /file\.csv/],
  [['--input'], /--input/],
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
