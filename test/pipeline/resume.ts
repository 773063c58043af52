/**
 * A run that was stopped, or killed, and is resumed ends with the same totals as one that nobody has disturbed.
 *
 * The flow is decided by its seed, the totals by the flow: how many records and trades, how many shares, a digest of all
 * records, the book at the end, and what the signals come to.
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Job, type Verdict } from './job.ts';

const test = suite('pipeline resume');
const RECORDS = '400000';
const RATE = ['--rate', '80000', '--json'];
const FLOW = ['--seed', '7', '--records', RECORDS];
const folder = mkdtempSync(join(tmpdir(), 'tailrace-test-'));
let undisturbed: Verdict['totals'];

/** What was acknowledged as being on disk so far. */
function acknowledged(data: string): number {
  const file = join(data, 'acknowledged');
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
}

/** Starts a run and waits until it is in the middle of things: there is a checkpoint, and more after it. */
async function begun(data: string, words: string[], before = 0): Promise<Job> {
  const job = new Job([...words, ...RATE, '--data', data]);
  await job.until(() => acknowledged(data) >= before + 3 && existsSync(join(data, 'checkpoints', 'data.mdb')));
  await sleep(500);
  return job;
}

/** Kills every process of a job, as a machine does that loses its power. */
function killAll(job: Job): void {
  job.child.kill('SIGKILL');
  for (const { pid } of job.processes()) process.kill(pid, 'SIGKILL');
}

/** Resumes, to the end; the totals must be those of the run that nobody has disturbed. */
async function resumed(data: string): Promise<Verdict> {
  const promised = acknowledged(data);
  const verdict = await new Job(['--resume', ...RATE, '--data', data]).proved();
  assert.equal(verdict.totals, undisturbed);
  assert.ok(verdict.resumed && verdict.written > 0 && verdict.written < Number(RECORDS), `${verdict.written} written`);
  assert.ok(promised > 0 && verdict.wal.acknowledged > promised, 'what the run before had promised is looked for, too');
  return verdict;
}

test('a run with an end, undisturbed', async () => {
  const verdict = await new Job([...FLOW, ...RATE, '--data', join(folder, 'whole')]).proved();
  assert.is(verdict.totals.records, Number(RECORDS));
  assert.not.ok(verdict.resumed);
  undisturbed = verdict.totals;
});

test('stopped with SIGTERM and resumed', async () => {
  const data = join(folder, 'stopped');
  const job = await begun(data, FLOW);
  job.child.kill('SIGTERM');
  const stopped = await job.proved();
  const { written } = await resumed(data);
  assert.is(stopped.written + written, Number(RECORDS), 'it goes on with exactly the next record');
});

test('its parent killed, and resumed at once', async () => {
  const data = join(folder, 'orphaned');
  const job = await begun(data, FLOW);
  job.child.kill('SIGKILL');
  await resumed(data);
  await job.buried();
});

test('all of it killed, resumed with chaos, killed again, and resumed', async () => {
  const data = join(folder, 'killed');
  const job = await begun(data, FLOW);
  killAll(job);
  await job.buried();
  const again = await begun(data, ['--resume', '--chaos'], acknowledged(data));
  killAll(again);
  await again.buried();
  await resumed(data);
});

test('resumed after its end, it has nothing to add', async () => {
  const verdict = await new Job(['--resume', ...RATE, '--data', join(folder, 'whole')]).proved();
  assert.equal(verdict.totals, undisturbed);
  assert.is(verdict.written, 0);
});

test('a promise that the log does not keep is found', async () => {
  const data = join(folder, 'whole');
  appendFileSync(join(data, 'acknowledged'), `0 ${RECORDS} ${Number(RECORDS) + 1}\n`);
  const job = new Job(['--resume', ...RATE, '--data', data]);
  assert.is(await job.end(), 1);
  const { ok, wal } = JSON.parse(job.output) as Verdict;
  assert.not.ok(ok);
  assert.is(wal.acknowledged, wal.found + 1);
});

test('other flow has other totals', async () => {
  const data = join(folder, 'other');
  const verdict = await new Job(['--seed', '8', '--records', '50000', ...RATE, '--data', data]).proved();
  assert.is.not(verdict.totals.digest, undisturbed.digest);
  assert.is.not(verdict.totals.book.hash, undisturbed.book.hash);
});

const MISTAKES: [args: string[], says: RegExp][] = [
  [['--data', join(folder, 'whole')], /ERR_OPTION: --data .* is not empty; --resume goes on/],
  [['--resume', '--data', join(folder, 'nothing')], /ERR_OPTION: there is no run to resume: .*run\.json/],
  [['--data', '/dev/null/run'], /ERR_OPTION: --data \/dev\/null\/run cannot be made/],
];

for (const [args, says] of MISTAKES) {
  test(`mistake: ${args.map((word) => word.replace(folder, '…')).join(' ')}`, async () => {
    const job = new Job(args);
    assert.is(await job.end(), 2);
    assert.match(job.complaints, says);
  });
}

test.after(() => rmSync(folder, { recursive: true }));
test.run();
