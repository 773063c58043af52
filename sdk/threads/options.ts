/**
 * Options: what can be said after `npm start -- --backend wasm`, checked before anything is started.
 */
import { OptionError } from '../crew/mistakes.ts';
import { bounded, located, parsed } from '../crew/words.ts';

/** What the run is to be. */
export interface Options {
  backend: 'wasm' | 'native';
  input: string | undefined;
  /** Commands per second. */
  rate: number;
  /** Ends after so many seconds; without it, at Ctrl-C. */
  seconds: number | undefined;
  isJson: boolean;
  seed: number;
  /** A kernel in AssemblyScript for the analytics. */
  kernel: string | undefined;
}

export const HELP = `npm start -- --backend wasm [options]

The pipeline in one process: four worker threads over a region in a WebAssembly memory that they share. Order
flow goes through the queue "orders" to a matcher, whose book is WebAssembly too; what it says goes through the
stream "market" to a view of the book and to analytics. At the end the same flow is matched once more, and the
books must be the same.

  --backend NAME     wasm, or native: the same threads over the native library
  --input FILE.csv   order flow in LOBSTER's message format (default: generated)
  --rate N           commands per second (default 20000)
  --for SECONDS      end after so long (default: run until Ctrl-C)
  --seed N           seed of the generated flow (default 1)
  --kernel FILE.ts   a kernel in AssemblyScript that the analytics run over executions
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
    backend: { type: 'string', default: 'wasm' },
    input: { type: 'string' },
    rate: { type: 'string', default: '20000' },
    for: { type: 'string' },
    json: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    kernel: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  const values = parsed(args, words, 'npm start -- --backend wasm');
  if (values.help) return undefined;
  const { backend } = values;
  if (backend !== 'wasm' && backend !== 'native')
    throw new OptionError(`--backend is "${backend}"; give wasm or native`);
  return {
    backend,
    input: located(values.input),
    rate: bounded('--rate', values.rate, 1, 1_000_000),
    seconds: values.for === undefined ? undefined : bounded('--for', values.for, 0.1, 1_000_000),
    isJson: values.json,
    seed: Math.floor(bounded('--seed', values.seed, 0, 2 ** 32 - 1)),
    kernel: located(values.kernel),
  };
}
