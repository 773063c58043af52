import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { f64, KernelError, kernel, struct, text, u8, u32 } from '../../sdk/index.ts';
import { Pair } from '../scratch.ts';

const kernels = suite('kernel');

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
  using pair = new Pair();
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

kernels.run();
