/** A report reaches a parent that has no time to listen for a while, whole. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Lines } from '../../sdk/crew/report.ts';

const test = suite('pipeline report');
const MODULE = new URL('../../sdk/crew/report.ts', import.meta.url).href;
const REPORTS = 2_000;

/** Its standard output is one that does not wait, as a loader may make it. */
const PROGRAM = `
  process.stdout._handle?.setBlocking?.(false);
  const { report } = await import('${MODULE}');
  for (let cursor = 0; cursor < ${REPORTS}; cursor++) report({ report: 'ready', cursor, padding: 'x'.repeat(1_000) });
`;

test('a parent that is busy gets every line', async () => {
  const words = ['--import', 'tsx', '--input-type=module', '-e', PROGRAM];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  await sleep(1_500);
  const lines = new Lines();
  const cursors: number[] = [];
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (piece: string) => {
    for (const line of lines.push(piece)) cursors.push((JSON.parse(line) as { cursor: number }).cursor);
  });
  const [code] = await once(child, 'close');
  assert.is(code, 0);
  assert.equal(
    cursors,
    Array.from({ length: REPORTS }, (_, cursor) => cursor),
  );
});

test.run();
