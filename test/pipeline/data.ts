/** The folder of a run: what is kept in it, who may have it, and when it goes. */
import { appendFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isWritten } from '../../sdk/crew/leftovers.ts';
import { Log } from '../../sdk/index.ts';
import { Data } from '../../sdk/pipeline/data.ts';
import { type Options, parseOptions } from '../../sdk/pipeline/options.ts';

const test = suite('pipeline data');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-test-'));

function options(...words: string[]): Options {
  return parseOptions(words)!;
}

test('a run that is resumed has the options that it began with, and remembers its promises', () => {
  const dir = join(folder, 'run');
  const { data } = Data.open(options('--data', dir, '--seed', '9', '--records', '500', '--rate', '7'), 1);
  assert.equal(data.promised, []);
  data.acknowledge([[0, 41, 42, 900]]);
  data.acknowledge([]);
  data.acknowledge([
    [1, 60, 61, 5],
    [1, 70, 71, 5],
  ]);
  const again = Data.open(options('--data', dir, '--resume', '--rate', '8'), 1);
  assert.equal([again.options.seed, again.options.records, again.options.rate], [9, 500, 8]);
  assert.equal(again.data.promised, [
    [0, 41, 42],
    [1, 60, 61],
    [1, 70, 71],
  ]);
});

test('a line that a parent was killed over is cut off, and the next one stands by itself', () => {
  const dir = join(folder, 'run');
  appendFileSync(join(dir, 'acknowledged'), '1 80 8');
  const resumed = () => Data.open(options('--data', dir, '--resume'), 1).data;
  assert.is(resumed().promised.length, 3);
  resumed().acknowledge([[2, 90, 91, 1]]);
  assert.equal(resumed().promised.at(-1), [2, 90, 91]);
  assert.is(resumed().promised.length, 4);
});

test('a temporary folder goes, or is kept under another name; a named one stays', () => {
  process.env.TMPDIR = folder;
  const { data } = Data.open(options(), 12);
  assert.ok(existsSync(data.dir));
  data.folder.remove();
  assert.not.ok(existsSync(data.dir));
  const other = Data.open(options(), 12).data;
  const kept = other.folder.keep();
  assert.is(kept, `${other.dir}.kept`);
  assert.ok(existsSync(kept) && !existsSync(other.dir));
  delete process.env.TMPDIR;
  const named = Data.open(options('--data', join(folder, 'named')), 12).data;
  named.folder.remove();
  assert.is(named.folder.keep(), named.dir);
  assert.ok(existsSync(named.dir));
});

test('somebody who writes is waited for', async () => {
  const { data } = Data.open(options('--data', join(folder, 'busy')), 1);
  await data.free();
  const log = await Log.open(join(data.dir, 'orders'));
  assert.ok(await isWritten(join(data.dir, 'orders')));
  const freeing = data.free();
  setTimeout(() => log.close(), 100);
  await freeing;
  assert.not.ok(await isWritten(join(data.dir, 'orders')));
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
