/**
 * Leftovers: removes what a run left that was itself killed with SIGKILL.
 *
 * A region is only removed when nobody is attached to it, by the kernel's word, and when it is not just being made: the
 * parent whose number is in its name does not run here, and the file is some seconds old.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Region } from '../index.ts';

const PREFIX = 'tailrace-pipeline.';
const YOUNG_MS = 10_000;

/** The region file of a run whose parent is `pid`. */
export function regionPath(dir: string, pid: number): string {
  return join(dir, `${PREFIX}${pid}`);
}

/** Removes what killed runs left in `dir`; returns the paths. */
export function removeLeftovers(dir: string): string[] {
  const paths = names(dir)
    .filter((name) => name.startsWith(PREFIX) && /^\d+$/.test(name.slice(PREFIX.length)))
    .filter((name) => !isRunning(Number(name.slice(PREFIX.length))))
    .map((name) => join(dir, name));
  return paths.filter(isRemoved);
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
