/**
 * The pipeline in one process, as people start it: worker threads over a shared WebAssembly memory.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ROOT } from '../crew/job.ts';

const test = suite('threads');

interface Ended {
  code: number | null;
  output: string;
  complaints: string;
}

async function start(...args: string[]): Promise<Ended> {
  const words = ['start', '--silent', '--', '--backend', ...args];
  const child = spawn('npm', words, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = { code: null, output: '', complaints: '' } as Ended;
  child.stdout.on('data', (piece) => {
    ended.output += piece;
  });
  child.stderr.on('data', (piece) => {
    ended.complaints += piece;
  });
  [ended.code] = (await once(child, 'close')) as [number | null];
  return ended;
}

function verdictOf({ code, output, complaints }: Ended): Record<string, unknown> {
  assert.is(code, 0, output + complaints);
  const verdict = JSON.parse(output.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>;
  assert.ok(verdict.ok && (verdict.written as number) > 0, output);
  assert.is(verdict.matched, verdict.written);
  assert.is(verdict.state_hash, verdict.expected_hash);
  return verdict;
}

for (const backend of ['wasm', 'native']) {
  test(`three seconds on the ${backend} backend`, async () => {
    const verdict = verdictOf(await start(backend, '--for', '3', '--rate', '5000', '--json'));
    assert.is(verdict.backend, backend);
  });
}

test('it says on the screen what it runs on, with a kernel over executions', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-test-'));
  const file = join(folder, 'all.ts');
  const source = `import { Executed } from 'tailrace/record';
export function filter(trade: Executed): bool { return trade.quantity > 0; }
`;
  writeFileSync(file, source);
  const { code, output, complaints } = await start('wasm', '--for', '3', '--rate', '5000', '--kernel', file);
  assert.is(code, 0, output + complaints);
  assert.match(output, /^tailrace threads: one process, four threads, on the wasm backend/);
  const [, trades, kept] = /day: ([\d,]+) trades, .*, ([\d,]+) kept by the kernel/.exec(output) ?? [];
  assert.ok(trades !== undefined && trades !== '0', output);
  assert.is(kept, trades);
  rmSync(folder, { recursive: true });
});

test('mistakes', async () => {
  const wrong = await start('gpu');
  assert.is(wrong.code, 2);
  assert.match(wrong.complaints, /^ERR_OPTION: --backend is "gpu"; give wasm or native/m);
  const help = await start('wasm', '--help');
  assert.is(help.code, 0);
  assert.match(help.output, /four worker threads over a region in a WebAssembly memory/);
});

test.run();
