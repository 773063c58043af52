/**
 * Leftovers: removes what a run left that was itself killed with SIGKILL: its region, and the temporary folder with its
 * logs.
 *
 * A region is only removed when nobody is attached to it, by the kernel's word, and when it is not just being made: the
 * parent whose number is in its name does not run here, and the file is some seconds old. A folder is only removed when
 * nobody is writing to its logs, which the kernel knows, too.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Log, Region, TailraceError } from '../index.ts';

const YOUNG_MS = 10_000;

/** What runs of one kind leave behind; numbered by their parents. */
export class Leftovers {
  readonly #name: string;
  readonly #logs: readonly string[];

  /** `name` of the kind, and the folders of its logs within a run's folder. */
  constructor(name: string, logs: readonly string[]) {
    this.#name = name;
    this.#logs = logs;
  }

  /** The region file of a run whose parent is `pid`. */
  regionPath(dir: string, pid: number): string {
    return join(dir, `${this.#regionPrefix}${pid}`);
  }

  /** The temporary folder of a run whose parent is `pid`. */
  dataPath(pid: number): string {
    return join(tmpdir(), `${this.#dataPrefix}${pid}`);
  }

  /** Removes what killed runs left in `dir` and among the temporary files; returns the paths. */
  async remove(dir: string): Promise<string[]> {
    const removed = leftIn(dir, this.#regionPrefix).filter(isRemoved);
    for (const path of leftIn(tmpdir(), this.#dataPrefix)) if (await this.#isDataRemoved(path)) removed.push(path);
    return removed;
  }

  get #regionPrefix(): string {
    return `tailrace-${this.#name}.`;
  }

  get #dataPrefix(): string {
    return `tailrace-${this.#name}-data.`;
  }

  async #isDataRemoved(path: string): Promise<boolean> {
    try {
      if (Date.now() - statSync(path).mtimeMs < YOUNG_MS) return false;
      for (const log of this.#logs) if (await isWritten(join(path, log))) return false;
      rmSync(path, { recursive: true });
      return true;
    } catch {
      return false;
    }
  }
}

/** What carries the number of a parent that does not run. */
function leftIn(dir: string, prefix: string): string[] {
  return names(dir)
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .filter((name) => !isRunning(Number(name.slice(prefix.length))))
    .map((name) => join(dir, name));
}

function names(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** Whether a parent has this number; a file with our own was made by an earlier process. */
function isRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function isRemoved(path: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs < YOUNG_MS) return false;
    {
      using region = Region.open(path);
      if (region.stats().participants.some((participant) => participant.isAlive)) return false;
    }
    Region.remove(path);
    return true;
  } catch {
    return false;
  }
}

/** Whether somebody has this log open for writing. */
export async function isWritten(log: string): Promise<boolean> {
  try {
    return (await Log.stat(log)).isWriterAlive;
  } catch (error) {
    if (error instanceof TailraceError && error.code === 'ERR_NOT_FOUND') return false;
    throw error;
  }
}
