/**
 * Options: what can be said after `npm start -- pipeline`, checked before anything is started.
 */
import { OptionError } from '../crew/mistakes.ts';
import { bounded, located, parsed } from '../crew/words.ts';

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
  /** Ends when the log of orders has so many; without it, goes on. */
  records: number | undefined;
  /** Where the region's file is made. */
  dir: string;
  /** Where the logs and checkpoints are kept; without it, in a temporary folder that is removed at a proved end. */
  data: string | undefined;
  /** Goes on with the run that lies in `data`. */
  isResumed: boolean;
  /** The log of orders is kept up to this. */
  retainedBytes: number;
}

export const HELP = `npm start -- pipeline [options]

A market-data pipeline of separate processes over one shared-memory region. A Node gateway writes order flow
to the stream "orders"; a Node view of the book and a Python analytics process read it; their results go
through the stream "signals" to a group of two, a Rust sink and this process. A recorder keeps both streams in
logs, which are read back at the end and held against everything that was promised.

  --input FILE.csv   order flow in LOBSTER's message format (default: generated)
  --rate N           records per second (default 200000)
  --for SECONDS      end after so long (default: run until Ctrl-C)
  --chaos            kill a random process every 2 seconds, restart it, and prove at the end that nothing went missing
  --seed N           seed of the generated flow and of the chaos (default 1)
  --records N        end when the log of orders has so many
  --data DIR         keep the logs and checkpoints there (default: a temporary folder, removed at a proved end)
  --resume           go on with the run that lies in --data, and end as if it had never been stopped
  --retain MB        keep the last so many megabytes of the log of orders (default 1024)
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
  const words = {
    input: { type: 'string' },
    rate: { type: 'string', default: '200000' },
    for: { type: 'string' },
    json: { type: 'boolean', default: false },
    chaos: { type: 'boolean', default: false },
    seed: { type: 'string' },
    records: { type: 'string' },
    data: { type: 'string' },
    resume: { type: 'boolean', default: false },
    retain: { type: 'string', default: '1024' },
    dir: { type: 'string', default: '/dev/shm' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  const values = parsed(args, words, 'npm start -- pipeline');
  if (values.help) return undefined;
  if (values.resume && values.data === undefined) {
    throw new OptionError('--resume needs --data, the folder in which the run lies');
  }
  for (const name of ['input', 'seed', 'records'] as const) {
    if (values.resume && values[name] !== undefined) {
      throw new OptionError(`--${name} is what the resumed run began with; leave it out`);
    }
  }
  return {
    input: located(values.input),
    rate: bounded('--rate', values.rate, 1, 10_000_000),
    seconds: values.for === undefined ? undefined : bounded('--for', values.for, 0.1, 1_000_000),
    isJson: values.json,
    isChaos: values.chaos,
    seed: Math.floor(bounded('--seed', values.seed ?? '1', 0, 2 ** 32 - 1)),
    records: values.records === undefined ? undefined : Math.floor(bounded('--records', values.records, 1, 2 ** 48)),
    dir: values.dir,
    data: located(values.data),
    isResumed: values.resume,
    retainedBytes: bounded('--retain', values.retain, 128, 2 ** 30) * 2 ** 20,
  };
}
