/**
 * Meter: how far a long work has come, in one line of a terminal that is gone when the work is done.
 */
import type { Progress } from '../errand.ts';

/** Hears how far a work has come; undefined: nobody does. */
export type OnProgress = ((progress: Progress) => void) | undefined;

const ERASE = '\r\u001B[K';

/** Does a work, and shows how far it has come. */
export async function metered<Result>(
  what: string,
  work: (onProgress: OnProgress) => Promise<Result>,
  stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'> = process.stderr,
): Promise<Result> {
  if (!stream.isTTY) return work(undefined);
  let isShown = false;
  try {
    return await work(({ doneBytes, totalBytes }) => {
      if (totalBytes <= 0) return;
      isShown = true;
      stream.write(`${ERASE}${what}: ${Math.floor((Math.min(doneBytes, totalBytes) / totalBytes) * 100)} %`);
    });
  } finally {
    if (isShown) stream.write(ERASE);
  }
}
