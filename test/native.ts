import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Pair, scratch } from './scratch.ts';

const native = suite('native');
const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Runs a program that has imported the package as `tailrace`; what it printed. */
function run(code: string, environment: Record<string, string> = {}): string {
  const program = `const tailrace = await import(${JSON.stringify(`${ROOT}sdk/index.ts`)});\n${code}`;
  const words = ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', program];
  const env = { ...process.env, ...environment };
  const { stdout, stderr, status } = spawnSync(process.execPath, words, { cwd: ROOT, encoding: 'utf8', env });
  assert.is(status, 0, stderr);
  return stdout;
}

const REFUSED = `
  for (const call of [() => tailrace.Region.create('/dev/shm/x'), () => tailrace.Region.open('/dev/shm/x'),
    () => tailrace.Region.openOrCreate('/dev/shm/x'), () => tailrace.Region.remove('/dev/shm/x'), tailrace.now]) {
    try { call(); } catch (error) { console.log(error instanceof tailrace.TailraceError, error.code, error.message); }
  }`;

const ONLY_NATIVE = { TAILRACE_BACKEND: 'native' };

native('says what was tried when there is no library', () => {
  const lines = run(REFUSED, { TAILRACE_LIBRARY: '/no/such/library.so', ...ONLY_NATIVE })
    .trim()
    .split('\n');
  assert.is(lines.length, 5);
  for (const line of lines)
    assert.match(line, /^true ERR_UNSUPPORTED .*\/no\/such\/library\.so: there is no such file/);
});

native('says so when the file is no library, or not ours', () => {
  const text = scratch();
  writeFileSync(text, 'not a library');
  assert.match(run(REFUSED, { TAILRACE_LIBRARY: text }), /^true ERR_UNSUPPORTED/);
});

native('says that the platform is not supported', () => {
  const code = `Object.defineProperty(process, 'platform', { value: 'darwin' });${REFUSED}`;
  assert.match(run(code), /^true ERR_UNSUPPORTED .*this platform is darwin-/);
});

native('does not keep a process that has nothing to wait for', () => {
  const path = JSON.stringify(scratch());
  const output = run(`
    const region = tailrace.Region.create(${path});
    region.createChannel('c');
    const consumer = region.openConsumer('c');
    region.on('lost', () => {});
    await consumer.wait({ timeoutMs: 5 });
    consumer.poll();
    console.log('done');`);
  assert.is(output, 'done\n');
});

native('keeps a process while somebody waits', () => {
  const path = JSON.stringify(scratch());
  const output = run(`
    const region = tailrace.Region.create(${path});
    region.createChannel('c');
    const consumer = region.openConsumer('c');
    const producer = region.openProducer('c');
    setTimeout(() => producer.write(Buffer.from('late')), 50).unref();
    for await (const batch of consumer) { console.log(batch.at(0).text()); break; }`);
  assert.is(output, 'late\n');
});

native('closes what is open when the process exits, however it does', () => {
  using pair = new Pair();
  const path = JSON.stringify(pair.path);
  for (const end of [
    '',
    'process.exit(0)',
    'setTimeout(() => process.exit(0), 20); for await (const _ of consumer);',
  ]) {
    run(`const consumer = tailrace.Region.open(${path}).openConsumer('c', { label: 'other' }); ${end}`);
    assert.is(pair.region.stats().participants.length, 2, end);
  }
});

native.run();
