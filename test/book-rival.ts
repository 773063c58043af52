/**
 * Rival: limit orders and cancels give the same trades, in the same order, in our book and in npm's `nodejs-order-book`.
 *
 * After each command: who was filled whole, who in part, whether the incoming order is done, whether a cancel found its
 * order. After each thousand: every price of both sides.
 */
import { createRequire } from 'node:module';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Book, type BookEvent, type Command, wire } from '../sdk/index.ts';
import { below, dice } from './dice.ts';

/** What is used of the other book. */
interface Rival {
  limit(order: { id: string; side: 'buy' | 'sell'; size: number; price: number }): {
    done: { id: string }[];
    partial: { id: string } | null;
    err: Error | null;
  };
  cancel(id: string): { order?: unknown } | undefined;
  depth(): [asks: [number, number][], bids: [number, number][]];
}

const COUNT = 200_000;
const BATCH = 1_000;
const ACCOUNT = 1;

function rival(): Rival | undefined {
  try {
    const { OrderBook } = createRequire(import.meta.url)('nodejs-order-book') as { OrderBook: new () => Rival };
    return new OrderBook();
  } catch (error) {
    console.log(`skipped: nodejs-order-book cannot be loaded (${(error as Error).message}); npm ci installs it`);
    return undefined;
  }
}

/** A seeded flow around one price: two orders for each cancel, which mostly takes a recent one. */
function flow(seed: number): Command[] {
  const random = dice(seed);
  const roll = (end: number) => below(random, end);
  const commands: Command[] = [];
  for (let id = 1; id <= COUNT; id += 1) {
    if (roll(3) === 0 && id > 1) {
      commands.push({ message: 'CancelOrder', account: ACCOUNT, clientOrderId: Math.max(1, id - 1 - roll(200)) });
      continue;
    }
    const side = roll(2) === 0 ? wire.SIDE_BUY : wire.SIDE_SELL;
    const price = 10_000 + (side === wire.SIDE_BUY ? -1 : 1) * (roll(40) - 8);
    const order = { account: ACCOUNT, clientOrderId: id, side, price, quantity: 1 + roll(50) };
    commands.push({ message: 'NewOrder', orderType: wire.ORDER_LIMIT, ...order });
  }
  return commands;
}

/** What our book said to one command, in words that both books have. */
function ours(events: BookEvent[]): object {
  const fills = events.filter((event) => event.execType === wire.EXEC_FILL);
  const makers = fills.filter((event) => event.isMaker);
  return {
    done: makers.filter((event) => event.isDone).map((event) => Number(event.clientOrderId)),
    partial: makers.filter((event) => !event.isDone).map((event) => Number(event.clientOrderId)),
    isTakerDone: fills.some((event) => !event.isMaker && event.isDone),
    isCancelled: events[0]?.execType === wire.EXEC_CANCELLED,
  };
}

/** What the other book said. */
function theirs(book: Rival, command: Command): object {
  if (command.message === 'CancelOrder') {
    const found = book.cancel(String(command.clientOrderId));
    return { done: [], partial: [], isTakerDone: false, isCancelled: found?.order !== undefined };
  }
  const { clientOrderId, side, price, quantity } = command as Extract<Command, { message: 'NewOrder' }>;
  const id = String(clientOrderId);
  const word = side === wire.SIDE_BUY ? 'buy' : 'sell';
  const { done, partial, err } = book.limit({ id, side: word, size: Number(quantity), price: Number(price) });
  assert.is(err, null);
  return {
    done: done.filter((order) => order.id !== id).map((order) => Number(order.id)),
    partial: partial && partial.id !== id ? [Number(partial.id)] : [],
    isTakerDone: done.some((order) => order.id === id),
    isCancelled: false,
  };
}

const test = suite('book rival');

test('limit orders and cancels trade as in nodejs-order-book', () => {
  const other = rival();
  if (other === undefined) return;
  using book = new Book({ slotCount: COUNT, accountCount: 2 });
  const commands = flow(7);
  let trades = 0;
  for (let first = 0; first < COUNT; first += BATCH) {
    const events = book.apply(commands.slice(first, first + BATCH))[Symbol.iterator]();
    for (let index = first; index < first + BATCH; index += 1) {
      const said: BookEvent[] = [];
      do said.push(events.next().value as BookEvent);
      while (said.at(-1)?.isLast === false);
      trades += said.filter((event) => event.market === 'E').length;
      const command = commands[index]!;
      assert.equal(ours(said), theirs(other, command), `command ${index} of seed 7`);
    }
    const [asks, bids] = other.depth();
    const plain = (side: 'buy' | 'sell') =>
      book.depth(side).map(({ price, quantity }) => [Number(price), Number(quantity)]);
    assert.equal(
      plain('sell'),
      asks.toSorted(([left], [right]) => left - right),
    );
    assert.equal(
      plain('buy'),
      bids.toSorted(([left], [right]) => right - left),
    );
  }
  assert.ok(trades > COUNT / 10, `${trades} trades`);
});

test.run();
