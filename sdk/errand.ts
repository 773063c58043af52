/**
 * Errand: what the library does off the event loop, because it waits for a disk.
 */
import { throwNative } from './error.ts';
import { type Ended, native } from './native.ts';

/** How far a long work has come. */
export interface Progress {
  doneBytes: number;
  totalBytes: number;
}

const LOOK_MS = 100;

let last = 0;

/** What an errand brought back; rejects with what went wrong. */
export async function ended(errand: Promise<Ended>): Promise<Ended> {
  const end = await errand;
  if (end.code !== 0) throwNative(end.code, end.message, end.errno, end.value);
  return end;
}

/** The same, and tells now and then how far it has come. `begin` gets the number under which the library says so. */
export async function followed(
  begin: (errand: number) => Promise<Ended>,
  onProgress: ((progress: Progress) => void) | undefined,
): Promise<Ended> {
  if (onProgress === undefined) return ended(begin(0));
  last += 1;
  const errand = last;
  const timer = setInterval(() => {
    const [doneBytes, totalBytes] = native().progress(errand);
    if (doneBytes !== undefined && totalBytes !== undefined) onProgress({ doneBytes, totalBytes });
  }, LOOK_MS);
  try {
    return await ended(begin(errand));
  } finally {
    clearInterval(timer);
  }
}
