/**
 * Backend: which of the two a thread gets, and what it says when one of them is broken.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { candidates } from '../../sdk/load.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SDK = JSON.stringify(new URL('../../sdk/index.ts', import.meta.url).href);
const MODULES = join(ROOT, 'bindings/wasm');
const USED = `
  const region = tailrace.Region.memory({ limitBytes: 1 << 20 });
  region.createChannel('c', { capacity: 8 });
  const producer = region.openProducer('c');
  const consumer = region.openConsumer('c');
  producer.write(Buffer.from('works'));
  console.log(JSON.stringify({ ...tailrace.backend(), text: consumer.poll().at(0).text(), now: tailrace.now() > 0n }));`;
const TOLD = `try { ${USED} } catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message })); }`;

interface Answer {
  name: string;
  tried: string[];
  text: string;
  now: boolean;
  code: string;
  message: string;
}

/** Runs a program that has imported the package; what it printed. */
function run(program: string, environment: Record<string, string>): Answer {
  const code = `const tailrace = await import(${SDK});\n${program}`;
  const words = ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', code];
  const { TAILRACE_BACKEND: _, TAILRACE_WASM: __, TAILRACE_LIBRARY: ___, ...rest } = process.env;
  const env = { ...rest, ...environment };
  const { stdout, stderr, status } = spawnSync(process.execPath, words, {
    cwd: ROOT,
    encoding: 'utf8',
    env,
    timeout: 60_000,
  });
  assert.is(status, 0, stderr);
  return JSON.parse(stdout);
}

const library = (): string => {
  const told = process.env.TAILRACE_LIBRARY;
  return told ?? candidates().find((file) => file.endsWith('.node') || file.endsWith('.so')) ?? '';
};

/** An addon for another processor: ours, with another number where ELF says the machine. */
function ofAnotherMachine(folder: string): string {
  const file = join(folder, 'tailrace.node');
  const bytes = readFileSync(library());
  bytes.writeUInt16LE(process.arch === 'x64' ? 0xb7 : 0x3e, 18);
  writeFileSync(file, bytes);
  return file;
}

const backend = suite<{ folder: string }>('backend');

backend.before((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'tailrace-backend-'));
});

backend.after(({ folder }) => rmSync(folder, { recursive: true, force: true }));

backend('takes the native library where it can', () => {
  const { name, text } = run(TOLD, { TAILRACE_LIBRARY: library() });
  assert.equal([name, text], ['native', 'works']);
});

backend('takes WebAssembly when it is told to', () => {
  const { name, text, tried, now } = run(TOLD, { TAILRACE_BACKEND: 'wasm', TAILRACE_LIBRARY: library() });
  assert.equal([name, text, tried, now], ['wasm', 'works', ['TAILRACE_BACKEND is wasm'], true]);
});

backend('falls back when the library was deleted', ({ folder }) => {
  const file = join(folder, 'deleted.node');
  const { name, text, tried } = run(TOLD, { TAILRACE_LIBRARY: file });
  assert.equal([name, text, tried], ['wasm', 'works', [`${file}: there is no such file`]]);
});

backend('falls back when the library is for another processor', ({ folder }) => {
  const file = ofAnotherMachine(folder);
  const { name, text, tried } = run(TOLD, { TAILRACE_LIBRARY: file });
  assert.equal([name, text, tried.length], ['wasm', 'works', 1]);
  assert.ok(tried[0]?.startsWith(`${file}: `), tried[0]);
});

backend('fails with every attempt when only the library may be taken', ({ folder }) => {
  const { code, message } = run(TOLD, { TAILRACE_BACKEND: 'native', TAILRACE_LIBRARY: ofAnotherMachine(folder) });
  assert.is(code, 'ERR_UNSUPPORTED');
  assert.match(message, /tailrace\.node: .* · TAILRACE_BACKEND is native/);
});

backend('fails with every attempt when there is neither', ({ folder }) => {
  const given = { TAILRACE_LIBRARY: join(folder, 'deleted.node'), TAILRACE_WASM: join(folder, 'nowhere') };
  const { code, message } = run(TOLD, given);
  assert.is(code, 'ERR_UNSUPPORTED');
  assert.match(message, /deleted\.node: there is no such file · .*nowhere: there is no such file/);
});

backend('says so when a module is broken', ({ folder }) => {
  const modules = join(folder, 'broken');
  mkdirSync(modules, { recursive: true });
  copyFileSync(join(MODULES, 'books.wasm'), join(modules, 'books.wasm'));
  writeFileSync(join(modules, 'rings.wasm'), readFileSync(join(MODULES, 'rings.wasm')).subarray(0, 1_000));
  const { code, message } = run(TOLD, { TAILRACE_BACKEND: 'wasm', TAILRACE_WASM: modules });
  assert.is(code, 'ERR_UNSUPPORTED');
  assert.match(message, /broken: .*WebAssembly\.Module/);
});

backend('refuses a name that is none', () => {
  const { code, message } = run(TOLD, { TAILRACE_BACKEND: 'asm' });
  assert.is(code, 'ERR_ARGUMENT');
  assert.match(message, /TAILRACE_BACKEND is asm; give 'native' or 'wasm'/);
});

backend('says why there are no files in WebAssembly', ({ folder }) => {
  const program = `
    const codes = [];
    for (const call of [() => tailrace.Region.create('/dev/shm/x'), () => tailrace.Region.open('/dev/shm/x'),
      () => tailrace.Region.openOrCreate('/dev/shm/x'), () => tailrace.Region.remove('/dev/shm/x')]) {
      try { call(); } catch (error) { codes.push([error.code, error.message]); }
    }
    console.log(JSON.stringify(codes));`;
  const codes = run(program, { TAILRACE_LIBRARY: join(folder, 'deleted.node') }) as unknown as [string, string][];
  assert.is(codes.length, 4);
  for (const [code, message] of codes) {
    assert.is(code, 'ERR_UNSUPPORTED');
    assert.match(message, /a region in a file needs the native library, .*deleted\.node: there is no such file/);
  }
});

backend('keeps a process while somebody waits, and no longer', () => {
  const waiting = `
    const region = tailrace.Region.memory({ limitBytes: 1 << 20 });
    region.createChannel('c', { capacity: 8 });
    const consumer = region.openConsumer('c');
    const producer = region.openProducer('c');
    setTimeout(() => producer.write(Buffer.from('late')), 50).unref();
    for await (const batch of consumer) { console.log(JSON.stringify(batch.at(0).text())); break; }
    region.on('lost', () => {});`;
  assert.is(run(waiting, { TAILRACE_BACKEND: 'wasm' }), 'late' as unknown as Answer);
});

backend.run();
