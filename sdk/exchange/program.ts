/**
 * Program: where the native program of the exchange is.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { failure } from '../error.ts';

const NAME = 'tailrace-exchange';

/** Where the program may be, the best place first; TAILRACE_EXCHANGE is the only place when it is set. */
export function programs(): string[] {
  const wanted = process.env.TAILRACE_EXCHANGE;
  if (wanted) return [wanted];
  const places = [`../../native/${process.platform}-${process.arch}/${NAME}`, `../../target/release/${NAME}`];
  return places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
}

/**
 * The program.
 *
 * @throws TailraceError ERR_UNSUPPORTED when it is not there: another platform, or not built.
 */
export function program(): string {
  const found = programs().find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw failure('ERR_UNSUPPORTED', `the program of the exchange is not there: tried ${programs().join(', ')}`);
}
