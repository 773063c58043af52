/**
 * Options: what can be said after `npm start --`, checked before anything is started.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** What the run is to be. */
export interface Options {
  /** A LOBSTER message file; without it, order flow is generated. */
  input: string | undefined;
  /** Records per second. */
  rate: number;
  /** Ends after so many seconds; without it, at Ctrl-C. */
  seconds: number | undefined;
  isJson: boolean;
  isChaos: boolean;
  seed: number;
  /** Where the region's file is made. */
  dir: string;
}

/** A wrong option, said in one sentence. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
  readonly code = 'ERR_OPTION';
}

export const HELP = `npm start -- [options]

A market-data pipeline of separate processes over one shared-memory region. A Node gateway writes order flow
to the stream "orders"; a Node view of the book and a Python analytics process read it; their results go
through the queue "signals" to a Rust sink and to this process.

  --input FILE.csv   order flow in LOBSTER's message format (default: generated)
  --rate N           records per second (default 200000)
  --for SECONDS      end after so long (default: run until Ctrl-C)
  --chaos            kill a random process every 2 seconds, restart it, and prove at the end that nothing went missing
  --seed N           seed of the generated flow and of the chaos (default 1)
  --dir DIR          where the shared memory is made (default /dev/shm)
  --json             print one line of JSON at the end instead of the table
  --help             print this
`;

/**
 * Reads the arguments; `undefined` when help is asked for.
 *
 * @throws OptionError when one is wrong.
 */
export function parseOptions(args: readonly string[]): Options | undefined {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(args);
  } catch (cause) {
    throw new OptionError(`${(cause as Error).message.split('. ')[0]}. See npm start -- --help`, { cause });
  }
  if (values.help) return undefined;
  return {
    input: values.input === undefined ? undefined : located(values.input),
    rate: number('--rate', values.rate, 1, 10_000_000),
    seconds: values.for === undefined ? undefined : number('--for', values.for, 0.1, 1_000_000),
    isJson: values.json,
    isChaos: values.chaos,
    seed: Math.floor(number('--seed', values.seed, 0, 2 ** 32 - 1)),
    dir: values.dir,
  };
}

/** npm runs scripts in the package's folder; people mean the one they are in. */
function located(path: string): string {
  const typed = process.env.INIT_CWD ?? process.cwd();
  return typed === process.cwd() ? path : resolve(typed, path);
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      input: { type: 'string' },
      rate: { type: 'string', default: '200000' },
      for: { type: 'string' },
      json: { type: 'boolean', default: false },
      chaos: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      dir: { type: 'string', default: '/dev/shm' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values;
}

function number(name: string, text: string, lowest: number, highest: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= lowest && value <= highest) return value;
  throw new OptionError(`${name} is ${JSON.stringify(text)}; a number from ${lowest} to ${highest} is expected`);
}
