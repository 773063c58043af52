import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Paper } from '../sdk/command/paper.ts';
import { Log, Region } from '../sdk/index.ts';
import { eventually, scratch } from './scratch.ts';
import { complaint, lines, objects, objectsWhatever, Running, split } from './shell.ts';

const command = suite('command-record');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-command-record-'));
let places = 0;

/** A directory that nobody uses. */
const place = () => join(folder, String(places++));
const bytes = (text: string) => Buffer.from(text);

command.after(() => rmSync(folder, { recursive: true, force: true }));

/** A region with a recorded channel, and a place for its log. */
class Recorded implements Disposable {
  readonly region: Region;
  readonly log = place();

  constructor(capacity = 1_024) {
    this.region = Region.create(scratch());
    this.region.createChannel('c', { kind: 'stream', recorded: true, capacity });
  }

  get path(): string {
    return this.region.path;
  }

  /** Writes messages; how many there was room for. */
  write(count: number): number {
    using producer = this.region.openProducer('c');
    return producer.writeBatch(Array.from({ length: count }, (_, index) => bytes(`message ${index}`)));
  }

  record(...words: string[]): Running {
    return new Running(['record', this.path, 'c', '--dir', this.log, ...words]);
  }

  [Symbol.dispose](): void {
    this.region.close();
    Region.remove(this.region.path);
  }
}

command('record records until it is interrupted, and leaves a sealed log', async () => {
  using recorded = new Recorded();
  recorded.write(10);
  using running = recorded.record('--label', 'keeper', '--segment-bytes', '65536', '--retention-days', '30');
  await running.printed(/^c\t/m);
  recorded.write(5);
  assert.equal(
    recorded.region.stats().channels.map(({ recorder }) => recorder?.pid),
    [running.child.pid],
  );
  assert.ok(recorded.region.stats().participants.some(({ label }) => label === 'keeper'));
  assert.is(await running.ended('SIGINT'), 0, running.stderr);
  assert.is(running.stderr, '');
  const last = split(running.stdout).at(-1);
  assert.equal(last, ['c', '0', '0', '0', '15', '15', 'closed']);
  const stat = await Log.stat(recorded.log);
  assert.equal([stat.lastSequence, stat.durableSequence, stat.isWriterAlive], [15n, 15n, false]);
  assert.is((await Log.verify(recorded.log)).tornBytes, 0);
  assert.is(recorded.region.stats().participants.length, 0);
});

command('record prints objects, and goes on where it was', async () => {
  using recorded = new Recorded();
  for (const total of ['4', '8']) {
    recorded.write(4);
    using running = recorded.record('--json', '--compress');
    await running.printed(new RegExp(`"recordedSequence":"${total}"`));
    assert.is(await running.ended('SIGTERM'), 0, running.stderr);
    const rows = running.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
    for (const row of rows) assert.is(row.channel, 'c');
    const { state, durableSequence, lag } = rows.at(-1);
    assert.equal([state, durableSequence, lag], ['closed', total, 0]);
  }
});

command('record names who records already, and says what cannot be recorded', () => {
  using recorded = new Recorded();
  recorded.region.createChannel('plain', { kind: 'stream' });
  using recorder = recorded.region.record('c', { log: recorded.log });
  assert.match(
    complaint(1, 'record', recorded.path, 'c', '--dir', recorded.log),
    new RegExp(`ERR_BUSY: process ${process.pid} is the recorder`),
  );
  assert.is(recorder.status.state, 'ok');
  assert.match(complaint(1, 'record', recorded.path, 'plain', '--dir', place()), /ERR_UNSUPPORTED: /);
  assert.match(complaint(1, 'record', recorded.path, 'nobody', '--dir', place()), /ERR_NOT_FOUND: /);
  assert.match(complaint(1, 'record', `${recorded.path}-not`, 'c', '--dir', place()), /ERR_NOT_FOUND: /);
});

command('record refuses another log, unless it is told to begin anew', async () => {
  using recorded = new Recorded();
  await recorded.region.record('c', { log: recorded.log }).close();
  const words = ['record', recorded.path, 'c', '--dir', place()];
  assert.match(complaint(1, ...words), /ERR_EXISTS: .*rebase/);
  using running = new Running([...words, '--rebase']);
  await running.printed(/^c\t/m);
  assert.is(await running.ended('SIGINT'), 0, running.stderr);
});

command('record goes on when nobody reads what it prints', async () => {
  using recorded = new Recorded();
  using running = recorded.record();
  await running.printed(/^c\t/m);
  running.child.stdout?.destroy();
  // Three lines that nobody can read.
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  recorded.write(3);
  await eventually(() => recorded.region.channels()[0]?.recorder?.lag === 0);
  assert.is(await running.ended('SIGINT'), 0, running.stderr);
  assert.is((await Log.stat(recorded.log)).durableSequence, 3n);
});

command('record says that its region was removed', async () => {
  const recorded = new Recorded();
  using running = recorded.record();
  await running.printed(/^c\t/m);
  recorded[Symbol.dispose]();
  assert.is(await running.ended(), 1);
  assert.match(running.stderr, /^tailrace: ERR_GONE: /);
});

command('record outlives a full disk', async () => {
  using recorded = new Recorded();
  const disk = mkdtempSync('/dev/shm/tailrace-command-');
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk], { encoding: 'utf8' });
  if (mount.status !== 0) {
    rmdirSync(disk);
    console.log('skip: no file system of our own can be mounted here');
    return;
  }
  try {
    using running = new Running(['record', recorded.path, 'c', '--dir', join(disk, 'log'), '--segment-bytes', '65536']);
    await running.printed(/^c\t/m);
    const fill = setInterval(() => recorded.write(1_024), 50);
    try {
      await running.printed(/\tERR_DISK_FULL$/m);
      const finding = objectsWhatever('doctor', recorded.path).find(({ id }) => String(id).startsWith('recorder '));
      assert.is(finding?.verdict, 'fail');
      assert.match(String(finding?.seen), /^the disk is full; \d+ messages wait/);
      spawnSync('mount', ['-o', 'remount,size=64m', disk]);
      await running.printed(/\tERR_DISK_FULL\n(.*\n)*.*\tok$/m);
    } finally {
      clearInterval(fill);
    }
    assert.is(await running.ended('SIGINT'), 0, running.stderr);
    const { tornBytes, records, lastSequence } = await Log.verify(join(disk, 'log'));
    assert.equal([tornBytes, BigInt(records)], [0, lastSequence]);
  } finally {
    spawnSync('umount', ['-l', disk]);
    rmdirSync(disk);
  }
});

command('record ends when the disk fails, and says that nobody knows', async () => {
  if (spawnSync('strace', ['-V']).status !== 0) {
    console.log('skip: there is no strace to let a disk fail');
    return;
  }
  using recorded = new Recorded();
  const trace = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync'];
  const inject = ['-e', 'inject=fdatasync:error=EIO:when=20+'];
  using running = new Running(['record', recorded.path, 'c', '--dir', recorded.log], [...trace, ...inject]);
  await running.printed(/^c\t/m);
  const fill = setInterval(() => recorded.write(1), 2);
  try {
    assert.is(await running.ended(), 1, running.stdout);
  } finally {
    clearInterval(fill);
  }
  assert.match(running.stderr, /^tailrace: ERR_IO: the disk failed while "c" was recorded in .*Nobody knows/);
  assert.match(running.stdout, /\tERR_IO$/m);
});

command('doctor looks at recorders, at their logs, and at the disk', async () => {
  using recorded = new Recorded(16);
  const found = (prefix: string) =>
    objectsWhatever('doctor', recorded.path).find(({ id }) => String(id).startsWith(prefix));
  recorded.write(3);
  const nobody = found('recorder ');
  assert.equal([nobody?.verdict, nobody?.seen], ['warn', 'nobody records it; 3 messages wait to be recorded']);
  recorded.write(100);
  assert.is(found('recorder ')?.verdict, 'fail');
  {
    await using recorder = recorded.region.record('c', { log: recorded.log });
    await eventually(() => recorder.status.lag === 0);
    const alive = found('recorder ');
    assert.is(alive?.verdict, 'ok');
    assert.match(String(alive?.seen), new RegExp(`process ${process.pid}, 0 behind, on disk up to 16`));
    assert.match(String(found(`log ${recorded.log}`)?.seen), /sequences 1 to 16, its writer lives, .* free/);
    assert.match(String(found('disk')?.seen), recorded.log);
  }
  assert.match(String(found('log ')?.seen), /it has no writer/);
  const elsewhere = place();
  {
    await using _recorder = recorded.region.record('c', { log: elsewhere, rebase: true });
  }
  rmSync(elsewhere, { recursive: true });
  await (await Log.open(elsewhere)).close();
  assert.match(String(found('log ')?.seen), /it is not the log of "c"/);
  rmSync(elsewhere, { recursive: true });
  assert.is(found('log ')?.verdict, 'fail');
});

command('doctor measures the disk of a directory', () => {
  const disk = (...words: string[]) => objectsWhatever('doctor', ...words).find(({ id }) => id === 'disk');
  using recorded = new Recorded();
  const measured = disk(recorded.path, '--dir', folder);
  assert.match(String(measured?.seen), folder);
  assert.match(String(measured?.seen), /a write of 4 KiB with its fdatasync takes|is memory/);
  assert.match(String(disk(recorded.path, '--dir', '/dev/shm')?.seen), /is memory, not a disk/);
  assert.match(String(disk(recorded.path, '--dir', place())?.seen), /cannot be measured/);
  assert.match(String(disk(recorded.path)?.seen), tmpdir());
});

command('ls and top show recorders', async () => {
  using recorded = new Recorded();
  await using recorder = recorded.region.record('c', { log: recorded.log });
  recorded.write(7);
  await eventually(() => recorder.status.durableSequence === 7n);
  assert.equal(lines('ls', recorded.path)[0]?.slice(8), ['recorded', String(process.pid), '0', '7', '-']);
  const rows = lines('top', recorded.path, '--interval', '0.05');
  const row = rows.find(([kind]) => kind === 'recorder');
  assert.equal(row, ['recorder', 'c', String(process.pid), '0', '0', '7', '7', 'ok']);
  const table = objects('top', recorded.path, '--interval', '0.05').find(({ table }) => table === 'recorder');
  assert.equal([table?.channelName, table?.durableSequence, table?.error], ['c', 7, null]);
});

command('has one line that changes', () => {
  const printed: string[] = [];
  const stream = { isTTY: true, columns: 11, write: (text: string) => printed.push(text), on: () => {} };
  new Paper(stream as never, false).live('0123456789abc');
  assert.equal(printed, ['\r\u001B[K0123456789']);
});

command('record is killed by a second interrupt, when the disk hangs, and another goes on', async () => {
  if (spawnSync('strace', ['-V']).status !== 0) {
    console.log('skip: there is no strace to let a disk hang');
    return;
  }
  using recorded = new Recorded();
  const trace = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync'];
  const inject = ['-e', 'inject=fdatasync:delay_enter=4000000:when=20+'];
  const words = ['record', recorded.path, 'c', '--dir', recorded.log];
  using running = new Running(words, [...trace, ...inject]);
  await running.printed(/^c\t/m);
  const { recorder } = recorded.region.channels()[0]!;
  const fill = setInterval(() => recorded.write(1), 2);
  try {
    // Records are written, and nothing gets durable any more.
    await eventually(() => {
      const now = recorded.region.channels()[0]?.recorder;
      return (now?.recordedPosition ?? 0) > (now?.durableSequence ?? 0) + 50;
    });
  } finally {
    clearInterval(fill);
  }
  process.kill(recorder!.pid!, 'SIGINT');
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.is(running.child.exitCode, null);
  process.kill(recorder!.pid!, 'SIGINT');
  await running.ended();
  assert.is(running.child.signalCode, 'SIGKILL');
  const { lastSequence } = await Log.stat(recorded.log);
  using next = new Running(words);
  await next.printed(/^c\t/m);
  assert.is(await next.ended('SIGINT'), 0, next.stderr);
  const stat = await Log.stat(recorded.log);
  assert.is(stat.durableSequence, stat.lastSequence);
  assert.ok(stat.lastSequence >= lastSequence);
});

command('log stat tells where the groups are', async () => {
  using recorded = new Recorded();
  {
    using _recorder = recorded.region.record('c', { log: recorded.log });
    using consumer = recorded.region.openConsumer('c', { group: 'sinks', from: 'oldest' });
    recorded.write(10);
    let released = 0;
    await eventually(() => {
      released += consumer.take(4 - released).release();
      return released === 4;
    });
    assert.is(await consumer.commit(), 5n);
    const group = lines('top', recorded.path, '--interval', '0.05').find(([kind]) => kind === 'group');
    assert.equal(group, ['group', 'c', 'sinks', '1', '5', '5', '6', '0']);
  }
  const group = lines('log', 'stat', recorded.log).find(([kind]) => kind === 'group');
  assert.equal([group?.[1], group?.[2], group?.[4]], ['sinks', '5', '6']);
});

command.run();
