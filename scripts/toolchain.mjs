/**
 * Toolchain: what must be on the machine before anything can be built, and one sentence for each thing that is not.
 *
 * Only what a package registry cannot give is asked for: Node, Rust, a C linker, Python with its `venv`. Everything
 * else is installed by `build.mjs`, into this folder and nowhere else.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The repository. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/** The name of this platform in `native/`, as Node spells it. */
export const platform = `${process.platform}-${process.arch}`;

/** The Python of the virtual environment. */
export const python = `${root}.venv/bin/python`;

/** Something is not on this machine; the message is one sentence that says what, and how to get it. */
export class Missing extends Error {}

/** @param {string} program @param {string[]} words */
function answer(program, ...words) {
  try {
    return execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

/** @param {string} text @param {string} least */
function isAtLeast(text, least) {
  const seen = (/\d+(\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number);
  for (const [index, wanted] of least.split('.').map(Number).entries()) {
    const part = seen[index] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

/** @param {string} file @param {RegExp} pattern */
function stated(file, pattern) {
  const found = pattern.exec(readFileSync(`${root}${file}`, 'utf8'))?.[1];
  if (!found) throw new Error(`${file} does not state ${pattern}`);
  return found;
}

/** Node itself, as `package.json` asks for it. */
export function requireNode() {
  const least = stated('package.json', /"node": ">=([\d.]+)"/);
  if (!isAtLeast(process.versions.node, least)) {
    throw new Missing(`Node ${least} or newer is needed, and this is Node ${process.versions.node}.`);
  }
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    throw new Missing(`tailrace runs on Linux, x86-64 or arm64, and this is ${platform}.`);
  }
}

/** Cargo and a linker. */
export function requireRust() {
  const least = stated('Cargo.toml', /rust-version = "([\d.]+)"/);
  const seen = answer('cargo', '--version');
  if (!seen) throw new Missing(`cargo is missing: install Rust ${least} or newer (rustup's stable).`);
  if (!isAtLeast(seen, least))
    throw new Missing(`Rust ${least} or newer is needed (rustup update), and this is ${seen}.`);
  if (!answer('cc', '--version')) throw new Missing('cc is missing: install gcc, which Rust links with.');
}

/** Python with `venv`. Returns the command. */
export function requirePython() {
  const least = stated('python/pyproject.toml', /requires-python = ">=([\d.]+)"/);
  const seen = answer('python3', '--version');
  if (!seen) throw new Missing(`python3 is missing: install Python ${least} or newer.`);
  if (!isAtLeast(seen, least)) throw new Missing(`Python ${least} or newer is needed, and this is ${seen}.`);
  if (answer('python3', '-c', 'import venv, ensurepip') === undefined) {
    throw new Missing("Python's venv is missing: install it (python3-venv on Debian).");
  }
  return 'python3';
}

/** Whether rustup has this nightly component, which Miri and ThreadSanitizer need, or can fetch it. @param {string} component */
export function hasNightly(component) {
  const list = () => answer('rustup', 'component', 'list', '--toolchain', 'nightly', '--installed') ?? '';
  if (list().includes(component)) return true;
  answer('timeout', '180', 'rustup', 'component', 'add', component, '--toolchain', 'nightly');
  return list().includes(component);
}
