import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Log, LogReader, RUNTIME_NODE } from '../sdk/index.ts';
import { eventually, failureOf } from './scratch.ts';

const test = suite('log');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-log-'));
let places = 0;

/** A directory that nobody uses. */
const place = () => join(folder, String(places++));
const bytes = (text: string) => Buffer.from(text);

test.after(() => rmSync(folder, { recursive: true, force: true }));

test('what was appended is read, with everything that was said of it', async () => {
  const path = place();
  await using log = await Log.open(path);
  assert.is(await log.append(bytes('one'), { type: 7, timestamp: 11n }), 1n);
  const before = BigInt(Date.now()) * 1_000_000n;
  assert.is(await log.append([bytes('two'), new Uint8Array(0), bytes('four')], { type: 4_294_967_295 }), 4n);
  assert.equal([log.firstSequence, log.writtenSequence, log.durableSequence], [1n, 4n, 4n]);
  using reader = log.read();
  const batch = reader.poll();
  assert.equal(
    [...batch].map((message) => [message.sequence, message.type, message.text()]),
    [
      [1n, 7, 'one'],
      [2n, 4_294_967_295, 'two'],
      [3n, 4_294_967_295, ''],
      [4n, 4_294_967_295, 'four'],
    ],
  );
  const [first, second] = batch;
  assert.is(first?.timestamp, 11n);
  assert.ok((second?.timestamp ?? 0n) >= before);
  assert.equal([second?.senderPid, second?.senderRuntime], [process.pid, RUNTIME_NODE]);
  assert.equal([reader.position, reader.depth], [5n, 0]);
});

test('sequences go on after the log was opened anew, and one writer excludes another', async () => {
  const path = place();
  {
    await using log = await Log.open(path);
    await log.append(bytes('one'));
    const error = await failureOf(() => Log.open(path));
    assert.is(error.code, 'ERR_BUSY');
  }
  await using log = await Log.open(path);
  assert.is(await log.append(bytes('two')), 2n);
  using reader = LogReader.open(path);
  assert.equal(
    [...reader.poll()].map((message) => message.text()),
    ['one', 'two'],
  );
});

test('many appends may be outstanding; they are acknowledged in order, and each when it is on disk', async () => {
  await using log = await Log.open(place());
  const order: bigint[] = [];
  const appends = Array.from({ length: 3_000 }, async (_, index) => {
    const sequence = await log.append(bytes(String(index)));
    assert.is(sequence, BigInt(index + 1));
    assert.ok(log.durableSequence >= sequence);
    order.push(sequence);
  });
  await Promise.all(appends);
  assert.equal(
    order,
    [...order].sort((one, other) => Number(one - other)),
  );
});

test('durability memory resolves before the disk, and sync after it', async () => {
  await using log = await Log.open(place());
  const last = await log.append(bytes('x'), { durability: 'memory' });
  assert.is(log.writtenSequence, last);
  assert.is(await log.sync(), last);
  assert.is(log.durableSequence, last);
});

test('a wait for the disk can be given up, and the record stays', async () => {
  const log = await Log.open(place());
  const reason = new Error('enough');
  const controller = new AbortController();
  const given = failureOf(() => log.append(bytes('one'), { signal: controller.signal }));
  controller.abort(reason);
  assert.is(await given, reason);
  const late = await failureOf(async () => {
    for (;;) await log.append(new Uint8Array(1_000_000), { timeoutMs: 0 });
  });
  assert.is(late.code, 'ERR_TIMED_OUT');
  await log.close();
  using reader = log.read();
  assert.is(reader.poll(1).at(0)?.text(), 'one');
});

test('close makes everything durable that was accepted', async () => {
  const log = await Log.open(place());
  const appends = Array.from({ length: 500 }, (_, index) => log.append(bytes(String(index))));
  const [, ...sequences] = await Promise.all([log.close(), ...appends]);
  assert.is(sequences.at(-1), 500n);
  assert.is((await failureOf(() => log.append(bytes('late')))).code, 'ERR_CLOSED');
  assert.is((await Log.stat(log.path)).durableSequence, 500n);
});

test('for await follows the end of a log while it is written', async () => {
  const path = place();
  await using log = await Log.open(path, { segmentBytes: 65_536 });
  using reader = LogReader.open(path);
  const writing = (async () => {
    for (let index = 0; index < 3_000; index += 1) {
      await log.append(bytes(`${index}`.padEnd(200)), { durability: 'memory' });
      if (index % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  let next = 0;
  for await (const batch of reader) {
    for (const message of batch) assert.is(message.text().trimEnd(), String(next++));
    if (next === 3_000) break;
  }
  await writing;
  assert.ok((await Log.stat(path)).segments.length > 5, 'over several segments');
});

test('a reader begins where it is told, and goes where it is told', async () => {
  const path = place();
  await using log = await Log.open(path);
  for (let index = 1; index <= 100; index += 1) {
    await log.append(bytes(String(index)), { timestamp: BigInt(index) * 1_000_000_000n, durability: 'memory' });
  }
  const first = (from: NonNullable<Parameters<typeof LogReader.open>[1]>['from']) => {
    using reader = LogReader.open(path, { from });
    return reader.poll(1).at(0)?.text();
  };
  assert.is(first('oldest'), '1');
  assert.is(first(undefined), '1');
  assert.is(first('latest'), undefined);
  assert.is(first(42n), '42');
  assert.is(first(new Date(50_500)), '51');
  assert.is(first(new Date(51_000)), '51');
  using reader = LogReader.open(path);
  assert.is(reader.seek(90n), 90n);
  assert.is(reader.poll(1).at(0)?.text(), '90');
  assert.is(reader.seek('oldest'), 1n);
  assert.is(reader.poll(1).at(0)?.text(), '1');
  assert.is(reader.seek('latest'), 101n);
  assert.is(reader.poll().length, 0);
});

test('only what is on disk is seen with durableOnly', async () => {
  const path = place();
  await using log = await Log.open(path);
  using reader = LogReader.open(path, { durableOnly: true });
  await log.append(bytes('one'));
  let seen = 0;
  await eventually(() => {
    seen += reader.poll().length;
    return seen === 1;
  });
  assert.ok(log.durableSequence >= 1n);
});

test('what was trimmed is gone, and says what is left', async () => {
  const path = place();
  await using log = await Log.open(path, { segmentBytes: 65_536 });
  for (let index = 0; index < 20; index += 1) await log.append(new Uint8Array(20_000));
  using behind = LogReader.open(path);
  const removed = await log.trim(15n);
  assert.ok(removed > 0);
  const oldest = log.firstSequence;
  assert.ok(oldest > 1n && oldest <= 15n);
  const error = (await failureOf(() => LogReader.open(path, { from: 1n }))) as {
    oldestSequence?: bigint;
    code?: string;
  };
  assert.equal([error.code, error.oldestSequence], ['ERR_GONE', oldest]);
  const missed = await failureOf(() => {
    // What it had open it may still read.
    for (;;) behind.poll();
  });
  assert.is(missed.code, 'ERR_GONE');
  assert.is(behind.seek('oldest'), oldest);
  assert.is(behind.poll(1).at(0)?.sequence, oldest);
});

test('large records are compressed when that was asked for, and read as they were', async () => {
  const [plain, compressed] = [place(), place()];
  const payload = new Uint8Array(100_000).map((_, index) => index % 7);
  for (const [path, compress] of [
    [plain, false],
    [compressed, true],
  ] as const) {
    await using log = await Log.open(path, { compress });
    await log.append([payload, bytes('short')]);
    using reader = log.read();
    const batch = reader.poll();
    assert.equal(batch.at(0)?.payload, payload);
    assert.is(batch.at(1)?.text(), 'short');
  }
  const used = (path: string) => readFileSync(join(path, '00000000000000000001.log')).lastIndexOf(bytes('short'));
  assert.ok(used(compressed) < used(plain) / 10, `${used(compressed)} against ${used(plain)} bytes`);
});

/** The only segment of a log. */
function segmentOf(path: string): string {
  const [name, ...others] = readdirSync(path).filter((file) => file.endsWith('.log'));
  assert.equal(others, []);
  return join(path, name ?? '');
}

test('a damaged record that was on disk is refused, verified and repaired', async () => {
  const path = place();
  {
    await using log = await Log.open(path);
    for (const word of ['first', 'second', 'third']) await log.append(bytes(`the ${word} record`));
  }
  assert.equal(await Log.verify(path), {
    ...{ segments: 1, records: 3, batches: 3, bytes: 1_048_576 },
    ...{ firstSequence: 1n, lastSequence: 3n, tornBytes: 0 },
  });
  const segment = segmentOf(path);
  const content = readFileSync(segment);
  content[content.indexOf('second')]! ^= 1;
  writeFileSync(segment, content);
  for (const call of [() => Log.open(path), () => Log.verify(path)]) {
    const error = await failureOf(call);
    assert.is(error.code, 'ERR_CORRUPT');
    assert.match(error.message, '00000000000000000001.log');
  }
  using reader = LogReader.open(path);
  assert.is(reader.poll(1).at(0)?.text(), 'the first record');
  assert.is((await failureOf(() => reader.poll())).code, 'ERR_CORRUPT');
  const repaired = await Log.repair(path);
  assert.equal([repaired.lost, repaired.lostRecords, repaired.lastSequence], [[[2n, 2n]], 1, 3n]);
  assert.ok(repaired.aside.length === 1 && readdirSync(path).includes(repaired.aside[0] ?? ''));
  await using log = await Log.open(path);
  assert.is(await log.append(bytes('the fourth record')), 4n);
  using again = LogReader.open(path);
  assert.equal(
    [...again.poll()].map((message) => message.sequence),
    [1n, 3n, 4n],
  );
});

test('what a crash tore is cut off, and told', async () => {
  const [path, torn] = [place(), place()];
  await using log = await Log.open(path);
  await log.append(bytes('one'));
  cpSync(path, torn, { recursive: true });
  const content = readFileSync(segmentOf(torn));
  // Behind the first batch stands the seal that proves it was on disk.
  content.fill(0, 208);
  content[content.indexOf('one')]! ^= 1;
  writeFileSync(segmentOf(torn), content);
  await using mended = await Log.open(torn);
  assert.is(mended.writtenSequence, 0n);
  assert.is(await mended.append(bytes('another')), 1n);
});

test('wrong arguments are refused with a sentence', async () => {
  await using log = await Log.open(place());
  for (const call of [
    () => Log.open(7 as never),
    () => Log.open(place(), { segmentBytes: 1 }),
    () => Log.open(place(), { spares: -1 }),
    () => Log.open(place(), { retentionDays: 0.5 }),
    () => log.append([]),
    () => log.append('text' as never),
    () => log.append(bytes('x'), { type: -1 }),
    () => log.append(bytes('x'), { durability: 'replicated' as never }),
    () => log.trim(1 as never),
    () => log.read({ from: 0n }),
    () => log.read({ from: 'first' as never }),
    () => log.read({ from: 3 as never }),
  ]) {
    assert.is((await failureOf(call)).code, 'ERR_ARGUMENT', String(call));
  }
  assert.is((await failureOf(() => log.append(new Uint8Array(2 ** 20 + 1)))).code, 'ERR_TOO_LARGE');
  assert.is((await failureOf(() => LogReader.open(place()))).code, 'ERR_NOT_FOUND');
  assert.is((await failureOf(() => Log.open(place(), { create: false }))).code, 'ERR_NOT_FOUND');
  assert.is((await failureOf(() => Log.stat(folder))).code, 'ERR_NOT_FOUND');
});

test('progress is told of a long work', async () => {
  const path = place();
  {
    await using log = await Log.open(path, { segmentBytes: 300_000_000 });
    const payload = new Uint8Array(1 << 20);
    for (let count = 0; count < 200; count += 1) await log.append(payload, { durability: 'memory' });
  }
  const seen: number[] = [];
  const { records } = await Log.verify(path, {
    onProgress: ({ doneBytes, totalBytes }) => {
      assert.ok(doneBytes <= totalBytes);
      seen.push(doneBytes);
    },
  });
  assert.is(records, 200);
  assert.equal(
    seen,
    [...seen].sort((one, other) => one - other),
  );
});

test.run();
