import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bool, f64, struct, text, u32 } from '../../sdk/index.ts';
import { packaged } from '../built.ts';
import { Pair } from '../scratch.ts';

const command = suite<{ folder: string; kernel: string }>('kernel command');
const WORDS = [...packaged('sdk/command/main.ts').slice(1), 'kernel'];
const Trade = struct({ price: f64, quantity: u32, isBuy: bool, symbol: text(8) }, 'Trade');

function run(...words: string[]): { stdout: string; stderr: string; status: number | null } {
  return spawnSync(process.execPath, [...WORDS, ...words], { encoding: 'utf8', timeout: 120_000 });
}

/** What a command printed that ended well. */
function printed(...words: string[]): string[] {
  const { stdout, stderr, status } = run(...words);
  assert.is(status, 0, stderr);
  return stdout.split('\n').filter(Boolean);
}

function trades(...prices: number[]): Uint8Array[] {
  return prices.map((price) => Trade.encode({ price, quantity: 200, isBuy: true, symbol: 'ABC' }));
}

command.before((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'tailrace-kernel-'));
  context.kernel = join(context.folder, 'large');
  printed('new', context.kernel);
  const built = printed('build', context.kernel, '--json');
  assert.equal(
    { ...JSON.parse(built[0]!), bytes: 0 },
    {
      file: join(context.kernel, 'kernel.wasm'),
      name: 'large',
      kind: 'filter',
      record: 'Trade',
      bytes: 0,
    },
  );
});

command.after(({ folder }) => rmSync(folder, { recursive: true, force: true }));

command('new writes nothing over anything', ({ kernel }) => {
  const { status, stderr } = run('new', kernel);
  assert.is(status, 1);
  assert.match(stderr, /^tailrace: ERR_EXISTS: .*kernel\.ts is there already/);
});

command('each new kernel passes its own test', ({ folder }) => {
  for (const kind of ['map', 'aggregate']) {
    printed('new', join(folder, kind), '--kind', kind);
    const [told] = printed('test', join(folder, kind), '--json');
    assert.is(JSON.parse(told!).failed, 0);
  }
});

command('build tells an editor what a record is', ({ kernel }) => {
  const declared = readFileSync(join(kernel, 'record.d.ts'), 'utf8');
  assert.match(declared, /declare module 'tailrace\/record'/);
  assert.match(declared, /class Trade \{[^}]*price: f64;[^}]*quantity: u32;/);
});

command('test runs a built kernel over vectors, and says what is wrong', ({ kernel, folder }) => {
  const built = join(kernel, 'kernel.wasm');
  assert.match(printed('test', built).at(-1)!, /^3 records, 2 kept, 0 wrong/);
  const vectors = JSON.parse(readFileSync(join(kernel, 'vectors.json'), 'utf8'));
  const wrong = join(folder, 'wrong.json');
  writeFileSync(wrong, JSON.stringify({ ...vectors, kept: [0, 1] }));
  const { status, stdout } = run('test', built, '--vectors', wrong);
  assert.is(status, 1);
  assert.match(stdout, /filter 1: \{"price":99\.25,.*\} was expected, and \{"price":250,.*\} came/);
  assert.match(stdout, /1 wrong/);
});

command('says where a source is wrong', ({ folder }) => {
  const kernel = join(folder, 'wrong');
  printed('new', kernel);
  const source = join(kernel, 'kernel.ts');
  writeFileSync(source, readFileSync(source, 'utf8').replace('trade.price', 'trade.prize'));
  const { status, stderr } = run('build', kernel);
  assert.is(status, 1);
  assert.match(stderr, `${source}:5:16: Property 'prize' does not exist`);
});

command('run prints what a kernel keeps', ({ kernel }) => {
  using pair = new Pair({ kind: 'stream' });
  pair.producer.writeBatch(trades(10, 100, 20, 300, 400));
  const lines = printed(
    'run',
    pair.path,
    'c',
    kernel.concat('/kernel.wasm'),
    '--from',
    'oldest',
    '--count',
    '2',
    '--json',
  );
  assert.equal(
    lines.map((line) => JSON.parse(line)),
    [
      { sequence: '2', price: 100, quantity: 200, isBuy: true, symbol: 'ABC' },
      { sequence: '4', price: 300, quantity: 200, isBuy: true, symbol: 'ABC' },
    ],
  );
});

command('run writes to another channel, and says what it has done', ({ kernel }) => {
  using pair = new Pair();
  pair.region.createChannel('kept', { kind: 'stream' });
  using kept = pair.region.openConsumer('kept');
  pair.producer.writeBatch(trades(10, 100, 20, 300, 400));
  const built = kernel.concat('/kernel.wasm');
  assert.match(run('run', pair.path, 'c', built).stderr, /"c" is a queue/);
  const words = ['run', pair.path, 'c', built, '--take', '--into', 'kept', '--type', '0', '--count', '2', '--json'];
  const [told] = printed(...words);
  const { records, kept: count, traps } = JSON.parse(told!);
  assert.equal({ records, count, traps }, { records: 4, count: 2, traps: 0 });
  assert.equal(
    [...kept.poll()].map(({ payload }) => Trade.read(payload).price),
    [100, 300],
  );
  // What came behind the last one is for others.
  assert.equal(
    [...pair.consumer.poll()].map(({ payload }) => Trade.read(payload).price),
    [400],
  );
});

command('run ends with the kernel, and leaves the batch to others', async ({ folder }) => {
  const kernel = join(folder, 'endless');
  printed('new', kernel);
  const source = join(kernel, 'kernel.ts');
  const body = 'while (trade.price > 250) store<u32>(64, 1);\n  return trade';
  writeFileSync(source, readFileSync(source, 'utf8').replace('return trade', body));
  using pair = new Pair();
  pair.producer.writeBatch(trades(10, 100, 300, 20));
  const { status, stderr } = run('run', pair.path, 'c', kernel, '--take', '--budget', '1000');
  assert.is(status, 1);
  assert.match(
    stderr,
    /ERR_TIMED_OUT: the kernel "endless" was ended at record 2 of the batch, sequence 3: .* 1000 turns/,
  );
  assert.ok(await pair.consumer.wait({ timeoutMs: 20_000 }));
  const again = pair.consumer.poll();
  assert.is(again.length, 4);
  assert.ok(again.at(0)?.redelivered);
});

command('says what it did not understand', () => {
  for (const words of [
    [],
    ['bogus'],
    ['run', 'a'],
    ['new', 'a', '--kind', 'x'],
    ['run', 'a', 'b', 'c', '--from', 'x'],
  ]) {
    const { status, stderr } = run(...words);
    assert.is(status, 2, words.join(' '));
    assert.match(stderr, /^tailrace: .+\n$/);
  }
});

command.run();
