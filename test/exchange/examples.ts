/**
 * Examples: they run as they are printed, against an exchange.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { freeUdpPort, Place, until } from './place.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What the issue calls a client of twenty lines. */
const LINES_MAX = 20;

/** A running example, and what it has printed. */
class Example implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  out = '';
  errors = '';

  constructor(name: string, ...words: string[]) {
    const command = ['--import', 'tsx', `examples/${name}.ts`, ...words];
    this.process = spawn(process.execPath, command, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout?.on('data', (bytes: Buffer) => {
      this.out += bytes;
    });
    this.process.stderr?.on('data', (bytes: Buffer) => {
      this.errors += bytes;
    });
    this.ended = once(this.process, 'close');
  }

  /** Waits for its end, which must be a good one. */
  async ends(): Promise<void> {
    await until(() => this.process.exitCode !== null || this.process.signalCode !== null, 'the example ends');
    await this.ended;
    assert.equal([this.errors, this.process.exitCode], ['', 0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}

const test = suite('exchange: examples');

test('both run, and say what happens', async () => {
  const feed = `127.0.0.1:${await freeUdpPort()}`;
  await using place = await Place.start({ feed: [feed] });
  await using reader = new Example('market-data', feed, place.requests, place.snapshots);
  await until(() => reader.out.includes('0: bid nobody, ask nobody\n'), 'the reader has begun');
  await using trader = new Example('order-entry', place.gateway, 'alice', 'alice');
  await trader.ends();
  assert.is(trader.out, '1 was accepted: 10 at 99\n2 was cancelled: 20 at 100\n');
  await until(() => reader.out.includes('3: bid nobody, ask nobody\n'), 'the reader has seen it');
  for (const role of ['gateway', 'matcher', 'publisher'] as const) await place.end(role, 'over');
  await reader.ends();
  // What came together is told together: only the first and the last are always told by themselves.
  const states = [
    'bid nobody, ask nobody',
    'bid 10 at 99, ask nobody',
    'bid 20 at 100, ask nobody',
    'bid nobody, ask nobody',
  ];
  const told = [...states.map((state, number) => `${number}: ${state}`), 'the session is over, 0 orders are left'];
  const lines = reader.out.trimEnd().split('\n');
  assert.equal(
    lines,
    told.filter((line) => lines.includes(line)),
  );
  assert.is(lines.at(-1), told.at(-1));
});

test('they are short', () => {
  for (const name of ['market-data', 'order-entry']) {
    const text = readFileSync(`${ROOT}examples/${name}.ts`, 'utf8').replace(/^\/\*\*[\s\S]*?\*\/\n/, '');
    const lines = text.split('\n').filter((line) => line.trim() !== '').length;
    assert.ok(lines <= LINES_MAX, `${name} has ${lines} lines`);
  }
});

test.run();
