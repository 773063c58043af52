import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Checkpoints, Log, Region } from '../../sdk/index.ts';
import { failureOf, scratch } from '../scratch.ts';

const test = suite('checkpoints');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-checkpoints-'));
let places = 0;

/** A directory that nobody uses. */
const place = () => join(folder, String(places++));
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (state: Uint8Array | undefined) => new TextDecoder().decode(state);

test.after(() => rmSync(folder, { recursive: true, force: true }));

test('what was stored is there after the directory was opened anew', async () => {
  const directory = place();
  {
    await using checkpoints = await Checkpoints.open(directory);
    assert.is(checkpoints.newest('book'), undefined);
    const cursors = { orders: 2n ** 63n, 'a channel: €': 7n };
    assert.is(await checkpoints.checkpoint('book', bytes('one'), { sequence: 2n ** 63n + 1n, cursors }), 1);
  }
  await using checkpoints = await Checkpoints.open(directory);
  const found = checkpoints.newest('book');
  assert.is(text(found?.state), 'one');
  assert.is(found?.sequence, 2n ** 63n + 1n);
  assert.equal(found?.cursors, { orders: 2n ** 63n, 'a channel: €': 7n });
  assert.is(checkpoints.newest('another'), undefined);
});

test('two are kept of each state', async () => {
  await using checkpoints = await Checkpoints.open(place());
  for (let id = 1; id <= 5; id += 1) {
    for (const state of ['a', 'b']) {
      assert.is(await checkpoints.checkpoint(state, bytes(`${state}${id}`), { sequence: BigInt(id) }), id);
    }
  }
  assert.is(text(checkpoints.newest('a')?.state), 'a5');
  assert.is(text(checkpoints.newest('b', 4)?.state), 'b4');
  const error = await failureOf(() => checkpoints.newest('a', 3));
  assert.is(error.code, 'ERR_NOT_FOUND');
  assert.match(error.message, 'kept are 5 and 4');
  assert.is(checkpoints.oldestSequence, 4n);
});

test('one that rots is passed over, and said so; when all rot, that is an error', async () => {
  const directory = place();
  const marks = ['the first state', 'the second state'];
  {
    await using checkpoints = await Checkpoints.open(directory);
    for (const [index, mark] of marks.entries()) {
      await checkpoints.checkpoint('book', bytes(mark), { sequence: BigInt(index) });
    }
  }
  rot(directory, marks[1]!);
  {
    await using checkpoints = await Checkpoints.open(directory);
    const found = checkpoints.newest('book');
    assert.is(text(found?.state), marks[0]);
    assert.equal([found?.checkpointId, found?.rotten], [1, [2]]);
    assert.is((await failureOf(() => checkpoints.newest('book', 2))).code, 'ERR_CORRUPT');
  }
  rot(directory, marks[0]!);
  await using checkpoints = await Checkpoints.open(directory);
  assert.is((await failureOf(() => checkpoints.newest('book'))).code, 'ERR_CORRUPT');
});

/** Flips a bit of what was stored, wherever it lies in the file. */
function rot(directory: string, mark: string): void {
  const file = join(directory, 'data.mdb');
  const content = readFileSync(file);
  let found = 0;
  for (let at = content.indexOf(mark); at >= 0; at = content.indexOf(mark, at + 1)) {
    content[at]! ^= 1;
    found += 1;
  }
  if (found === 0) throw new Error(`${mark} is not in ${file}`);
  writeFileSync(file, content);
}

test('a file that another LMDB wrote is refused before LMDB sees it', async () => {
  const directory = place();
  {
    await using checkpoints = await Checkpoints.open(directory);
    await checkpoints.checkpoint('book', bytes('state'), { sequence: 1n });
  }
  const file = join(directory, 'data.mdb');
  const whole = readFileSync(file);
  const version1 = Buffer.from(whole);
  version1.writeUInt32LE(1, 28);
  // The usual LMDB has a page header of 16 bytes.
  const usual = Buffer.concat([whole.subarray(8, 4096), Buffer.alloc(8), whole.subarray(4096)]);
  for (const foreign of [version1, usual, Buffer.from('no database at all'), Buffer.alloc(16_384)]) {
    writeFileSync(file, foreign);
    assert.is((await failureOf(() => Checkpoints.open(directory))).code, 'ERR_FOREIGN');
  }
  writeFileSync(file, whole);
  truncateSync(file, whole.length - 4096);
  assert.is((await failureOf(() => Checkpoints.open(directory))).code, 'ERR_CORRUPT');
  truncateSync(file, 4096);
  assert.is((await failureOf(() => Checkpoints.open(directory))).code, 'ERR_CORRUPT');
});

test('a process killed between two checkpoints leaves the one that was acknowledged', async () => {
  const directory = place();
  const script = join(folder, 'killed.mts');
  const sdk = new URL('../../sdk/index.ts', import.meta.url).href;
  writeFileSync(
    script,
    `import { Checkpoints } from ${JSON.stringify(sdk)};
     const checkpoints = await Checkpoints.open(${JSON.stringify(directory)});
     for (let id = 1; ; id += 1) {
       await checkpoints.checkpoint('book', new Uint8Array(50_000).fill(id), { sequence: BigInt(id) });
       process.stdout.write(id + '\\n');
       if (id === 20) process.kill(process.pid, 'SIGKILL');
     }`,
  );
  const said = await failureOf(() => execFileSync(process.execPath, ['--import', 'tsx', script], { stdio: 'pipe' }));
  assert.match(String((said as { stdout?: Buffer }).stdout), '20');
  await using checkpoints = await Checkpoints.open(directory);
  assert.is(checkpoints.newest('book')?.sequence, 20n);
  assert.equal(checkpoints.newest('book')?.state, new Uint8Array(50_000).fill(20));
});

test('a state is recovered from a checkpoint and every record after it, once', async () => {
  const [directory, path] = [place(), place()];
  await using checkpoints = await Checkpoints.open(directory);
  await using log = await Log.open(path, { segmentBytes: 65_536 });
  const numbers = (count: number, first: number) =>
    Array.from({ length: count }, (_, index) => bytes(`${first + index}`));
  await log.append(numbers(2_000, 1));
  await checkpoints.checkpoint('sum', bytes('at 2000'), { sequence: 2_000n });
  await log.append(numbers(3_000, 2_001));
  await checkpoints.checkpoint('sum', bytes('at 5000'), { sequence: 5_000n });
  await log.append(numbers(1_234, 5_001));
  for (const [checkpointId, first] of [
    [undefined, 5_001],
    [1, 2_001],
  ] as const) {
    const recovery = await checkpoints.recover('sum', { log: path, checkpointId });
    assert.is(text(recovery.checkpoint?.state), `at ${first - 1}`);
    assert.is(recovery.lastSequence, 6_234n);
    let next = first;
    for await (const batch of recovery.records) {
      for (const message of batch) assert.is(message.text(), String(next++));
    }
    assert.is(next, 6_235);
  }
});

test('what is written after a recovery was asked for is not part of it, however long the messages', async () => {
  const [directory, path] = [place(), place()];
  await using checkpoints = await Checkpoints.open(directory);
  const file = scratch();
  using region = Region.create(file);
  region.createChannel('c', { kind: 'stream', recorded: true, capacity: 64 });
  const recorder = region.record('c', { log: path });
  using producer = region.openProducer('c');
  await producer.send(Buffer.alloc(3_000), { durability: 'wal' });
  const recovery = await checkpoints.recover('sum', { log: path });
  assert.is(recovery.lastSequence, 3n);
  for (const late of ['4', '5']) await producer.send(bytes(late), { durability: 'wal' });
  const lengths: number[] = [];
  for await (const batch of recovery.records) for (const message of batch) lengths.push(message.payload.length);
  assert.equal(lengths, [3_000]);
  await recorder.close();
  Region.remove(file);
});

test('a state that the log cannot bring up to date is not recovered', async () => {
  const [directory, path] = [place(), place()];
  await using checkpoints = await Checkpoints.open(directory);
  await using log = await Log.open(path, { segmentBytes: 65_536 });
  for (let count = 0; count < 10; count += 1) await log.append(new Uint8Array(30_000));
  await checkpoints.checkpoint('ahead', bytes('x'), { sequence: 11n });
  await checkpoints.checkpoint('behind', bytes('x'), { sequence: 1n });
  assert.is((await failureOf(() => checkpoints.recover('ahead', { log: path }))).code, 'ERR_CORRUPT');
  assert.ok((await log.trim(8n)) > 0);
  assert.is((await failureOf(() => checkpoints.recover('behind', { log: path }))).code, 'ERR_GONE');
  assert.is((await failureOf(() => checkpoints.recover('new', { log: path }))).code, 'ERR_GONE');
});

test('a directory that cannot be made is an error, and soon', async () => {
  assert.instance(await failureOf(() => Checkpoints.open('/proc/nothing/below')), Error);
});

test('wrong arguments are refused with a sentence', async () => {
  await using checkpoints = await Checkpoints.open(place());
  const state = bytes('state');
  for (const call of [
    () => checkpoints.checkpoint('', state, { sequence: 1n }),
    () => checkpoints.checkpoint('x'.repeat(256), state, { sequence: 1n }),
    () => checkpoints.checkpoint('book', 'text' as never, { sequence: 1n }),
    () => checkpoints.checkpoint('book', state, { sequence: 1 as never }),
    () => checkpoints.checkpoint('book', state, { sequence: -1n }),
    () => Checkpoints.open(''),
  ]) {
    assert.is((await failureOf(call)).code, 'ERR_ARGUMENT');
  }
  const closed = await Checkpoints.open(place());
  await closed.close();
  await closed.close();
  assert.is((await failureOf(() => closed.newest('book'))).code, 'ERR_CLOSED');
});

test('a directory can be opened for reading while another process writes', async () => {
  const directory = place();
  await using writer = await Checkpoints.open(directory);
  await writer.checkpoint('book', bytes('state'), { sequence: 3n });
  const copy = place();
  await (await Checkpoints.open(copy)).close();
  copyFileSync(join(directory, 'data.mdb'), join(copy, 'data.mdb'));
  await using reader = await Checkpoints.open(copy, { readOnly: true });
  assert.is(reader.newest('book')?.sequence, 3n);
});

test.run();
