/**
 * Posts: which processes the pipeline consists of, and the command of each.
 *
 * The TypeScript ones run as this one does (compiled, or through a loader); Python is the one that `npm start` has set
 * up, the sink the one that it has built.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Post } from './crew.ts';
import type { Options } from './options.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

/** The processes that read, all of which are at work before the one that writes begins. */
export interface Posts {
  readers: Post[];
  gateway: Post;
}

/** The posts of a run over the region at `path`. */
export function postsOf(path: string, options: Options): Posts {
  const venv = `${ROOT}.venv/bin/python`;
  const python = process.env.TAILRACE_PYTHON ?? (existsSync(venv) ? venv : 'python3');
  const sink = process.env.TAILRACE_SINK ?? `${ROOT}target/release/tailrace-sink`;
  const input = options.input === undefined ? [] : ['--input', options.input];
  const gateway = ['--region', path, '--rate', `${options.rate}`, '--seed', `${options.seed}`, ...input];
  return {
    readers: [
      { name: 'view', language: 'Node', command: () => node('view', path) },
      { name: 'analytics', language: 'Python', command: () => [python, `${ROOT}sdk/pipeline/analytics.py`, path] },
      { name: 'sink', language: 'Rust', command: () => [sink, path] },
    ],
    gateway: { name: 'gateway', language: 'Node', command: (run) => node('gateway', ...gateway, '--run', `${run}`) },
  };
}

function node(name: string, ...args: string[]): readonly [program: string, ...args: string[]] {
  const file = fileURLToPath(new URL(`${name}.${EXTENSION}`, import.meta.url));
  return [process.execPath, ...process.execArgv, file, ...args];
}
