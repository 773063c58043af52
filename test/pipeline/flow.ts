/** Generated flow keeps the stated shares, distances, number of orders and bursts, and is the true history of a book. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Book } from '../../sdk/pipeline/book.ts';
import { Flow } from '../../sdk/pipeline/flow.ts';
import { EventType, emptyRecord, type OrderRecord } from '../../sdk/pipeline/record.ts';

const ROWS = 300_000;
const SEEDS = [1, 2, 3, 12_345, 4_294_967_295];
const test = suite('pipeline flow');

function isBetween(value: number, low: number, high: number, what: string): void {
  assert.ok(value >= low && value <= high, `${what} is ${value}; ${low} to ${high} are stated`);
}

/** Plays `rows` rows into a book, calling `look` before each is applied. */
function play(flow: Flow, rows: number, look: (record: OrderRecord, book: Book, row: number) => void): Book {
  const book = new Book();
  const record = emptyRecord();
  for (let row = 0; row < rows; row++) {
    flow.next(record);
    look(record, book, row);
    book.apply(record);
  }
  return book;
}

for (const seed of SEEDS) {
  test(`seed ${seed}: shares of actions and resting orders`, () => {
    const flow = new Flow(seed);
    let fewest = Number.POSITIVE_INFINITY;
    let most = 0;
    play(flow, ROWS, (_record, book, row) => {
      if (row < 2_000) return;
      fewest = Math.min(fewest, book.live);
      most = Math.max(most, book.live);
    });
    const { adds, cancels, replaces, marketable } = flow.actions;
    const all = adds + cancels + replaces + marketable;
    isBetween(adds / all, 0.45, 0.5, 'share of adds');
    isBetween(cancels / all, 0.42, 0.46, 'share of cancels');
    isBetween(replaces / all, 0.06, 0.08, 'share of replaces');
    isBetween(marketable / all, 0.025, 0.05, 'share of marketable orders');
    isBetween(fewest, 1_000, 10_000, 'fewest orders');
    isBetween(most, 1_000, 10_000, 'most orders');
  });

  test(`seed ${seed}: a true history that never crosses`, () => {
    const opening = 1_600;
    let lastNs = 0;
    const book = play(new Flow(seed), ROWS, (record, current, row) => {
      assert.ok(record.timeNs >= lastNs, `row ${row}: time goes back`);
      lastNs = record.timeNs;
      assert.ok(record.size > 0 && record.price > 0, `row ${row}: size and price`);
      if (record.type === EventType.EXECUTE) {
        const best = (record.side === 1 ? current.bids : current.asks).level(0);
        assert.is(best?.price, record.price, `row ${row}: an execution away from the best price`);
      }
      const bid = current.bids.level(0)?.price ?? 0;
      const ask = current.asks.level(0)?.price ?? Number.POSITIVE_INFINITY;
      assert.ok(bid < ask, `row ${row}: crossed, ${bid} and ${ask}`);
      if (row > opening) assert.ok(bid > 0 && ask < Number.POSITIVE_INFINITY, `row ${row}: one side is empty`);
    });
    assert.is(book.unknown, 0);
  });

  test(`seed ${seed}: distances are a power law of exponent 1.5`, () => {
    const counts = new Map<number, number>();
    play(new Flow(seed), ROWS, (record, book, row) => {
      if (row < 20_000 || record.type !== EventType.ADD) return;
      const best = (record.side === 1 ? book.bids : book.asks).level(0)?.price;
      if (best === undefined) return;
      const distance = (record.side * (best - record.price)) / 100;
      if (distance >= 0) counts.set(distance, (counts.get(distance) ?? 0) + 1);
    });
    const near = [...counts].filter(([distance]) => distance >= 1 && distance <= 200);
    isBetween(exponentOf(near), 1.4, 1.6, 'exponent');
    isBetween(Math.max(...counts.keys()), 500, 999, 'farthest');
  });

  test(`seed ${seed}: recent orders are cancelled first, and time comes in bursts`, () => {
    const born = new Map<number, number>();
    const ages: number[] = [];
    const perWindow = new Map<number, number>();
    play(new Flow(seed), ROWS, (record, _book, row) => {
      if (record.type === EventType.ADD) born.set(record.orderId, row);
      if (record.type === EventType.DELETE && row > 100_000) ages.push(row - (born.get(record.orderId) ?? 0));
      const window = Math.floor(record.timeNs / 1e6);
      perWindow.set(window, (perWindow.get(window) ?? 0) + 1);
    });
    ages.sort((a, b) => a - b);
    const median = ages[Math.floor(ages.length / 2)]!;
    isBetween(median, 1, 1_000, 'median age of a cancelled order, where 4,000 rest');
    const windows = [...perWindow.values()].slice(1, -1);
    const mean = windows.reduce((sum, count) => sum + count, 0) / windows.length;
    const variance = windows.reduce((sum, count) => sum + (count - mean) ** 2, 0) / windows.length;
    isBetween(variance / mean, 10, 10_000, 'dispersion of events per millisecond (1 without bursts)');
  });
}

test('quotes follow a mid that moves, and the same seed gives the same flow', () => {
  const tops = new Set<number>();
  const first = new Flow(9);
  const second = new Flow(9);
  const record = emptyRecord();
  play(first, ROWS, (seen, book) => {
    second.next(record);
    assert.is(record.orderId, seen.orderId);
    assert.is(record.price, seen.price);
    tops.add(book.bids.level(0)?.price ?? 0);
  });
  assert.ok(tops.size > 30, `${tops.size} different best bids`);
});

/** The most likely exponent of a power law of `distance + 1`, truncated to the distances that are given. */
function exponentOf(counts: [distance: number, count: number][]): number {
  let best = { exponent: 0, likelihood: Number.NEGATIVE_INFINITY };
  for (let exponent = 1; exponent <= 2; exponent += 0.01) {
    let sum = 0;
    for (let distance = 1; distance <= 200; distance++) sum += (distance + 1) ** -exponent;
    let likelihood = 0;
    for (const [distance, count] of counts) likelihood -= count * (exponent * Math.log(distance + 1) + Math.log(sum));
    if (likelihood > best.likelihood) best = { exponent, likelihood };
  }
  return best.exponent;
}

test.run();
