/**
 * Packaging: what people install, and the first thing they try.
 *
 * `npm pack` and `pip wheel` make the packages, each with the native library of this platform inside. Both are installed
 * into an empty folder, without scripts and without a network, and the examples of the README run from there as they are
 * printed. Numpy is lent by the repository's environment.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PYTHON = join(ROOT, '.venv/bin/python');
const ADDON = `native/${process.platform}-${process.arch}/tailrace.node`;
const LIBRARY = 'libtailrace_native.so';
const MODULES = ['native/wasm/rings.wasm', 'native/wasm/books.wasm'];

interface Stage {
  /** Holds both packages and everything made from them. */
  folder: string;
  /** The empty folder into which they are installed. */
  home: string;
}

const packaging = suite<Stage>('packaging');

/** Runs a command to its good end; its output is the failure otherwise. */
function run(folder: string, program: string, ...words: string[]): { stdout: string; stderr: string } {
  const { stdout, stderr, status, signal, error } = spawnSync(program, words, { cwd: folder, encoding: 'utf8' });
  if (error) throw error;
  const end = `${program} ${words.join(' ')} ended with ${signal ?? status}`;
  assert.is(status, 0, `${end}\n${stdout}\n${stderr}`);
  return { stdout, stderr };
}

/** The only file in the folder with this ending. */
function onlyFile(folder: string, ending: string): string {
  const found = readdirSync(folder).filter((file) => file.endsWith(ending));
  assert.is(found.length, 1, `${found.length} files end with ${ending}`);
  return join(folder, found[0] ?? '');
}

/** The README's first block in this language below a heading with the word "Example". */
function example(language: string): string {
  const [, section = ''] = readFileSync(join(ROOT, 'README.md'), 'utf8').split(/^#+ .*\bexample\b.*$/im);
  const [, code] = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(section) ?? [];
  assert.ok(code, `README.md has no example in ${language}`);
  return code;
}

/** Runs `work`, then removes the regions that `code` names and that were not there before. */
function withoutTrace(code: string, work: () => void): void {
  const regions = [...code.matchAll(/\/dev\/shm\/[\w.-]+/g)].map(([path]) => path).filter((path) => !existsSync(path));
  try {
    work();
  } finally {
    for (const path of regions) rmSync(path, { force: true });
  }
}

packaging.before((stage) => {
  stage.folder = mkdtempSync(join(tmpdir(), 'tailrace-packaging-'));
  stage.home = join(stage.folder, 'home');
  mkdirSync(stage.home);
});

packaging.after((stage) => rmSync(stage.folder, { recursive: true, force: true }));

packaging('npm pack holds the library and asks for no scripts', ({ folder }) => {
  run(ROOT, 'npm', 'pack', '--pack-destination', folder);
  const files = run(folder, 'tar', '-tf', onlyFile(folder, '.tgz')).stdout.trim().split('\n');
  for (const file of ['dist/index.js', 'dist/index.d.ts', ADDON, ...MODULES, 'README.md', 'LICENSE', 'package.json']) {
    assert.ok(files.includes(`package/${file}`), `${file} is not in the package`);
  }
  const strangers = files.filter((file) => !/^package\/(dist|native|[A-Z]+(\.md)?$|package\.json$)/.test(file));
  assert.equal(strangers, []);
  const { scripts, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  assert.equal(
    ['preinstall', 'install', 'postinstall', 'prepare'].filter((name) => name in scripts),
    [],
  );
  assert.is(dependencies, undefined);
});

packaging('it installs into an empty folder', ({ folder, home }) => {
  writeFileSync(join(home, 'package.json'), '{ "private": true, "type": "module" }\n');
  run(home, 'npm', 'install', '--ignore-scripts', '--offline', '--no-audit', '--no-fund', onlyFile(folder, '.tgz'));
  assert.ok(existsSync(join(home, 'node_modules/tailrace', ADDON)));
});

packaging('the TypeScript example compiles and runs from there', ({ home }) => {
  const code = example('ts');
  writeFileSync(join(home, 'example.ts'), code);
  const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
  const language = ['--strict', '--noEmit', '--target', 'es2023', '--lib', 'es2024,esnext.disposable'];
  const compiler = join(ROOT, 'node_modules/.bin/tsc');
  run(home, compiler, ...language, '--module', 'nodenext', ...types, 'example.ts');
  withoutTrace(code, () => {
    const { stdout, stderr } = run(home, process.execPath, '--import', import.meta.resolve('tsx'), 'example.ts');
    assert.is(stderr, '');
    assert.is.not(stdout, '');
  });
});

packaging("the exchange's clients compile from there, and need no native library", ({ home }) => {
  const examples = ['market-data.ts', 'order-entry.ts'];
  for (const example of examples) cpSync(join(ROOT, 'examples', example), join(home, example));
  const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
  const language = ['--strict', '--noEmit', '--target', 'es2023', '--lib', 'es2024,esnext.disposable'];
  run(home, join(ROOT, 'node_modules/.bin/tsc'), ...language, '--module', 'nodenext', ...types, ...examples);
  const code = `
    import { MarketBook, OrderEntry } from 'tailrace/exchange';
    const report = process.report.getReport();
    console.log(new MarketBook().orderCount, typeof OrderEntry, report.sharedObjects.some((file) => /tailrace/.test(file)));
  `;
  writeFileSync(join(home, 'clients.mjs'), code);
  assert.is(run(home, process.execPath, 'clients.mjs').stdout, '0 function false\n');
});

packaging('require and import give one and the same package', ({ home }) => {
  const code = `
    const required = require('tailrace');
    import('tailrace').then((imported) => console.log(required.Region === imported.Region, typeof required.Region));
  `;
  writeFileSync(join(home, 'example.cjs'), code);
  const { stdout, stderr } = run(home, process.execPath, 'example.cjs');
  assert.is(stderr, '');
  assert.is(stdout, 'true function\n');
});

packaging('the command line answers from there', ({ home }) => {
  assert.match(run(home, join(home, 'node_modules/.bin/tailrace'), '--help').stdout, /\bunblock\b/);
});

packaging('pip wheel holds the library and names its platform', ({ folder }) => {
  const options = ['--quiet', '--no-build-isolation', '--no-deps', '--wheel-dir', folder];
  run(ROOT, PYTHON, '-m', 'pip', 'wheel', ...options, join(ROOT, 'python'));
  const wheel = onlyFile(folder, '.whl');
  assert.match(wheel, /-py3-none-linux_\w+\.whl$/);
  const files = run(folder, PYTHON, '-m', 'zipfile', '--list', wheel).stdout;
  for (const file of [`tailrace/${LIBRARY}`, 'tailrace/__init__.py', 'tailrace/py.typed']) {
    assert.ok(files.includes(file), `${file} is not in the wheel`);
  }
});

packaging('the Python example runs from an environment of its own', ({ folder, home }) => {
  const environment = join(home, 'environment');
  const python = join(environment, 'bin/python');
  run(home, PYTHON, '-m', 'venv', '--without-pip', environment);
  const where = (interpreter: string): string =>
    execFileSync(interpreter, ['-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'], { encoding: 'utf8' });
  writeFileSync(join(where(python).trim(), 'numpy.pth'), where(PYTHON));
  const install = ['install', '--quiet', '--no-index', '--no-deps', onlyFile(folder, '.whl')];
  run(home, PYTHON, '-m', 'pip', '--python', python, ...install);
  const library = run(home, python, '-c', 'import tailrace; print(tailrace.__file__)').stdout.trim();
  assert.ok(library.startsWith(environment), library);
  const code = example('python');
  writeFileSync(join(home, 'example.py'), code);
  withoutTrace(code, () => {
    const { stdout, stderr } = run(home, python, '-W', 'error', 'example.py');
    assert.is(stderr, '');
    assert.is.not(stdout, '');
  });
  assert.match(run(home, python, '-m', 'tailrace', '--help').stdout, /\btop\b/);
});

packaging.run();
