/**
 * Options: what can be said after `npm start --`, checked before anything is started.
 */
import { OptionError } from '../../crew/mistakes.ts';
import { bounded, located, parsed } from '../../crew/words.ts';

const LEVELS = ['memory', 'written', 'wal'] as const;

/** What the run is to be. */
export interface Options {
  /** A LOBSTER message file; without it, order flow is generated. */
  input: string | undefined;
  /** Orders per second. */
  rate: number;
  /** Sessions of order entry, an account each. */
  accounts: number;
  acknowledge: (typeof LEVELS)[number];
  /** Ends after so many seconds; without it, at Ctrl-C. */
  seconds: number | undefined;
  isJson: boolean;
  isChaos: boolean;
  seed: number;
  /** Where the region's file is made. */
  dir: string;
  /** Where the logs and snapshots are kept; without it, in a temporary folder that is removed at a proved end. */
  data: string | undefined;
  /** Goes on with the exchange that lies in `data`. */
  isResumed: boolean;
  /** A kernel in AssemblyScript for the analytics. */
  kernel: string | undefined;
}

export const HELP = `npm start -- [options]

A whole exchange in separate processes. Order flow goes over TCP to a gateway (Rust), through shared memory to
a matcher (Rust) that journals each command before it matches it, and out again: reports to the clients, market
data to a view of the book (Node), analytics (Python) and, over UDP, a client of the feed (Node). A shadow (Rust)
replays the journal for snapshots. At the end the journal is replayed, and everything that anybody was told is
held against it.

  --input FILE.csv   order flow in LOBSTER's message format (default: generated)
  --rate N           orders per second (default 20000)
  --accounts N       sessions of order entry, an account each, 2 to 100 (default 4)
  --acknowledge WHEN what must have happened before a client hears of it: memory, written to the journal's file
                     (default), or wal: on disk
  --for SECONDS      end after so long (default: run until Ctrl-C)
  --chaos            kill a random process every 2 seconds, restart it, and prove at the end that nothing was lost
  --seed N           seed of the generated flow and of the chaos (default 1)
  --data DIR         keep logs and snapshots there (default: a temporary folder, removed at a proved end)
  --resume           go on with the exchange that lies in --data
  --kernel FILE.ts   a kernel in AssemblyScript that the analytics run over executions
  --dir DIR          where the shared memory is made (default /dev/shm)
  --json             print one line of JSON at the end instead of the table
  --help             print this

npm start -- --backend wasm [options]     the pipeline in one process, on the WebAssembly core; see --help there
npm start -- pipeline [options]           the market-data pipeline over queues, groups and checkpoints; see --help there
`;

/**
 * Reads the arguments; `undefined` when help is asked for.
 *
 * @throws OptionError when one is wrong.
 */
export function parseOptions(args: readonly string[]): Options | undefined {
  const values = parsed(args, {
    input: { type: 'string' },
    rate: { type: 'string', default: '20000' },
    accounts: { type: 'string', default: '4' },
    acknowledge: { type: 'string', default: 'written' },
    for: { type: 'string' },
    json: { type: 'boolean', default: false },
    chaos: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    data: { type: 'string' },
    resume: { type: 'boolean', default: false },
    kernel: { type: 'string' },
    dir: { type: 'string', default: '/dev/shm' },
    help: { type: 'boolean', short: 'h', default: false },
  });
  if (values.help) return undefined;
  if (values.resume && values.data === undefined) {
    throw new OptionError('--resume needs --data, the folder in which the exchange lies');
  }
  const acknowledge = LEVELS.find((level) => level === values.acknowledge);
  if (acknowledge === undefined) {
    throw new OptionError(`--acknowledge is "${values.acknowledge}"; give ${LEVELS.join(', ')}`);
  }
  return {
    input: located(values.input),
    rate: bounded('--rate', values.rate, 1, 1_000_000),
    accounts: Math.floor(bounded('--accounts', values.accounts, 2, 100)),
    acknowledge,
    seconds: values.for === undefined ? undefined : bounded('--for', values.for, 0.1, 1_000_000),
    isJson: values.json,
    isChaos: values.chaos,
    seed: Math.floor(bounded('--seed', values.seed, 0, 2 ** 32 - 1)),
    dir: values.dir,
    data: located(values.data),
    isResumed: values.resume,
    kernel: located(values.kernel),
  };
}
