/**
 * nodejs-order-book on one stream of commands; the first half fills the book.
 *
 *     node order_book.js FILE
 */
import { readFileSync } from 'node:fs';
import { OrderBook } from 'nodejs-order-book';
import { print } from '../node/spread.ts';

const STRETCH = 64;
const SIDES = ['', 'buy', 'sell'];

function parse(line) {
  const [kind, id, side, price, size, timeInForce] = line.split(' ');
  const numbers = { side: SIDES[Number(side)], price: Number(price), size: Number(size) };
  if (kind === 'L') return (book) => book.limit({ id, ...numbers, timeInForce });
  if (kind === 'M') return (book) => book.modify(id, numbers);
  return (book) => book.cancel(id);
}

/** It has to match by price and then time before it is timed. */
function check() {
  const book = new OrderBook();
  book.limit({ id: 'a', side: 'sell', price: 101, size: 5 });
  book.limit({ id: 'b', side: 'sell', price: 100, size: 5 });
  book.limit({ id: 'c', side: 'sell', price: 100, size: 5 });
  const { done, partial } = book.limit({ id: 'd', side: 'buy', price: 101, size: 7 });
  const ids = done.map(({ id }) => id);
  if (ids[0] !== 'b' || !ids.includes('d') || partial?.id !== 'c' || partial.size !== 3) {
    throw new Error(`it answered ${JSON.stringify({ done, partial })}`);
  }
  if (book.cancel('a') === undefined) throw new Error('it cannot cancel');
}

check();
const commands = readFileSync(process.argv[2], 'utf8').trimEnd().split('\n').map(parse);
const book = new OrderBook();
const half = commands.length / 2;
for (const apply of commands.slice(0, half)) apply(book);
const timed = commands.slice(half);
const times = [];
const start = process.hrtime.bigint();
for (let from = 0; from < timed.length; from += STRETCH) {
  const end = Math.min(from + STRETCH, timed.length);
  const before = process.hrtime.bigint();
  for (let index = from; index < end; index += 1) timed[index](book);
  times.push(Number(process.hrtime.bigint() - before) / (end - from));
}
const seconds = Number(process.hrtime.bigint() - start) / 1e9;
print('nodejs-order-book', 'book', times, timed.length / seconds);
