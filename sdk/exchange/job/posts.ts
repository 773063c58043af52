/**
 * Posts: which processes the job consists of besides the parts of the exchange, and the command of each.
 *
 * The TypeScript ones run as this one does (compiled, or through a loader); Python is the one that `npm start` has set
 * up. One that is started again is told what its parent knows to be seen, and goes on behind that.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Post } from '../../crew/crew.ts';
import { Leftovers } from '../../crew/leftovers.ts';

/** What a job that was killed leaves behind. */
export const LEFTOVERS = new Leftovers('exchange', ['orders', 'reports', 'market']);

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

/** A process of Node; `args` is asked at each start. */
export function node(name: string, args: () => string[]): Post {
  const file = fileURLToPath(new URL(`${name}.${EXTENSION}`, import.meta.url));
  return { name, language: 'Node', command: () => [process.execPath, ...process.execArgv, file, ...args()] };
}

/** A process of Python, from a source beside this one. */
export function python(name: string, source: string, args: () => string[]): Post {
  const venv = `${ROOT}.venv/bin/python`;
  const program = process.env.TAILRACE_PYTHON ?? (existsSync(venv) ? venv : 'python3');
  const file = `${ROOT}sdk/exchange/job/${source}`;
  return { name, language: 'Python', command: () => [program, file, ...args()] };
}
