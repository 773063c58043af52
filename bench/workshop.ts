/**
 * Workshop: builds what is measured, and knows where it is.
 *
 * The Rust side is a workspace of its own with its own lock file, so that nothing of a rival ever enters the product's.
 * Rivals are built by the first run that needs them; where a registry cannot be reached they are reported missing, and
 * everything else is measured.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = `${root}bench/`;

/** What can be run, and what cannot. */
export interface Workshop {
  /** The Rust side. */
  readonly binary: string;
  /** The addon with the floors of native calls. */
  readonly probe: string;
  readonly python: string;
  /** Runs a TypeScript file of this folder. */
  node(file: string, ...words: (string | number)[]): string[];
  /** Each rival, or family of rivals, that is not there, with the reason. */
  readonly missing: Map<string, string>;
}

/** Says something to whoever waits; results go to stdout. */
export function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

function built(command: string, words: string[], cwd: string, quiet: boolean): string | undefined {
  const stdio = ['ignore', 'inherit', quiet ? 'pipe' : 'inherit'] as const;
  const run = spawnSync(command, words, { cwd, stdio: [...stdio], encoding: 'utf8' });
  if (run.status === 0) return undefined;
  return run.error?.message ?? (run.stderr?.trim().split('\n').at(-1) || `${command} ended with ${run.status}`);
}

/** Builds everything that is not built yet. */
export function open(): Workshop {
  const target = process.env.CARGO_TARGET_DIR ?? `${folder}target`;
  const missing = new Map<string, string>();
  const cargo = ['build', '--release', '--locked', '--workspace'];
  const isNew = !existsSync(`${target}/release/tailrace-bench`);
  if (isNew)
    say('building the Rust side with its rivals (rtrb, crossbeam, iceoryx2, ringfire), once, for about a minute');
  const words = isNew ? cargo : [...cargo, '--quiet'];
  const failed = built('cargo', [...words, '--features', 'rivals'], folder, !isNew);
  if (failed !== undefined) {
    for (const rival of ['rtrb', 'rtrb-chunks', 'array-queue', 'iceoryx2', 'ringfire']) missing.set(rival, failed);
    const alone = built('cargo', cargo, folder, false);
    if (alone !== undefined) throw new Error(`the Rust side cannot be built: ${alone}`);
  }
  if (!existsSync(`${folder}rivals/node_modules/zeromq`)) {
    say('installing zeromq, once');
    const refused = built('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], `${folder}rivals`, true);
    if (refused !== undefined) missing.set('zeromq', refused);
  }
  return {
    binary: `${target}/release/tailrace-bench`,
    probe: `${target}/release/libtailrace_bench_probe.so`,
    python: `${root}.venv/bin/python`,
    node: (file, ...rest) => [process.execPath, '--import', 'tsx', `${folder}${file}`, ...rest.map(String)],
    missing,
  };
}

/** A file of this folder. */
export function at(file: string): string {
  return `${folder}${file}`;
}
