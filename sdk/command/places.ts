/**
 * Places: where regions are. A region is known by its first eight bytes, and is opened for looking only.
 */
import { closeSync, constants, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { failure, TailraceError, wrongArgument } from '../error.ts';
import { MAGIC } from '../generated/layout.ts';
import { Region } from '../region.ts';

/** Where regions are by default. */
export const SHARED_MEMORY = '/dev/shm';

/** Whether a file begins as regions do. */
export function isRegion(path: string): boolean {
  const start = new BigUint64Array(1);
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      return readSync(file, start) === 8 && start[0] === MAGIC;
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
}

/** Whether a path is a folder. */
export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** The regions in a folder. */
export function regionsIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(folder, entry.name))
    .filter(isRegion)
    .sort();
}

/** A region as it was named: a path, or the name of one in shared memory. */
export function pathOf(name: string): string {
  return name.includes('/') || statSync(name, { throwIfNoEntry: false }) ? name : join(SHARED_MEMORY, name);
}

/** Opens a region for looking, whoever made it. */
export function openToLook(path: string): Region {
  return openEither(path, true);
}

/** Opens a region whoever made it. */
export function openEither(path: string, readOnly: boolean): Region {
  try {
    return Region.open(path, { readOnly });
  } catch (error) {
    if (!(error instanceof TailraceError && error.code === 'ERR_FOREIGN' && isRegion(path))) throw error;
    return Region.open(path, { readOnly, recovery: false });
  }
}

/** The only region in shared memory that has this channel. */
export function regionWith(channel: string): string {
  const found = regionsIn(SHARED_MEMORY).filter((path) => {
    try {
      using region = openToLook(path);
      return region.channels().some(({ name }) => name === channel);
    } catch {
      return false;
    }
  });
  if (found.length === 0) throw failure('ERR_NOT_FOUND', `no region in ${SHARED_MEMORY} has a channel "${channel}"`);
  if (found.length > 1) throw wrongArgument(`"${channel}" is a channel of ${found.join(' and ')}; name the region too`);
  return found[0]!;
}
