/**
 * Artefact: the committed modules are of these sources, small, and without what they must not have; and where a compiler is
 * to be had, one that is built now exports the same and says the same over the vectors.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BYTES_MAX, buildWasm, MODULES, staleness } from '../../scripts/wasm.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Described {
  name: string;
  kind: string;
  module?: string;
}

interface Engine {
  Module: (new (
    bytes: Uint8Array,
  ) => object) & {
    exports(module: object): Described[];
    imports(module: object): Described[];
    customSections(module: object, name: string): ArrayBuffer[];
  };
}

const { Module } = (globalThis as unknown as { WebAssembly: Engine }).WebAssembly;

/** What some compilers export unasked. */
const UNASKED = ['global __data_end'];

function exportsOf(file: string): string[] {
  return Module.exports(new Module(readFileSync(file)))
    .map(({ name, kind }) => `${kind} ${name}`)
    .filter((line) => !UNASKED.includes(line))
    .sort();
}

function importsOf(file: string): string[] {
  return Module.imports(new Module(readFileSync(file)))
    .map(({ module, name, kind }) => `${module}.${name} ${kind}`)
    .sort();
}

/** Whether the fences are there behind which plain stores stand. */
function hasFences(file: string): boolean {
  return readFileSync(file).includes(Buffer.from([0xfe, 0x03, 0x00]));
}

const artefact = suite<{ folder: string }>('artefact');

artefact.before((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'tailrace-artefact-'));
});

artefact.after(({ folder }) => rmSync(folder, { recursive: true, force: true }));

artefact('is small, and of these sources', () => {
  for (const file of Object.values(MODULES)) {
    assert.is(staleness(file), undefined);
    assert.ok(readFileSync(file).length < BYTES_MAX);
  }
});

artefact('asks its host for a memory and two clocks, and nothing else', () => {
  assert.equal(importsOf(MODULES.rings), ['env.memory memory', 'env.monotonic function', 'env.now function']);
  assert.equal(importsOf(MODULES.books), ['env.memory memory']);
});

artefact('has the fences behind which plain stores stand', () => {
  // An optimizer that thinks them useless takes them away; see core/src/sync/plain.rs.
  assert.ok(hasFences(MODULES.rings));
});

artefact('is refused when it is of other sources, too large, or missing', ({ folder }) => {
  const file = join(folder, 'rings.wasm');
  assert.match(String(staleness(file)), /is missing/);
  const bytes = readFileSync(MODULES.rings);
  const [sources = new ArrayBuffer(0)] = Module.customSections(new Module(bytes), 'sources');
  assert.is(sources.byteLength, 64);
  const at = bytes.lastIndexOf(Buffer.from(sources));
  bytes[at] = bytes[at] === 0x30 ? 0x31 : 0x30;
  writeFileSync(file, bytes);
  assert.match(String(staleness(file)), /other sources than these: npm run build:wasm/);
  writeFileSync(file, Buffer.concat([bytes, Buffer.alloc(BYTES_MAX)]));
  assert.match(String(staleness(file)), /must stay below 65536/);
  copyFileSync(MODULES.rings, file);
  assert.is(staleness(file), undefined);
});

for (const by of [undefined, 'wasm-pack']) {
  artefact(`is what ${by ?? 'a compiler'} makes of the sources now`, async ({ folder }) => {
    try {
      await buildWasm(folder, { by });
    } catch (error) {
      console.log(`skip: ${error instanceof Error ? error.message : error}`);
      return;
    }
    for (const [name, file] of Object.entries(MODULES)) {
      assert.equal(exportsOf(join(folder, `${name}.wasm`)), exportsOf(file), name);
      assert.equal(importsOf(join(folder, `${name}.wasm`)), importsOf(file), name);
    }
    assert.ok(hasFences(join(folder, 'rings.wasm')));
    const words = ['--import', import.meta.resolve('tsx'), join(ROOT, 'test/wasm/vectors.ts')];
    const env = { ...process.env, TAILRACE_WASM: folder };
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { cwd: ROOT, encoding: 'utf8', env });
    assert.is(status, 0, `${stdout}${stderr}`);
  });
}

artefact.run();
