/**
 * Data: the folder of a run, and what stays in it between a run that was stopped and the one that goes on with it.
 *
 *     run.json       what the flow is made of: seed, input, how many records
 *     orders/        the log of `orders`             signals/     the log of `signals`
 *     checkpoints/   states of the view              acknowledged     what was acknowledged as being on disk
 *
 * `acknowledged` has a line for each, written before the gateway goes on: so a run that goes on with this one can prove
 * that nothing was lost which this one had promised, though its parent was killed.
 */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isWritten } from '../crew/leftovers.ts';
import { makeDirectory } from '../directory.ts';
import { OptionError, type Options } from './options.ts';
import { LEFTOVERS } from './posts.ts';
import type { Acknowledged } from './report.ts';

const FREE_MS = 15_000;
const LOOK_MS = 50;

/** What the flow of a run is made of. */
interface Made {
  version: 1;
  seed: number;
  input?: string | undefined;
  records?: number | undefined;
}

/** Run, counter and sequence of a record that was acknowledged. */
export type Promised = readonly [run: number, counter: number, sequence: number];

/** The folder of one run. */
export class Data {
  readonly dir: string;
  /** What earlier runs have promised. */
  readonly promised: readonly Promised[];
  readonly #isTemporary: boolean;

  private constructor(dir: string, isTemporary: boolean) {
    this.dir = dir;
    this.#isTemporary = isTemporary;
    this.promised = existsSync(this.#acknowledged) ? readPromised(this.#acknowledged) : [];
  }

  /**
   * Makes the folder, or opens that of the run which is resumed; then the options are those that it began with.
   *
   * @throws OptionError when there is a run in it, or none.
   */
  static open(options: Options, pid: number): { data: Data; options: Options } {
    if (options.data === undefined) {
      const dir = LEFTOVERS.dataPath(pid);
      // Of a run that had the same number, long ago.
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir, { mode: 0o700 });
      return { data: new Data(dir, true), options };
    }
    const dir = resolve(options.data);
    const file = join(dir, 'run.json');
    if (options.isResumed) {
      const { seed, input, records } = readMade(file);
      return { data: new Data(dir, false), options: { ...options, seed, input, records } };
    }
    makeEmpty(dir);
    const made: Made = { version: 1, seed: options.seed, input: options.input && resolve(options.input) };
    if (options.records !== undefined) made.records = options.records;
    writeFileSync(file, `${JSON.stringify(made)}\n`, { flush: true });
    return { data: new Data(dir, false), options };
  }

  get #acknowledged(): string {
    return join(this.dir, 'acknowledged');
  }

  /**
   * Waits until nobody writes to the logs any more: the recorder of a run whose parent was killed leaves last.
   *
   * @throws OptionError when somebody goes on writing.
   */
  async free(): Promise<void> {
    const endMs = performance.now() + FREE_MS;
    while ((await isWritten(join(this.dir, 'orders'))) || (await isWritten(join(this.dir, 'signals')))) {
      if (performance.now() > endMs) throw new OptionError(`--data ${this.dir} belongs to a run that has not ended`);
      await sleep(LOOK_MS);
    }
  }

  /** Keeps what was acknowledged. */
  acknowledge(acknowledged: readonly Acknowledged[]): void {
    if (acknowledged.length === 0) return;
    appendFileSync(
      this.#acknowledged,
      acknowledged.map(([run, counter, sequence]) => `${run} ${counter} ${sequence}\n`).join(''),
    );
  }

  /** Removes a folder that nobody has asked to keep. */
  remove(): void {
    if (this.#isTemporary) rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Keeps the folder, for people who want to find out what went wrong; where it is then. */
  keep(): string {
    if (!this.#isTemporary || !existsSync(this.dir)) return this.dir;
    const kept = `${this.dir}.kept`;
    rmSync(kept, { recursive: true, force: true });
    renameSync(this.dir, kept);
    return kept;
  }
}

function readMade(file: string): Made {
  try {
    const made = JSON.parse(readFileSync(file, 'utf8')) as Made;
    if (made.version === 1 && Number.isSafeInteger(made.seed)) return made;
  } catch (cause) {
    throw new OptionError(`there is no run to resume: ${(cause as Error).message}`, { cause });
  }
  throw new OptionError(`${file} is not of this version of the pipeline`);
}

function makeEmpty(dir: string): void {
  try {
    makeDirectory(dir, 0o700);
  } catch (cause) {
    throw new OptionError(`--data ${dir} cannot be made: ${(cause as Error).message}`, { cause });
  }
  if (readdirSync(dir).length > 0) {
    throw new OptionError(`--data ${dir} is not empty; --resume goes on with the run in it, or name another one`);
  }
}

/** The lines; one that a parent was killed over is no promise that anybody has heard, and is cut off. */
function readPromised(file: string): Promised[] {
  const text = readFileSync(file, 'utf8');
  truncateSync(file, text.lastIndexOf('\n') + 1);
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => line.split(' ').map(Number) as unknown as Promised);
}
