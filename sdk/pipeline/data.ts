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
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Folder, type Made } from '../crew/folder.ts';
import { isWritten } from '../crew/leftovers.ts';
import { OptionError } from '../crew/mistakes.ts';
import type { Options } from './options.ts';
import { LEFTOVERS } from './posts.ts';
import type { Acknowledged } from './report.ts';

const FREE_MS = 15_000;
const LOOK_MS = 50;

/** What the flow of a run is made of. */
interface Flow extends Made {
  seed: number;
  input?: string | undefined;
  records?: number | undefined;
}

/** Run, counter and sequence of a record that was acknowledged. */
export type Promised = readonly [run: number, counter: number, sequence: number];

/** The folder of one run. */
export class Data {
  readonly folder: Folder;
  /** What earlier runs have promised. */
  readonly promised: readonly Promised[];

  private constructor(folder: Folder) {
    this.folder = folder;
    this.promised = existsSync(this.#acknowledged) ? readPromised(this.#acknowledged) : [];
  }

  /**
   * Makes the folder, or opens that of the run which is resumed; then the options are those that it began with.
   *
   * @throws OptionError when there is a run in it, or none.
   */
  static open(options: Options, pid: number): { data: Data; options: Options } {
    if (options.data === undefined) return { data: new Data(Folder.temporary(LEFTOVERS.dataPath(pid))), options };
    const dir = resolve(options.data);
    if (options.isResumed) {
      const folder = Folder.resume(dir);
      const { seed, input, records } = folder.read<Flow>((flow) => Number.isSafeInteger(flow.seed));
      return { data: new Data(folder), options: { ...options, seed, input, records } };
    }
    const folder = Folder.begin(dir);
    const { seed, input, records } = options;
    folder.write({ version: 1, seed, input, records } as Flow);
    return { data: new Data(folder), options };
  }

  /** Where it is. */
  get dir(): string {
    return this.folder.dir;
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
}

/** The lines; one that a parent was killed over is no promise that anybody has heard, and is cut off. */
function readPromised(file: string): Promised[] {
  const text = readFileSync(file, 'utf8');
  truncateSync(file, text.lastIndexOf('\n') + 1);
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => line.split(' ').map(Number) as unknown as Promised);
}
