/**
 * The exchange from the command line: started, told by an operator, ended and replayed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { OrderEntry } from '../../sdk/exchange/client/index.ts';
import { type ExchangeConfig, tokenHash } from '../../sdk/exchange/config.ts';
import { command } from '../../sdk/exchange/operator.ts';
import { packaged } from '../built.ts';
import { freePort, freeUdpPort } from './place.ts';

const test = suite('exchange, command line');
const MAIN = packaged('sdk/command/main.ts');

/** A config in a folder of its own. */
async function place(): Promise<{ folder: string; file: string; config: ExchangeConfig }> {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-test-'));
  const at = async (port = freePort()) => `127.0.0.1:${await port}`;
  const config: ExchangeConfig = {
    region: join(folder, 'region'),
    data: 'data',
    book: { slot_count: 1_000, account_count: 4 },
    gateway: { listen: await at() },
    publisher: { feed: [await at(freeUdpPort())], requests: await at(freeUdpPort()) },
    snapshot: { listen: await at() },
    users: [{ user: 'alice', token_sha256: tokenHash('secret'), account: 1 }],
  };
  const file = join(folder, 'exchange.json');
  writeFileSync(file, JSON.stringify(config));
  return { folder, file, config };
}

interface Ended {
  code: number | null;
  output: string;
  complaints: string;
}

function start(...words: string[]): { child: ChildProcess; ended: Promise<Ended>; said: Ended } {
  const child = spawn(MAIN[0]!, [...MAIN.slice(1), ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said: Ended = { code: null, output: '', complaints: '' };
  child.stdout?.on('data', (piece) => {
    said.output += piece;
  });
  child.stderr?.on('data', (piece) => {
    said.complaints += piece;
  });
  const ended = once(child, 'close').then(([code]) => ({ ...said, code: code as number | null }));
  return { child, ended, said };
}

/** Runs a command to its end. */
function run(...words: string[]): Promise<Ended> {
  return start(...words).ended;
}

/** The next report of a session. */
async function nextReport(entry: OrderEntry): Promise<{ execType: number; reason: string }> {
  for await (const report of entry) return report;
  throw new Error('the session has ended');
}

test('an exchange is started, halted and resumed by its operator, ended, and replayed', async () => {
  const { folder, file, config } = await place();
  const running = start('exchange', '--config', file, '--interval', '0.1', '--json');
  while (!/"role":"shadow","state":"ready"/.test(running.said.output)) {
    assert.is(running.child.exitCode, null, running.said.output + running.said.complaints);
    await sleep(20);
  }
  const entry = await OrderEntry.connect({ gateway: config.gateway.listen, user: 'alice', token: 'secret' });
  const order = { side: 'buy', price: 100, quantity: 5 } as const;
  entry.newOrder(order);
  assert.is((await nextReport(entry)).reason, 'NONE');
  const halted = await run('exchange', 'halt', '--config', file);
  assert.equal([halted.code, halted.complaints], [0, '']);
  assert.ok(Number(halted.output) > 1, halted.output);
  entry.newOrder(order);
  assert.is((await nextReport(entry)).reason, 'HALTED');
  assert.is((await run('exchange', 'resume', '--config', file)).code, 0);
  assert.is((await run('exchange', 'kill', '1', '--config', file)).code, 0);
  entry.newOrder(order);
  assert.is((await nextReport(entry)).reason, 'KILLED');
  assert.is((await run('exchange', 'revive', '1', '--config', file)).code, 0);
  assert.is((await run('exchange', 'limits', '--quantity-max', '4', '--config', file)).code, 0);
  entry.newOrder(order);
  assert.is((await nextReport(entry)).reason, 'QUANTITY_MAX');
  assert.is((await run('exchange', 'cancel', '1', '--config', file)).code, 0);
  assert.is((await nextReport(entry)).reason, 'MASS_CANCEL');
  const foreign = await run('exchange', 'kill', '99', '--config', file);
  assert.is(foreign.code, 1);
  assert.match(foreign.complaints, /ERR_ARGUMENT: the exchange refused: /);
  await entry.close();
  running.child.kill('SIGTERM');
  const ended = await running.ended;
  assert.is(ended.code, 0, ended.complaints);
  const replayed = await run('replay', join(folder, 'data'), '--hash');
  assert.is(replayed.code, 0, replayed.complaints);
  const { sequence, orders, state_hash } = JSON.parse(replayed.output);
  assert.is(orders, 0);
  const early = JSON.parse((await run('replay', join(folder, 'data'), '--hash', '--until', '2')).output);
  assert.ok(early.sequence === 2 && early.orders === 1 && early.state_hash !== state_hash && sequence > 2);
  const lines = (await run('replay', join(folder, 'data'), '--csv')).output.trimEnd().split('\n');
  assert.match(lines[0]!, /^command,timestamp_ns,stream,/);
  assert.ok(lines.some((line) => line.includes(',rejected,')));
  rmSync(folder, { recursive: true });
});

test('what cannot be done is said in a sentence', async () => {
  const { folder, file } = await place();
  const mistakes: [words: string[], code: number, says: RegExp][] = [
    [['exchange'], 2, /--config is missing/],
    [['exchange', 'stop', '--config', file], 2, /there is no "exchange stop"; give halt, resume, kill/],
    [['exchange', 'kill', '--config', file], 2, /exchange kill needs an ACCOUNT/],
    [['exchange', 'halt', '3', '--config', file], 2, /"3" is too much/],
    [['exchange', 'halt', '--config', file], 1, /ERR_NOT_FOUND: no gateway is at work at .*control\.sock/],
    [['exchange', '--config', join(folder, 'none.json')], 1, /ERR_NOT_FOUND: /],
    [['replay', folder], 1, /ERR_NOT_FOUND/],
  ];
  for (const [words, code, says] of mistakes) {
    const ended = await run(...words);
    assert.is(ended.code, code, `${words.join(' ')}: ${ended.output}${ended.complaints}`);
    assert.match(ended.complaints, says);
  }
  rmSync(folder, { recursive: true });
});

test('the operator of an exchange that does not run', async () => {
  const { folder } = await place();
  let failure: unknown;
  await command(folder, { message: 'SetState', state: 1 }).catch((error) => {
    failure = error;
  });
  assert.is((failure as { code: string }).code, 'ERR_NOT_FOUND');
  rmSync(folder, { recursive: true });
});

test('an operator who is refused for want of room is told to come again', async () => {
  const { folder } = await place();
  const answer = { ok: false, code: 'ERR_BUSY', error: 'orders has no room, and 64 commands of operators wait' };
  const gateway = createServer((socket) => socket.on('data', () => socket.end(`${JSON.stringify(answer)}\n`)));
  gateway.listen(join(folder, 'control.sock'));
  await once(gateway, 'listening');
  let failure: unknown;
  await command(folder, { message: 'SetState', state: 1 }).catch((error) => {
    failure = error;
  });
  gateway.close();
  assert.is((failure as { code: string }).code, 'ERR_BUSY');
  assert.match((failure as Error).message, /orders has no room/);
  rmSync(folder, { recursive: true });
});

test.run();
