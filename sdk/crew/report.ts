/**
 * Report: what the processes of a crew tell the parent, one line of JSON on standard output each.
 *
 * A line is written by one system call into a socket; of a process that is killed in the middle of it, half a line is
 * left, which is discarded. Standard input is the leash: when it ends, the process finishes what it has begun, reports
 * and leaves. That works in every language, for a stop and for the death of the parent alike.
 */
import { writeSync } from 'node:fs';

/** What every line has; a process is at work when it has said `ready`. */
export interface Line {
  report: string;
}

/** Nobody changes it: who waits for it sleeps. */
const PAUSE = new Int32Array(new SharedArrayBuffer(4));
const PAUSE_MS = 1;

/** Tells the parent, and waits while it has no time to listen. When it is gone, so is the reason to go on. */
export function report<R extends Line>(line: R): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      // A loader may have made the socket one that does not wait.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') process.exit(1);
      Atomics.wait(PAUSE, 0, 0, PAUSE_MS);
    }
  }
}

/** Aborted when the parent lets go of standard input, or is gone. */
export function leash(): AbortSignal {
  const controller = new AbortController();
  process.stdin.on('end', () => controller.abort());
  process.stdin.on('error', () => controller.abort());
  process.stdin.resume();
  return controller.signal;
}

/** Puts lines together from the pieces that a pipe delivers. What never ends with a newline is never a line. */
export class Lines {
  #rest = '';

  /** The lines that end within `piece`. */
  push(piece: string): string[] {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines;
  }
}
