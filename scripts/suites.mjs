/**
 * Suites: everything that `npm test` runs, in this order. To add a check, add a line.
 *
 * Files under `test/` that import uvu need no line: each is a suite, found by itself; `LONG` has those that take longer
 * than others. A suite that cannot run on this machine says why in `absent`; it is then counted as skipped. Two suites run
 * at a time (lanes.mjs), so what a suite makes has a name that nobody else uses, and its waits are bounded by patience
 * and never by what an idle machine needs.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { hasNightly, python, root } from './toolchain.mjs';

/**
 * @typedef {object} Suite
 * @property {string} name
 * @property {import('./counts.mjs').Runner} runner
 * @property {string[]} command
 * @property {number} [minutes]                        after which it is killed and has failed; 15
 * @property {boolean} [is_compiling]                  it keeps every processor busy with cargo: one at a time
 * @property {string} [alone]                          why nothing may run beside it
 * @property {Record<string, string>} [environment]
 * @property {string} [folder]                         below the root
 * @property {() => string | undefined} [absent]       why it cannot run here
 */

const BIN = `${root}node_modules/.bin`;
const PYTHON_BIN = `${root}.venv/bin`;

/** Seconds that the long ones among the uvu files take, about: they begin first, so that none is left alone at the end. */
const LONG = new Map([
  ['test/exchange/main.ts', 115],
  ['test/kill.ts', 95],
  ['test/pipeline/main.ts', 95],
  ['test/exchange/powerfail.ts', 60],
  ['test/wasm/kill.ts', 60],
  ['test/foreign.ts', 50],
  ['test/pipeline/resume.ts', 50],
  ['test/log-kill.ts', 45],
  ['test/powerfail.ts', 45],
  ['test/cross.ts', 40],
  ['test/browser/browser.ts', 40],
  ['test/kill-recorded.ts', 30],
  ['test/kernel/command.ts', 30],
  ['test/command-record.ts', 20],
  ['test/hostile.ts', 20],
  ['test/packaging.ts', 20],
  ['test/threads/main.ts', 15],
  ['test/wasm/artefact.ts', 15],
]);

/** Minutes, for the uvu files that may need more than fifteen. */
const PATIENCE = new Map([['test/kill.ts', 20]]);

/** Files whose tests run on both backends, as far as they need no file. */
const PORTABLE = [
  'test/batch.ts',
  'test/book-rival.ts',
  'test/book.ts',
  'test/consumer.ts',
  'test/iteration.ts',
  'test/kernel/kernel.ts',
  'test/kernel/limits.ts',
  'test/kernel/twin.ts',
  'test/kernel/vectors.ts',
  'test/message.ts',
  'test/mold.ts',
  'test/producer.ts',
  'test/region.ts',
  'test/struct.ts',
  'test/vectors-log.ts',
  'test/vectors.ts',
  'test/waiting.ts',
  'test/worker.ts',
];

const BACKENDS = ['native', 'wasm'];

/** Fat optimisation makes the builds of models slow and finds nothing. */
const QUICK_RELEASE = { CARGO_PROFILE_RELEASE_LTO: 'off', CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16' };

/** What sanitizers are built for. */
const TRIPLE = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`;

/** Tests in which several threads share memory without a fork, which ThreadSanitizer cannot follow. */
const THREADED = ['-p', 'tailrace-core', '--locked', '--test', 'rings', '--test', 'region'];

/** @type {Suite[]} */
const STATIC = [
  { name: 'rustfmt', runner: 'check', command: ['cargo', 'fmt', '--all', '--check'] },
  {
    name: 'rustfmt of the bench',
    runner: 'check',
    command: ['cargo', 'fmt', '--manifest-path', 'bench/Cargo.toml', '--all', '--check'],
  },
  {
    name: 'clippy',
    runner: 'check',
    is_compiling: true,
    command: ['cargo', 'clippy', '--workspace', '--all-targets', '--locked', '--quiet', '--', '-D', 'warnings'],
    minutes: 20,
  },
  {
    name: 'no std',
    runner: 'check',
    is_compiling: true,
    command: ['cargo', 'check', '-p', 'tailrace-core', '--no-default-features', '--locked', '--quiet'],
  },
  {
    name: 'generated files',
    runner: 'check',
    is_compiling: true,
    command: ['cargo', 'run', '-p', 'tailrace-gen', '--locked', '--quiet', '--', '--check'],
  },
  { name: 'wasm modules', runner: 'check', command: [process.execPath, 'scripts/wasm.mjs', '--check'] },
  { name: 'biome', runner: 'check', command: [`${BIN}/biome`, 'ci', '--error-on-warnings', '.'] },
  { name: 'tsc', runner: 'check', command: [`${BIN}/tsc`] },
  { name: 'ruff', runner: 'check', command: [`${PYTHON_BIN}/ruff`, 'check'] },
  { name: 'ruff format', runner: 'check', command: [`${PYTHON_BIN}/ruff`, 'format', '--check'] },
  { name: 'mypy', runner: 'check', command: [`${PYTHON_BIN}/mypy`], folder: 'python' },
];

/** @type {Suite[]} */
const RUST = [
  {
    name: 'cargo test',
    runner: 'cargo',
    is_compiling: true,
    command: ['cargo', 'test', '--workspace', '--locked', '--no-fail-fast'],
    minutes: 25,
  },
  {
    name: 'matcher and gateway, killed at every step',
    runner: 'cargo',
    is_compiling: true,
    command: [
      'cargo',
      'test',
      '-p',
      'tailrace-exchange',
      '--features',
      'pause_points',
      '--locked',
      '--test',
      'kills',
      '--',
      'points',
      'gateways',
    ],
    minutes: 20,
  },
  {
    name: 'loom models',
    runner: 'cargo',
    is_compiling: true,
    command: ['cargo', 'test', '-p', 'tailrace-core', '--release', '--locked', '--lib', 'model'],
    environment: { ...QUICK_RELEASE, RUSTFLAGS: '--cfg loom', CARGO_TARGET_DIR: 'target/loom' },
    minutes: 25,
  },
  {
    // Without `ring::kills`, to stay within the time: it does the unsafe things of the rules, many times over. Nor with the
    // threads of `memory::rules`, which turn in place while one of them works: minutes, or half an hour, as Miri takes turns.
    name: 'miri',
    runner: 'cargo',
    command: [
      'cargo',
      '+nightly',
      'miri',
      'test',
      '-p',
      'tailrace-core',
      '--locked',
      '--lib',
      '--',
      'ring::',
      'memory::',
      '--skip',
      'ring::kills',
      '--skip',
      'memory::rules::a_thread_that_ends',
    ],
    environment: { CARGO_TARGET_DIR: 'target/miri', MIRIFLAGS: '-Zmiri-disable-isolation -Zmiri-ignore-leaks' },
    minutes: 25,
    absent: () => (hasNightly('miri') && hasNightly('rust-src') ? undefined : 'rustup has no nightly with Miri here'),
  },
  {
    name: 'thread sanitizer',
    runner: 'cargo',
    is_compiling: true,
    command: ['cargo', '+nightly', 'test', '-Zbuild-std', '--target', TRIPLE, ...THREADED],
    environment: { CARGO_TARGET_DIR: 'target/thread', RUSTFLAGS: '-Zsanitizer=thread' },
    minutes: 25,
    absent: () => (hasNightly('rust-src') ? undefined : 'rustup has no nightly with the sources of std here'),
  },
];

/** @type {Suite[]} */
const PYTHON = [{ name: 'pytest', runner: 'pytest', command: [python, '-m', 'pytest'], folder: 'python' }];

/** @param {string} file @param {string} [backend] @returns {Suite} */
function uvuFile(file, backend) {
  return {
    name: backend ? `${file} on ${backend}` : file,
    runner: 'uvu',
    command: [process.execPath, '--import', 'tsx', file],
    minutes: PATIENCE.get(file) ?? 15,
    ...(backend && { environment: { TAILRACE_BACKEND: backend } }),
  };
}

/** @returns {Suite[]} */
function uvuFiles() {
  return readdirSync(`${root}test`, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.includes('node_modules'))
    .map((file) => `test/${file}`)
    .filter((file) => /^import .* from 'uvu';$/m.test(readFileSync(`${root}${file}`, 'utf8')))
    .sort((one, other) => (LONG.get(other) ?? 0) - (LONG.get(one) ?? 0) || one.localeCompare(other))
    .flatMap((file) => (PORTABLE.includes(file) ? BACKENDS.map((backend) => uvuFile(file, backend)) : [uvuFile(file)]));
}

/** Every suite. First what takes seconds, so that a wrong comma is known soon; then the longest of both lanes. */
export function suites() {
  return [...STATIC, ...RUST, ...PYTHON, ...uvuFiles()];
}
