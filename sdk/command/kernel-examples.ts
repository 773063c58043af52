/**
 * Examples: what `tailrace kernel new` writes, one folder for each kind of kernel.
 */
import type { KernelKind } from '../kernel/compile.ts';

const TRADE = { name: 'Trade', fields: { price: 'f64', quantity: 'u32', isBuy: 'bool', symbol: 'text(8)' } };

const RECORDS = [
  { price: 101.5, quantity: 200, isBuy: true, symbol: 'ABC' },
  { price: 99.25, quantity: 10, isBuy: false, symbol: 'ABC' },
  { price: 250, quantity: 80, isBuy: true, symbol: 'XYZ' },
];

const FILTER = `import { Trade } from 'tailrace/record';

/** Whether a trade is kept. */
export function filter(trade: Trade): bool {
  return trade.price * <f64>trade.quantity >= 20000;
}
`;

const MAP = `import { Notional, Trade } from 'tailrace/record';

/** Fills the record that is kept; false keeps none. */
export function map(trade: Trade, notional: Notional): bool {
  if (!trade.isBuy) return false;
  notional.value = trade.price * <f64>trade.quantity;
  notional.quantity = trade.quantity;
  return true;
}
`;

const AGGREGATE = `import { Totals, Trade } from 'tailrace/record';

/** Adds a trade to the totals, which begin as zeros and go on from batch to batch. */
export function aggregate(trade: Trade, totals: Totals): void {
  totals.value += trade.price * <f64>trade.quantity;
  totals.highest = max(totals.highest, trade.price);
  totals.trades += 1;
}
`;

function files(source: string, schema: object, expected: object): Record<string, string> {
  const json = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;
  return {
    'kernel.ts': source,
    'schema.json': json(schema),
    'vectors.json': json({ records: RECORDS, ...expected }),
    'tsconfig.json': json({ extends: 'assemblyscript/std/assembly.json', include: ['*.ts'] }),
  };
}

/** The files of a new kernel. */
export const EXAMPLES: Record<KernelKind, Record<string, string>> = {
  filter: files(FILTER, { record: TRADE }, { kept: [0, 2] }),
  map: files(
    MAP,
    { record: TRADE, output: { name: 'Notional', fields: { value: 'f64', quantity: 'u32' } } },
    {
      output: [
        { value: 20300, quantity: 200 },
        { value: 20000, quantity: 80 },
      ],
    },
  ),
  aggregate: files(
    AGGREGATE,
    { record: TRADE, output: { name: 'Totals', fields: { value: 'f64', highest: 'f64', trades: 'u64' } } },
    { output: [{ value: 41292.5, highest: 250, trades: '3' }] },
  ),
};
