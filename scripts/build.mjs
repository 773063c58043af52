/**
 * Build: makes what is missing or stale, says so on stderr, and does nothing when all is fresh.
 *
 *     packages   node_modules              npm ci, when package-lock.json changed
 *     native     target/, native/          cargo, which knows itself what is stale; Node wants the library under a name
 *                                          of its own, Python finds it where cargo left it
 *     wasm       native/wasm/              a copy of the committed modules (wasm.mjs builds those)
 *     sdk        dist/                     tsc, when a source changed
 *     python     .venv                     pip, when what is pinned changed
 *
 * What was made is remembered as a hash of its sources, in a file beside the result: git gives files new dates, so
 * dates prove nothing. The copy is renamed into place, because a running process may have the old one mapped.
 *
 *     node scripts/build.mjs [PART…]       without parts: all of them
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { run } from './process.mjs';
import { Missing, platform, python, requireNode, requirePython, requireRust, root } from './toolchain.mjs';

/** A command that builds something failed; the message holds its output. */
export class BuildError extends Error {}

/** Crates whose release build people run. The others are built by their tests. */
const CRATES = ['tailrace-native', 'tailrace-exchange', 'tailrace-sink'];

const LIBRARY = `${root}target/release/libtailrace_native.so`;

/** What cargo has built, and where the npm package has it. */
const PACKAGED = [
  { built: LIBRARY, packaged: `${root}native/${platform}/tailrace.node` },
  { built: `${root}target/release/tailrace-exchange`, packaged: `${root}native/${platform}/tailrace-exchange` },
];

/** @param {string} text */
function say(text) {
  process.stderr.write(`tailrace: ${text}\n`);
}

/** @param {string[]} command @param {{ is_shown?: boolean }} [options] */
async function must(command, options = {}) {
  const ending = await run(command, { folder: root, ...options });
  if (ending.code === 0) return;
  const output = options.is_shown ? '' : `\n${ending.output}`;
  throw new BuildError(`\`${command.join(' ')}\` ended with ${ending.signal ?? ending.code}.${output}`);
}

/** @param {string[]} files @param {string[]} facts */
function digest(files, facts = []) {
  const hash = createHash('sha256');
  for (const fact of facts) hash.update(`${fact}\n`);
  for (const file of files) hash.update(`${file}\n`).update(readFileSync(`${root}${file}`));
  return hash.digest('hex');
}

/** @param {string} stamp @param {string} sources */
function isFresh(stamp, sources) {
  const file = `${root}${stamp}`;
  return existsSync(file) && readFileSync(file, 'utf8') === sources;
}

/**
 * Runs `make` unless `stamp` says that it was done for these sources.
 *
 * @param {string} stamp @param {string} sources @param {() => Promise<void>} make
 */
async function unlessFresh(stamp, sources, make) {
  if (isFresh(stamp, sources)) return;
  await make();
  writeFileSync(`${root}${stamp}`, sources);
}

async function buildPackages() {
  requireNode();
  await unlessFresh('node_modules/.tailrace', digest(['package-lock.json'], [platform]), async () => {
    say('installing npm packages');
    await must(['npm', 'ci', '--ignore-scripts']);
  });
}

async function buildNative() {
  requireRust();
  const is_first = !existsSync(LIBRARY);
  if (is_first) say('building the Rust core, once, for some minutes');
  const crates = CRATES.flatMap((crate) => ['-p', crate]);
  const quiet = is_first ? [] : ['--quiet'];
  const command = ['cargo', 'build', '--release', '--locked', '--target-dir', 'target', ...quiet, ...crates];
  await must(command, { is_shown: true });
  for (const { built, packaged } of PACKAGED) place(built, packaged);
}

/** Copies what was built to where the package has it, unless it is there. @param {string} built @param {string} packaged */
function place(built, packaged) {
  if (existsSync(packaged) && readFileSync(packaged).equals(readFileSync(built))) return;
  mkdirSync(dirname(packaged), { recursive: true });
  cpSync(built, `${packaged}.new`);
  renameSync(`${packaged}.new`, packaged);
}

async function buildWasm() {
  mkdirSync(`${root}native/wasm`, { recursive: true });
  for (const name of ['rings', 'books']) {
    const [from, to] = [`${root}bindings/wasm/${name}.wasm`, `${root}native/wasm/${name}.wasm`];
    if (existsSync(to) && readFileSync(to).equals(readFileSync(from))) continue;
    cpSync(from, `${to}.new`);
    renameSync(`${to}.new`, to);
  }
}

/** What `dist/` is made of. */
function sdkDigest() {
  const sources = readdirSync(`${root}sdk`, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => `sdk/${file}`)
    .sort();
  const settings = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json', 'scripts/browser.mjs'];
  return digest([...sources, ...settings]);
}

/** Whether `dist/` was compiled of the sources as they are now. */
export function isSdkFresh() {
  return isFresh('dist/.tailrace', sdkDigest());
}

async function buildSdk() {
  await buildPackages();
  await unlessFresh('dist/.tailrace', sdkDigest(), async () => {
    say('compiling the TypeScript package');
    rmSync(`${root}dist`, { recursive: true, force: true });
    await must(['node_modules/.bin/tsc', '--project', 'tsconfig.build.json']);
    const { bundlePackage } = await import('./browser.mjs');
    await bundlePackage(`${root}dist`);
  });
}

async function buildPython() {
  const command = requirePython();
  const files = ['python/requirements.txt', 'python/pyproject.toml', 'python/native_library.py'];
  await unlessFresh('.venv/.tailrace', digest(files, [root]), async () => {
    say('making the Python environment');
    await must([command, '-m', 'venv', '--clear', '.venv']);
    const install = [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps'];
    await must([...install, '--requirement', 'python/requirements.txt']);
    await must([...install, '--no-build-isolation', '--editable', 'python']);
  });
}

/** Every part. */
const PARTS = { packages: buildPackages, native: buildNative, wasm: buildWasm, sdk: buildSdk, python: buildPython };

/** What stands on each other, in this order. All else is made at the same time: cargo computes while the others download. */
const IN_TURN = ['packages', 'sdk'];

/** @param {string[]} names */
async function buildInTurn(names) {
  for (const name of names) await PARTS[/** @type {keyof typeof PARTS} */ (name)]();
}

/** @param {string[]} [names] Parts; all when there are none. */
export async function build(names = Object.keys(PARTS)) {
  const unknown = names.find((name) => !Object.hasOwn(PARTS, name));
  if (unknown) throw new BuildError(`There is no part "${unknown}"; the parts are ${Object.keys(PARTS).join(', ')}.`);
  const chain = IN_TURN.filter((name) => names.includes(name));
  const others = names.filter((name) => !IN_TURN.includes(name));
  const ends = await Promise.allSettled([buildInTurn(chain), ...others.map((name) => buildInTurn([name]))]);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** Runs `work`; what is missing, or failed to build, ends the process with its one sentence. @param {() => Promise<void>} work */
export async function orExplain(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Missing || error instanceof BuildError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const names = process.argv.slice(2);
  await orExplain(() => build(names.length > 0 ? names : undefined));
}
