/**
 * Wasm: builds the modules in bindings/wasm, and says whether those that are there belong to their sources.
 *
 *     node scripts/wasm.mjs            npm run build:wasm: builds them with the first recipe that works
 *     node scripts/wasm.mjs --check    fails when one is stale; needs no compiler
 *     node scripts/wasm.mjs --into F   builds into the folder F; with --pause, with the steps of the kill matrix
 *     node scripts/wasm.mjs --by NAME  by this recipe and no other: 'rustup nightly', "Debian's rustc-web", wasm-pack
 *
 * Two compilers never give equal bytes, so what says that a module is fresh is its custom section `sources`: the
 * SHA-256 over every file that it is made of. The recipes stand in the order in which they are tried; what each of them
 * lacks is told when none works.
 *
 * They are to be small, because a page loads one before its first message: they are compiled for size, from a copy of the
 * sources in which `inline(always)`, which is right for processors, is a hint. wasm-opt would take 8 % more away,
 * and with them the fence that `core/src/sync/plain.rs` needs; so it is not used.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { run } from './process.mjs';
import { root } from './toolchain.mjs';

/** The modules: feature of the crate, and what is committed and carried by the package. */
export const MODULES = {
  rings: `${root}bindings/wasm/rings.wasm`,
  books: `${root}bindings/wasm/books.wasm`,
};
/** Bytes that each must stay below. */
export const BYTES_MAX = 64 * 1024;

const FOLDER = `${root}target/wasm`;
const TARGET = 'wasm32-unknown-unknown';
const SECTION = 'sources';
const PAGE_LIMIT_BYTES = 4 * 1024 * 1024 * 1024;
const STACK_BYTES = 60 * 1024;
const EXPORTS = ['__stack_pointer', '__tls_size', '__tls_align', '__wasm_init_tls', '__heap_base'];
/** @param {string} place */
function sourcesIn(place) {
  return readdirSync(`${root}${place}`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(rs|toml)$/.test(entry.name))
    .map((entry) => `${entry.parentPath ?? entry.path}/${entry.name}`.slice(root.length).replaceAll(/\/+/g, '/'));
}

/** The files that the modules are made of. */
function sources() {
  return [...sourcesIn('core/src'), 'core/Cargo.toml', ...sourcesIn('bindings/wasm'), 'Cargo.lock'].sort();
}

/** SHA-256 over names and contents of the sources. */
export function sourcesHash() {
  const hash = createHash('sha256');
  for (const file of sources()) hash.update(`${file}\n`).update(readFileSync(`${root}${file}`));
  return hash.digest('hex');
}

/** @param {number} number @returns {number[]} */
function leb(number) {
  return number < 128 ? [number] : [(number & 127) | 128, ...leb(number >>> 7)];
}

/** @param {Uint8Array} module @param {string} text */
function withSources(module, text) {
  const name = Buffer.from(SECTION);
  const content = Buffer.concat([Uint8Array.from(leb(name.length)), name, Buffer.from(text)]);
  return Buffer.concat([module, Uint8Array.from([0, ...leb(content.length)]), content]);
}

/** The hash that an artefact was built of; undefined without one. @param {string} file */
export function statedHash(file) {
  const { Module } = /** @type {any} */ (globalThis).WebAssembly;
  const [section] = Module.customSections(new Module(readFileSync(file)), SECTION);
  return section === undefined ? undefined : Buffer.from(section).toString();
}

/** Why a committed module cannot be used; undefined when it can. @param {string} file */
export function staleness(file) {
  if (!existsSync(file)) return `${file} is missing: npm run build:wasm`;
  const bytes = readFileSync(file).length;
  if (bytes >= BYTES_MAX) return `${file} has ${bytes} bytes; it must stay below ${BYTES_MAX}`;
  if (statedHash(file) === sourcesHash()) return undefined;
  return `${file} was built of other sources than these: npm run build:wasm, and commit it`;
}

/** A recipe that cannot be used here; the message says why. */
class Unusable extends Error {}

/** @param {string[]} command @param {Record<string, string>} [environment] @param {string} [folder] @param {RegExp} [demand] */
async function must(command, environment = {}, folder = root, demand) {
  const ending = await run(command, { folder, environment });
  if (ending.code === 0 || demand?.test(ending.output)) return ending.output;
  const lines = ending.output.trim().split('\n');
  const telling = lines.find((line) => /^error/i.test(line)) ?? lines.at(-1) ?? '';
  throw new Unusable(`\`${command.slice(0, 3).join(' ')} …\` ended with ${ending.signal ?? ending.code}: ${telling}`);
}

/** @param {string} program @param {string[]} words */
function answer(program, ...words) {
  try {
    return execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
}

/** Writes a file, unless it says that already: cargo goes by dates. @param {string} file @param {string} text */
function put(file, text) {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  mkdirSync(dirname(file), { recursive: true });
  replace(file, text, FOLDER);
}

/**
 * Puts a file in the place of another at once: two tests may build at a time.
 *
 * @param {string} file @param {string | Uint8Array} content @param {string} beside  where it is written first
 */
function replace(file, content, beside = dirname(file)) {
  const fresh = `${beside}/${basename(file)}.${process.pid}`;
  writeFileSync(fresh, content);
  renameSync(fresh, file);
}

/** Copies what is compiled. @param {string} folder */
function stage(folder) {
  const wanted = new Set([...sources(), 'Cargo.toml']);
  if (existsSync(folder)) {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const file = `${entry.parentPath ?? entry.path}/${entry.name}`;
      if (entry.isFile() && !wanted.has(file.slice(folder.length + 1))) rmSync(file);
    }
  }
  for (const file of sources()) {
    const text = readFileSync(`${root}${file}`, 'utf8');
    // cargo strikes out of its lock what is not compiled here.
    mkdirSync(folder, { recursive: true });
    if (file === 'Cargo.lock') replace(`${folder}/${file}`, text, FOLDER);
    else put(`${folder}/${file}`, file.endsWith('.rs') ? text.replaceAll('#[inline(always)]', '#[inline]') : text);
  }
  const workspace = readFileSync(`${root}Cargo.toml`, 'utf8');
  put(`${folder}/Cargo.toml`, workspace.replace(/^members = .*$/m, 'members = ["core", "bindings/wasm"]'));
}

/** @param {string} linker */
function flags(linker) {
  const links = [
    '--shared-memory',
    '--import-memory',
    `--max-memory=${PAGE_LIMIT_BYTES}`,
    `-zstack-size=${STACK_BYTES}`,
    ...EXPORTS.map((name) => `--export=${name}`),
  ];
  return [
    `-Clinker=${linker}`,
    '-Clinker-flavor=wasm-ld',
    '-Ctarget-feature=+atomics,+bulk-memory,+mutable-globals',
    ...links.map((link) => `-Clink-arg=${link}`),
    '-Zunstable-options',
    '-Cpanic=immediate-abort',
  ].join(' ');
}

/**
 * @typedef {object} Compiler
 * @property {(folder: string, words: string[]) => string[]} command  that builds what is staged there
 * @property {string} name                                            of its folder: compilers do not share what they made
 * @property {Record<string, string>} environment
 * @property {string} linker
 * @property {string} [flagged]  the variable by which it takes flags; RUSTFLAGS
 * @property {RegExp} [demand]   what it wants after the build, and need not have
 */

/** `cargo`, called like this. @param {...string} cargo */
function cargoBuild(...cargo) {
  return (/** @type {string} */ _, /** @type {string[]} */ words) => [
    ...[...cargo, 'build', '-p', 'tailrace-wasm', '--release', '--target', TARGET],
    ...words,
  ];
}

/** @param {Compiler} compiler @param {string[]} features */
async function compile({ command, name, environment, linker, flagged = 'RUSTFLAGS', demand }, features) {
  const folder = `${FOLDER}/${name}${features.some((feature) => feature.includes('pause')) ? '-pausing' : ''}`;
  const source = `${folder}/source`;
  stage(source);
  const std = ['-Zbuild-std=core,alloc', '-Zbuild-std-features=optimize_for_size'];
  const words = ['--target-dir', folder, ...std, ...features];
  const made = `${folder}/${TARGET}/release/tailrace_wasm.wasm`;
  const settings = {
    ...environment,
    [flagged]: flags(linker),
    CARGO_PROFILE_RELEASE_OPT_LEVEL: 's',
    CARGO_PROFILE_RELEASE_DEBUG: 'false',
    CARGO_PROFILE_RELEASE_STRIP: 'symbols',
  };
  if (demand) rmSync(made, { force: true });
  await must(command(source, words), settings, source, demand);
  return made;
}

/** The triple of this machine's compilers. */
const HOST = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`;

/** A nightly of rustup, with the sources of core. @returns {Promise<Compiler>} */
async function nightly() {
  const sysroot = answer('rustc', '+nightly', '--print', 'sysroot');
  if (!sysroot) throw new Unusable('rustup has no nightly here');
  if (!existsSync(`${sysroot}/lib/rustlib/src/rust/library/Cargo.lock`)) {
    await must(['timeout', '180', 'rustup', 'component', 'add', 'rust-src', '--toolchain', 'nightly']);
  }
  const linker = `${sysroot}/lib/rustlib/${HOST}/bin/rust-lld`;
  return { command: cargoBuild('cargo', '+nightly'), name: 'nightly', environment: {}, linker };
}

/** The linker of whatever rustup has. */
function anyLinker() {
  const sysroot = answer('rustc', '--print', 'sysroot');
  const linker = `${sysroot}/lib/rustlib/${HOST}/bin/rust-lld`;
  if (!sysroot || !existsSync(linker)) throw new Unusable('there is no rust-lld: install Rust by rustup');
  return linker;
}

/** Debian's compiler with the sources of the same version, unpacked into a folder. @returns {Promise<Compiler>} */
async function debian() {
  const linker = anyLinker();
  const version = /Candidate: (\S+)/.exec(answer('apt-cache', 'policy', 'rustc-web'))?.[1];
  if (!version || version === '(none)') throw new Unusable('apt knows no package rustc-web');
  const release = /^\d+\.\d+/.exec(version)?.[0];
  const depends = answer('apt-cache', 'depends', `libstd-rust-web-${release}`);
  const llvm = /libllvm\d+/.exec(depends)?.[0];
  if (!llvm) throw new Unusable(`libstd-rust-web-${release} does not say which LLVM it needs`);
  const packages = ['rustc-web', 'rust-web-src', `libstd-rust-web-${release}`, 'libstd-rust-web-dev', llvm];
  const folder = `${FOLDER}/debian-${version.replaceAll(/[^\w.]/g, '-')}`;
  if (!existsSync(`${folder}/ready`)) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(`${folder}/packages`, { recursive: true });
    await must(['apt-get', 'download', ...packages], {}, `${folder}/packages`);
    for (const file of readdirSync(`${folder}/packages`)) {
      await must(['dpkg-deb', '-x', `${folder}/packages/${file}`, folder]);
    }
    rmSync(`${folder}/packages`, { recursive: true });
    const place = `${folder}/usr/lib/rustlib/src`;
    mkdirSync(place, { recursive: true });
    const [unpacked] = readdirSync(`${folder}/usr/src`).filter((name) => name.startsWith('rustc-'));
    if (!unpacked) throw new Unusable('rust-web-src has no sources where they are expected');
    rmSync(`${place}/rust`, { recursive: true, force: true });
    symlinkSync(`${folder}/usr/src/${unpacked}`, `${place}/rust`);
    writeFileSync(`${folder}/ready`, '');
  }
  const libraries = readdirSync(`${folder}/usr/lib`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /-linux-gnu$/.test(entry.name))
    .map((entry) => `${folder}/usr/lib/${entry.name}`);
  const environment = {
    RUSTC: realpathSync(`${folder}/usr/bin/rustc`),
    RUSTC_BOOTSTRAP: '1',
    LD_LIBRARY_PATH: [...libraries, `${folder}/usr/lib`].join(':'),
  };
  return { command: cargoBuild('cargo'), name: 'debian', environment, linker };
}

/**
 * wasm-pack, with whatever compiler is the usual one, and its sources. Only its build is wanted. What it does behind that,
 * bindings, is for modules that say by wasm-bindgen what they export, and wasm-opt would take the fence away; so it may end
 * by saying that it finds no wasm-bindgen.
 *
 * @returns {Promise<Compiler>}
 */
async function wasmPack() {
  if (!answer('wasm-pack', '--version')) throw new Unusable('it is not installed (cargo install wasm-pack)');
  const linker = anyLinker();
  if (!existsSync(`${answer('rustc', '--print', 'sysroot')}/lib/rustlib/src/rust/library/Cargo.lock`)) {
    await must(['timeout', '180', 'rustup', 'component', 'add', 'rust-src']);
  }
  const plain = ['--mode', 'force', '--release', '--no-opt', '--no-pack', '--no-typescript', '--out-dir', 'out'];
  return {
    command: (folder, words) => ['wasm-pack', 'build', `${folder}/bindings/wasm`, ...plain, '--', ...words],
    name: 'wasm-pack',
    environment: { RUSTC_BOOTSTRAP: '1' },
    linker,
    // It asks cargo about this machine, too, which has another linker.
    flagged: 'CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS',
    demand: /Ensure that you have .*wasm-bindgen/s,
  };
}

const RECIPES = { 'rustup nightly': nightly, "Debian's rustc-web": debian, 'wasm-pack': wasmPack };

/**
 * Builds the modules into a folder; the recipe that worked, of those that are wanted.
 *
 * @param {string} folder @param {{ is_pausing?: boolean, names?: string[], by?: string | undefined }} [options]
 */
export async function buildWasm(folder, { is_pausing = false, names = Object.keys(MODULES), by } = {}) {
  const tried = [];
  const hash = sourcesHash();
  for (const [recipe, prepare] of Object.entries(RECIPES)) {
    if (by !== undefined && by !== recipe) continue;
    try {
      const compiler = await prepare();
      for (const name of names) {
        const module = await compile(compiler, ['--features', is_pausing ? `${name},pause_points` : name]);
        replace(`${folder}/${name}.wasm`, withSources(readFileSync(module), hash));
      }
      return recipe;
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      tried.push(`${recipe}: ${error.message}`);
    }
  }
  throw new Unusable(`No recipe works here. ${tried.join(' · ')}`);
}

/** @param {string[]} words */
async function main(words) {
  if (words.includes('--check')) {
    const flaws = Object.values(MODULES).flatMap((file) => staleness(file) ?? []);
    if (flaws.length > 0) process.exitCode = 1;
    process.stderr.write(`${(flaws.length > 0 ? flaws : ['the modules are of these sources']).join('\n')}\n`);
    return;
  }
  const into = words.indexOf('--into');
  const folder = into >= 0 ? resolve(words[into + 1] ?? '.') : dirname(MODULES.rings);
  mkdirSync(folder, { recursive: true });
  const by = words.includes('--by') ? words[words.indexOf('--by') + 1] : undefined;
  const recipe = await buildWasm(folder, { is_pausing: words.includes('--pause'), by });
  const sizes = Object.keys(MODULES).map((name) => `${name} ${readFileSync(`${folder}/${name}.wasm`).length} bytes`);
  process.stderr.write(`tailrace: ${sizes.join(', ')}, by ${recipe}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Unusable)) throw error;
    process.stderr.write(`tailrace: ${error.message}\n`);
    process.exitCode = 1;
  }
}
