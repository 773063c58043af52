/**
 * Posts: which processes the pipeline consists of, and the command of each.
 *
 * The TypeScript ones run as this one does (compiled, or through a loader); Python is the one that `npm start` has set
 * up, the sink the one that it has built.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Post } from '../crew/crew.ts';
import { Leftovers } from '../crew/leftovers.ts';
import type { Options } from './options.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

/** What a pipeline that was killed leaves behind. */
export const LEFTOVERS = new Leftovers('pipeline', ['orders', 'signals']);

/** The recorder comes first, for it gives the channels their numbers; then those that read; then the one that writes. */
export interface Posts {
  recorder: Post;
  readers: Post[];
  gateway: Post;
}

/** The posts of a run over the region at `path`, whose logs and checkpoints lie in `data`. */
export function postsOf(path: string, data: string, options: Options): Posts {
  const venv = `${ROOT}.venv/bin/python`;
  const python = process.env.TAILRACE_PYTHON ?? (existsSync(venv) ? venv : 'python3');
  const sink = process.env.TAILRACE_SINK ?? `${ROOT}target/release/tailrace-sink`;
  const input = options.input === undefined ? [] : ['--input', options.input];
  const records = options.records === undefined ? [] : ['--records', `${options.records}`];
  const gateway = ['--region', path, '--rate', `${options.rate}`, '--seed', `${options.seed}`, ...input, ...records];
  return {
    recorder: {
      name: 'recorder',
      language: 'Node',
      command: () => node('recorder', path, data, `${options.retainedBytes}`),
    },
    readers: [
      { name: 'view', language: 'Node', command: () => node('view', path, data) },
      { name: 'analytics', language: 'Python', command: () => [python, `${ROOT}sdk/pipeline/analytics.py`, path] },
      { name: 'sink', language: 'Rust', command: () => [sink, path] },
    ],
    gateway: { name: 'gateway', language: 'Node', command: () => node('gateway', ...gateway) },
  };
}

function node(name: string, ...args: string[]): readonly [program: string, ...args: string[]] {
  const file = fileURLToPath(new URL(`${name}.${EXTENSION}`, import.meta.url));
  return [process.execPath, ...process.execArgv, file, ...args];
}
