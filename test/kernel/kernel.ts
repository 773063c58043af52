import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type ChannelOptions,
  type ConsumerOptions,
  f64,
  KernelError,
  type KernelOptions,
  kernel,
  Log,
  LogReader,
  struct,
  text,
  u8,
  u32,
  u64,
  wire,
  wireStruct,
} from '../../sdk/index.ts';
import { failureOf, isWasm, onFile, Pair } from '../scratch.ts';

const kernels = suite('kernel');

/** A channel whose consumer does not wait for ever. */
function pairOf(options: ChannelOptions = {}, consumer: ConsumerOptions = {}): Pair {
  return new Pair(options, { signal: AbortSignal.timeout(60_000), ...consumer });
}

const Trade = struct({ price: f64, quantity: u32, side: u8, symbol: text(8) }, 'Trade');

/** Trades with prices 0, 1, 2, …; every third one is a purchase. */
function trades(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) =>
    Trade.encode({ price: index, quantity: 10 * index, side: index % 3 === 0 ? 1 : 2, symbol: `S${index % 5}` }),
  );
}

const PRICES = `
import { Trade } from 'tailrace/record';
export function filter(trade: Trade): bool {
  return trade.side == 1 && trade.price >= 10;
}`;

kernels('keeps records of a batch, in place', async () => {
  const above = await kernel(PRICES, { record: Trade });
  using pair = pairOf();
  assert.is(pair.producer.writeBatch(trades(100)), 100);
  for await (const kept of pair.consumer.pipe(above)) {
    assert.is(kept.seen, 100);
    assert.equal(
      [...kept].map(({ price }) => price),
      Array.from({ length: 100 }, (_, price) => price).filter((price) => price >= 10 && price % 3 === 0),
    );
    assert.equal(kept.at(0), { price: 12, quantity: 120, side: 1, symbol: 'S2' });
    assert.is(kept.message(0)?.sequence, 13n);
    assert.is(kept.message(0)?.payload.buffer, kept.bytes(1)?.buffer);
    break;
  }
  const { batches, records, kept, traps, turns, nanoseconds } = above.counters;
  assert.equal({ batches, records, kept, traps }, { batches: 1, records: 100, kept: 30, traps: 0 });
  assert.ok(turns > 100 / 4 && turns < 100, `${turns} turns`);
  assert.ok(nanoseconds > 0);
});

kernels('says where the source is wrong', async () => {
  const source = PRICES.replace('trade.price >= 10', 'trade.prize >= 10');
  try {
    await kernel(source, { record: Trade, file: 'filters/large.ts' });
    assert.unreachable();
  } catch (error) {
    assert.instance(error, KernelError);
    const { code, reason, diagnostics, message } = error as KernelError;
    assert.is(code, 'ERR_ARGUMENT');
    assert.is(reason, 'compile');
    assert.is(diagnostics.length, 1);
    const { file, line, column, source } = diagnostics[0]!;
    assert.equal({ file, line, column }, { file: 'filters/large.ts', line: 4, column: 35 });
    assert.match(source, /^ {2}return trade\.side/);
    assert.match(message, /filters\/large\.ts:4:35: Property 'prize' does not exist/);
  }
});

kernels('makes records of another kind', async () => {
  const Notional = struct({ value: f64, side: u8 }, 'Notional');
  const source = `import { Notional, Trade } from 'tailrace/record';
    export function map(trade: Trade, notional: Notional): bool {
      if (trade.side != 1) return false;
      if (trade.quantity > 500) notional.value = trade.price * <f64>trade.quantity;
      return true;
    }`;
  const notional = await kernel(source, { record: Trade, output: Notional });
  using pair = pairOf();
  for (let turn = 0; turn < 2; turn += 1) {
    pair.producer.writeBatch(trades(100));
    const made = notional.run(pair.consumer.poll());
    assert.is(made.length, 34);
    // What the kernel leaves out is zero, whatever stood there before.
    assert.equal(
      [...made].map(({ value }) => value),
      Array.from({ length: 34 }, (_, index) => (3 * index > 50 ? 90 * index * index : 0)),
    );
    assert.is(made.message(0), undefined);
    assert.is(made.at(-1)?.value, 98_010);
    assert.is(made.at(34), undefined);
  }
});

kernels('adds up from batch to batch', async () => {
  const Totals = struct({ quantity: u64, highest: f64 }, 'Totals');
  const source = `import { Output, Record } from 'tailrace/record';
    export function aggregate(record: Record, output: Output): void {
      output.quantity += record.quantity;
      output.highest = max(output.highest, record.price);
    }`;
  const totals = await kernel(source, { record: Trade, output: Totals });
  using pair = pairOf({ kind: 'stream' });
  const seen: unknown[] = [];
  pair.producer.writeBatch(trades(10));
  for await (const results of pair.consumer.pipe(totals)) {
    assert.is(results.length, 1);
    seen.push(results.at(0));
    if (seen.length === 2) break;
    pair.producer.writeBatch(trades(20));
  }
  assert.equal(seen, [
    { quantity: 450n, highest: 9 },
    { quantity: 450n + 1_900n, highest: 19 },
  ]);
});

kernels('writes what it keeps to another channel', async () => {
  const above = await kernel(PRICES, { record: Trade });
  const stop = new AbortController();
  using pair = pairOf({ capacity: 2_048 }, { signal: stop.signal });
  pair.region.createChannel('kept', { kind: 'stream', capacity: 16, gated: true });
  using kept = pair.region.openProducer('kept');
  using reader = pair.region.openConsumer('kept');
  pair.producer.writeBatch(trades(1_000));
  const done = pair.consumer.pipe(above).into(kept, { type: 9 });
  const prices: number[] = [];
  while (prices.length < 330) {
    if (!(await reader.wait({ timeoutMs: 30_000 }))) break;
    for (const { payload, type } of reader.poll()) {
      assert.is(type, 9);
      prices.push(Trade.read(payload).price);
    }
  }
  assert.equal(
    prices,
    Array.from({ length: 1_000 }, (_, price) => price).filter((price) => price >= 10 && price % 3 === 0),
  );
  stop.abort(new Error('enough'));
  assert.is((await failureOf(() => done)).message, 'enough');
  assert.is(pair.consumer.depth, 0);
});

kernels('runs over batches from anywhere, of any length', async () => {
  const above = await kernel(PRICES, { record: Trade });
  using pair = pairOf({ capacity: 4_096 });
  pair.producer.writeBatch(trades(2_000));
  const batch = pair.consumer.poll(500);
  assert.is(above.run(batch).length, 163);
  assert.is(above.run(batch.after(490)).length, 3);
  assert.is(above.run(pair.consumer.poll(0 + 1)).length, 0);
  const large = await failureOf(() => above.apply(Buffer.concat(trades(3_000))));
  assert.is(large.code, 'ERR_TOO_LARGE');
  assert.is(above.ended, undefined);
  while (pair.consumer.poll().length > 0);
  assert.is(above.run(pair.consumer.poll()).length, 0);
});

kernels('is given the messages that are for it', async () => {
  using pair = pairOf({ kind: 'stream', capacity: 64 });
  const mixed = () => {
    pair.producer.writeBatch(trades(20).slice(12), { type: 1 });
    pair.producer.write(Buffer.from('another'), { type: 2 });
    pair.producer.writeBatch(trades(40).slice(30), { type: 1 });
    pair.producer.writeBatch(trades(20), { type: 3 });
  };
  const typed = await kernel(PRICES, { record: Trade, type: 1 });
  mixed();
  const prices = [12, 15, 18, 30, 33, 36, 39];
  const kept = typed.run(pair.consumer.poll());
  assert.equal(
    [...kept].map(({ price }) => price),
    prices,
  );
  assert.is(kept.message(3)?.sequence, 10n);
  assert.is(kept.seen, 18);
  assert.is(typed.counters.others, 21);
  const skipping = await kernel(typed.wasm, { others: 'skip' });
  mixed();
  assert.is(skipping.run(pair.consumer.poll()).seen, 38);
  assert.is(skipping.counters.others, 1);
  const strict = await kernel(typed.wasm);
  mixed();
  const error = await failureOf(() => strict.run(pair.consumer.poll()));
  assert.is(error.code, 'ERR_CORRUPT');
  assert.match(error.message, /a message of 7 bytes is no Trade, which has 24/);
  assert.is(strict.ended, undefined);
  pair.producer.write(Buffer.from('short'), { type: 1 });
  assert.is((await failureOf(() => typed.run(pair.consumer.poll()))).code, 'ERR_CORRUPT');
});

const ENDLESS = PRICES.replace('return', 'while (trade.price == 42) store<u32>(64, 1);\n  return');

kernels('leaves a batch that ends it to the next call', async () => {
  for (const kind of ['queue', 'stream'] as const) {
    const endless = await kernel(ENDLESS, { record: Trade, name: 'endless', budget: 100_000 });
    using pair = pairOf({ kind, capacity: 1_024 });
    pair.producer.writeBatch(trades(40));
    let seen = 0;
    const error = (await failureOf(async () => {
      for await (const kept of pair.consumer.pipe(endless)) {
        seen += kept.seen;
        pair.producer.writeBatch(trades(50));
      }
    })) as KernelError;
    assert.instance(error, KernelError);
    assert.is(seen, 40);
    assert.is(error.record, 42);
    assert.is(error.sequence, 83n);
    assert.match(error.message, /kernel "endless" was ended at record 42 of the batch, sequence 83: /);
    assert.equal(
      { ...endless.counters, nanoseconds: 0, turns: 0 },
      {
        ...{ batches: 1, records: 40, kept: 10, others: 0, nanoseconds: 0, traps: 1, turns: 0 },
      },
    );
    // Another kernel goes on with it, in its own memory.
    const sound = await kernel(PRICES, { record: Trade });
    for await (const kept of pair.consumer.pipe(sound)) {
      assert.is(kept.seen, 50);
      assert.is(kept.length, 13);
      assert.is(kept.message(0)?.redelivered, kind === 'queue');
      break;
    }
    assert.is(pair.consumer.poll().length, 0);
    assert.is((await failureOf(() => pair.consumer.pipe(endless)[Symbol.asyncIterator]().next())).code, 'ERR_CLOSED');
  }
});

kernels('gives the consumer back as it was', async () => {
  const above = await kernel(PRICES, { record: Trade });
  using pair = pairOf({ capacity: 1_024 });
  pair.producer.writeBatch(trades(30));
  const pipe = pair.consumer.pipe(above);
  for await (const kept of pipe) {
    assert.is(kept.length, 6);
    assert.is((await failureOf(() => pipe[Symbol.asyncIterator]().next())).code, 'ERR_BUSY');
    break;
  }
  pair.producer.writeBatch(trades(3));
  const kept = pair.consumer.poll();
  pair.producer.writeBatch(trades(5));
  for await (const results of pipe) {
    assert.is(results.seen, 5);
    break;
  }
  pair.producer.writeBatch(trades(3));
  for await (const results of pipe) {
    results.message(0);
    pair.producer.writeBatch(trades(2));
    break;
  }
  assert.is.not(pair.consumer.poll().at(0)?.payload.buffer, above.chunk.buffer);
  assert.equal(
    [...kept].map(({ payload }) => Trade.read(payload).price),
    [0, 1, 2],
  );
  assert.is.not(kept.at(0)?.payload.buffer, above.chunk.buffer);
});

kernels('takes batches of thousands, in place', async () => {
  const above = await kernel(PRICES, { record: Trade, stagingBytes: 1 << 20 });
  using pair = pairOf({ kind: 'stream', capacity: 16_384 }, { limit: 8_192 });
  pair.producer.writeBatch(trades(8_000));
  for await (const kept of pair.consumer.pipe(above)) {
    // A claim of the WebAssembly backend has 1,024 messages at most.
    assert.is(kept.seen, isWasm ? 1_024 : 8_000);
    assert.is(kept.message(0)?.payload.buffer, above.chunk.buffer);
    break;
  }
});

onFile(kernels)('goes over a log', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-kernel-'));
  try {
    {
      await using log = await Log.open(folder);
      await log.append(trades(500));
    }
    const above = await kernel(PRICES, { record: Trade });
    using reader = LogReader.open(folder, { signal: AbortSignal.timeout(60_000) });
    let kept = 0;
    for await (const results of reader.pipe(above)) {
      kept += results.length;
      if (above.counters.records === 500) break;
    }
    assert.is(kept, 163);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

kernels('imports what lies beside it, and complains there', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-kernel-'));
  try {
    const file = join(folder, 'large.ts');
    writeFileSync(file, `import { Trade } from 'tailrace/record';\nimport { isLarge } from './size';\n${FILTER_LARGE}`);
    writeFileSync(join(folder, 'size.ts'), 'export function isLarge(n: f64): bool {\n  return n > 50;\n}\n');
    const large = await kernel(pathToFileURL(file), { record: Trade });
    assert.is(large.name, 'large');
    assert.is(large.apply(Buffer.concat(trades(100))).length, 49);
    writeFileSync(join(folder, 'size.ts'), 'export function isLarge(n: f64): bool {\n  return m > 50;\n}\n');
    const error = (await failureOf(() => kernel(pathToFileURL(file), { record: Trade }))) as KernelError;
    assert.is(`${error.diagnostics[0]?.file}:${error.diagnostics[0]?.line}`, `${join(folder, 'size.ts')}:2`);
    const built = join(folder, 'large.wasm');
    writeFileSync(built, large.wasm);
    assert.is((await kernel(pathToFileURL(built))).apply(Buffer.concat(trades(100))).length, 49);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const FILTER_LARGE = 'export function filter(trade: Trade): bool { return isLarge(trade.price); }';

kernels('says what is missing', async () => {
  const wrong = async (source: string, options: KernelOptions) =>
    (await failureOf(() => kernel(source, options))).message;
  assert.match(await wrong(PRICES, {}), /record is missing/);
  assert.match(
    await wrong('export function keep(): bool { return true; }', { record: Trade }),
    /export function filter/,
  );
  const map = PRICES.replace('filter(trade: Trade)', 'map(trade: Trade, output: Trade)');
  assert.match(await wrong(map, { record: Trade }), /output is missing/);
  const twice = struct({ a: u8 }, 'Trade');
  assert.match(await wrong(map, { record: Trade, output: twice }), /both called Trade/);
  assert.match(await wrong('export function filter(): bool { return true; }', { record: Trade }), /has to have one of/);
  for (const options of [{ budget: 0 }, { memoryBytes: 2 ** 40 }, { stagingBytes: -1 }]) {
    assert.match(await wrong(PRICES, { record: Trade, ...options }), /give a whole number/);
  }
  const { wasm } = await kernel(PRICES, { record: Trade });
  const other = await failureOf(() => kernel(wasm, { record: struct({ price: f64 }, 'Trade') }));
  assert.match(other.message, /was built for Trade of 24 bytes/);
});

kernels('knows the messages of the book', async () => {
  const source = `import { Record } from 'tailrace/record';
    export function filter(order: Record): bool { return order.side == 1 && order.price < -3; }`;
  const cheap = await kernel(source, { record: wireStruct('NewOrder'), name: 'cheap' });
  const orders = [-5n, -1n, -9n].map((price) => wire.encode({ message: 'NewOrder', price, side: wire.SIDE_BUY }));
  assert.equal(
    [...cheap.apply(Buffer.concat(orders))].map(({ price }) => price),
    [-5n, -9n],
  );
});

kernels.run();
