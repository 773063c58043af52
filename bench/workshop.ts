/**
 * Workshop: builds what is measured, and knows where it is.
 *
 * The Rust side is a workspace of its own with its own lock file, so that nothing of a rival ever enters the product's.
 * Rivals are built by the first run that needs them; where a registry cannot be reached they are reported missing, and
 * everything else is measured.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
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
  if (isNew) say('building the Rust side with its rivals (rings, SQLite, LMDB), once, for a few minutes');
  const words = isNew ? cargo : [...cargo, '--quiet'];
  const features = new Map([
    ['rivals', ['rtrb', 'rtrb-chunks', 'array-queue', 'iceoryx2', 'ringfire']],
    ['stores', ['sqlite', 'lmdb']],
  ]);
  // With all of them, or else with those that can be built.
  for (;;) {
    const failed = built('cargo', [...words, '--features', [...features.keys()].join()], folder, !isNew);
    if (failed === undefined) break;
    const [dropped] = [...features.keys()].slice(-1);
    if (dropped === undefined) throw new Error(`the Rust side cannot be built: ${failed}`);
    for (const rival of features.get(dropped)!) missing.set(rival, failed);
    features.delete(dropped);
  }
  const packages = ['zeromq', 'nodejs-order-book'];
  if (packages.some((name) => !existsSync(`${folder}rivals/node_modules/${name}`))) {
    say(`installing ${packages.join(' and ')}, once`);
    const refused = built('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], `${folder}rivals`, true);
    if (refused !== undefined) for (const name of packages) missing.set(name, refused);
  }
  return {
    binary: `${target}/release/tailrace-bench`,
    probe: `${target}/release/libtailrace_bench_probe.so`,
    python: `${root}.venv/bin/python`,
    node: (file, ...rest) => [process.execPath, '--import', 'tsx', `${folder}${file}`, ...rest.map(String)],
    missing,
  };
}

const REDIS = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1'];

/** The program of the Redis server: the system's, or Debian's unpacked here; undefined when there is neither. */
export function redis(workshop: Workshop): string | undefined {
  if (spawnSync('redis-server', ['--version']).status === 0) return 'redis-server';
  const place = `${folder}target/redis/`;
  const program = `${place}usr/bin/redis-server`;
  if (!existsSync(program)) {
    say("unpacking Debian's redis-server, once");
    mkdirSync(place, { recursive: true });
    const refused =
      built('apt-get', ['-qq', 'download', ...REDIS], place, true) ??
      built('sh', ['-c', 'for package in *.deb; do dpkg -x "$package" .; done'], place, true);
    if (refused !== undefined) workshop.missing.set('redis', refused);
  }
  const libraries = `${place}usr/lib/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`;
  const tried = spawnSync(program, ['--version'], { env: { LD_LIBRARY_PATH: libraries } });
  if (tried.status === 0) return program;
  if (!workshop.missing.has('redis')) workshop.missing.set('redis', tried.stderr?.toString().trim() || 'it cannot run');
  return undefined;
}

/** A file of this folder. */
export function at(file: string): string {
  return `${folder}${file}`;
}
