/**
 * Book: one stream of commands gives the same events and the same state in TypeScript and in C as in the vector that
 * Rust wrote and Python reads, too; messages have the bytes of `wire.json`; and wrong arguments are told in sentences.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Book, type Command, type Events, encodeCommands, wire } from '../sdk/index.ts';
import { candidates } from '../sdk/load.ts';
import { failureOf, onFile } from './scratch.ts';

// biome-ignore lint/suspicious/noExplicitAny: the file is data, and each test says what it expects of it
type Data = any;

const read = (name: string): Data => JSON.parse(readFileSync(new URL(`vectors/${name}.json`, import.meta.url), 'utf8'));
const WIRE = read('wire');
const STREAM = read('book');
const SIZE = { slotCount: 500, accountCount: 8, bandTicks: 64 };
const COMMAND_BYTES = wire.MESSAGES.StampedCommand.size;
const START = 0xcbf29ce484222325n;
const MASK = (1n << 64n) - 1n;

/** The stream as stamped commands. */
const stream: Uint8Array = (() => {
  const bytes = new Uint8Array(STREAM.commands.length * COMMAND_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, line] of STREAM.commands.entries()) {
    view.setBigUint64(index * COMMAND_BYTES, BigInt(index + 1), true);
    view.setBigUint64(index * COMMAND_BYTES + 8, BigInt(index + 1) * 1_000n, true);
    bytes.set(Buffer.from(line, 'hex'), index * COMMAND_BYTES + 16);
  }
  return bytes;
})();

const part = (first: number, end: number) => stream.subarray(first * COMMAND_BYTES, end * COMMAND_BYTES);

function fold(hash: bigint, events: Events): bigint {
  const { bytes } = events;
  const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
  let folded = hash;
  for (const word of words) {
    const mixed = ((folded ^ word) * 0x9e3779b97f4a7c15n) & MASK;
    folded = mixed ^ (mixed >> 32n);
  }
  return folded;
}

const order = (fields: object): Command =>
  ({ message: 'NewOrder', side: 1, orderType: wire.ORDER_LIMIT, account: 1, quantity: 5, ...fields }) as Command;

const camel = (name: string) => name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The fields of a vector, as the face has them. */
function fieldsOf(name: wire.Name, fields: Record<string, number | string>): Record<string, unknown> {
  const known: Readonly<Record<string, { kind: string }>> = wire.MESSAGES[name].fields;
  return Object.fromEntries(
    Object.entries(fields).map(([snake, value]) => {
      const kind = known[camel(snake)]?.kind;
      if (kind === 'bytes') return [camel(snake), new Uint8Array(Buffer.from(value as string, 'hex'))];
      return [camel(snake), typeof value === 'string' ? BigInt(value) : value];
    }),
  );
}

const test = suite('book');

test('a stream of commands gives the events and the states of the vector, in parts and from a snapshot on', () => {
  using book = new Book(SIZE);
  let hash = START;
  let count = 0;
  for (const after of STREAM.after) {
    const events = book.apply(part(after.commands - 500, after.commands));
    hash = fold(hash, events);
    count += events.length;
    assert.equal(
      [Number(book.sequence), count, book.orderCount, String(hash), String(book.stateHash)],
      [after.commands, after.events, after.orders, after.events_hash, after.state_hash],
    );
    assert.is([...events].filter((event) => event.isLast).length, 500);
    assert.is(book.timestamp, book.sequence * 1_000n);
  }
  using first = new Book({ ...SIZE, key: new Uint8Array(16).fill(7) });
  first.apply(part(0, 777));
  using restored = Book.restore(first.snapshot(), SIZE);
  assert.is(restored.stateHash, first.stateHash);
  const rest = restored.apply(part(777, 2_000));
  assert.ok(Buffer.compare(rest.bytes, first.apply(part(777, 2_000)).bytes) === 0);
  assert.is(restored.stateHash, book.stateHash);
  assert.equal(Buffer.from(restored.snapshot()), Buffer.from(book.snapshot()));
});

onFile(test)('C plays the same stream', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-book-'));
  try {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const library = candidates().find((file) => file.endsWith('.so')) ?? '';
    const program = join(folder, 'book');
    const header = `-I${root}bindings/native/include`;
    const flags = ['-std=c11', '-O1', '-Wall', '-Wextra', '-Werror', header];
    const compiled = spawnSync('gcc', [...flags, '-o', program, `${root}test/book/book.c`, library], {
      encoding: 'utf8',
    });
    assert.is(compiled.status, 0, compiled.stderr);
    const played = spawnSync(program, { input: stream, encoding: 'utf8' });
    assert.is(played.status, 0, played.stderr);
    const lines = STREAM.after.map((after: Data) =>
      [after.commands, after.events, after.orders, after.events_hash, after.state_hash].join(' '),
    );
    assert.equal(played.stdout.trim().split('\n'), lines);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('orders as objects rest, trade and are seen', () => {
  using book = new Book(SIZE);
  assert.equal(
    [book.bestBid, book.bestAsk, book.lastTradePrice, book.orderCount],
    [undefined, undefined, undefined, 0],
  );
  const events = book.apply([
    order({ clientOrderId: 1, price: 100 }),
    order({ clientOrderId: 2n, price: -3n, globalSequence: 8, timestamp: 9n }),
    order({ clientOrderId: 1, account: 2, side: 2, price: 99, quantity: 7 }),
  ]);
  assert.equal(
    [...events].map((event) => [event.market, event.execType, event.side, event.price, event.quantity, event.isLast]),
    [
      ['A', wire.EXEC_ACCEPTED, 'buy', 100n, 5n, true],
      ['A', wire.EXEC_ACCEPTED, 'buy', -3n, 5n, true],
      ['', wire.EXEC_ACCEPTED, 'sell', 99n, 7n, false],
      ['', wire.EXEC_FILL, 'sell', 100n, 5n, false],
      ['E', wire.EXEC_FILL, 'buy', 100n, 5n, false],
      ['A', wire.EXEC_NONE, 'sell', 99n, 2n, true],
    ],
  );
  const [fill] = [events.at(-2)];
  assert.equal([fill?.isMaker, fill?.isDone, fill?.account, fill?.clientOrderId], [true, true, 1, 1n]);
  assert.equal([events.length, events.at(6), events.at(-7)], [6, undefined, undefined]);
  assert.equal([book.bestAsk, book.lastTradePrice], [{ price: 99n, quantity: 2n, orderCount: 1 }, 100n]);
  assert.equal(book.depth('buy'), [{ price: -3n, quantity: 5n, orderCount: 1 }]);
  assert.equal([book.depth('sell', 0), book.depth('sell', 9).length], [[], 1]);
  const known = { lastClientOrderId: 2n, reportSequence: 3n, openCount: 1, isKilled: false };
  assert.equal(book.account(1), known);
});

test('a batch whose events need more room than was there has all of them', () => {
  using book = new Book({ ...SIZE, slotCount: 20_000 });
  const orders = Array.from({ length: 20_000 }, (_, index) => order({ clientOrderId: index + 1, price: index }));
  assert.is(book.apply(orders).length, 20_000);
  const events = book.apply([{ message: 'MassCancel', account: 1, clientOrderId: 20_001n }]);
  assert.is(events.length, 20_001);
  assert.is([...events].filter((event) => event.isLast).length, 1);
  assert.equal([events.at(0)?.reason, events.at(-1)?.execType], ['MASS_CANCEL', wire.EXEC_MASS_CANCEL_DONE]);
  assert.is(book.orderCount, 0);
});

test('a malformed message is answered, and changes nothing; what is no command is refused with its batch', async () => {
  using book = new Book(SIZE);
  book.apply([order({ clientOrderId: 1, price: 1 })]);
  const before = book.stateHash;
  const [answer] = book.apply([order({ clientOrderId: 2, side: 3 })]);
  assert.equal([answer?.execType, answer?.reason, answer?.sequence], [wire.EXEC_REJECTED, 'MALFORMED', 0n]);
  const wrong = encodeCommands([order({ clientOrderId: 2, price: 1 }), order({ clientOrderId: 3, price: 1 })]);
  wrong[COMMAND_BYTES + 16] = wire.MESSAGES.ExecutionReport.type;
  const unknown = await failureOf(() => book.apply(wrong));
  assert.is(unknown.code, 'ERR_ARGUMENT');
  assert.match(unknown.message, /^command 1 of the batch is of type 3, which is no command; nothing of the batch/);
  assert.is(book.stateHash, before);
});

test('wrong arguments are told in sentences', async () => {
  using book = new Book(SIZE);
  const none = undefined as never;
  const cases: [call: () => unknown, code: string, words: RegExp][] = [
    [() => book.apply(new Uint8Array(55)), 'ERR_ARGUMENT', /56 bytes each, and these are 55/],
    [() => book.apply(none), 'ERR_ARGUMENT', /an array of objects/],
    [() => book.apply([order({ price: 1.5 })]), 'ERR_ARGUMENT', /^price of NewOrder is 1\.5; give a whole number/],
    [() => book.apply([order({ quantity: -1 })]), 'ERR_ARGUMENT', /^quantity of NewOrder is -1/],
    [() => book.apply([order({ prize: 1 })]), 'ERR_ARGUMENT', /no field prize; it has side, orderType/],
    [() => book.apply([{ message: 'Event' } as never]), 'ERR_ARGUMENT', /a book takes NewOrder/],
    [() => book.depth('bid' as never), 'ERR_ARGUMENT', /give 'buy' or 'sell'/],
    [() => book.depth('buy', -1), 'ERR_ARGUMENT', /^levels is -1/],
    [() => book.account(8), 'ERR_ARGUMENT', /no account 8/],
    [() => new Book({ bandTicks: 100 }), 'ERR_ARGUMENT', /band_ticks a power of two from 64/],
    [() => new Book({ slotCount: 1.5 }), 'ERR_ARGUMENT', /^slotCount is 1\.5/],
    [() => new Book({ key: new Uint8Array(3) }), 'ERR_ARGUMENT', /16 bytes/],
    [() => Book.restore(none), 'ERR_ARGUMENT', /there is no snapshot/],
    [() => Book.restore(new Uint8Array(64)), 'ERR_CORRUPT', /not a whole snapshot/],
    [() => wire.encode({ message: 'Order' } as never), 'ERR_ARGUMENT', /give the name of one/],
  ];
  for (const [call, code, words] of cases) {
    const error = await failureOf(call);
    assert.is(error.code, code);
    assert.match(error.message, words);
  }
  book.apply(part(0, 500));
  const small = await failureOf(() => Book.restore(book.snapshot(), { ...SIZE, slotCount: 1 }));
  assert.is(small.code, 'ERR_NO_SPACE');
  book.close();
  book.close();
  assert.is((await failureOf(() => book.stateHash)).code, 'ERR_CLOSED');
});

test('messages have the bytes of the vector, both ways', () => {
  for (const { message, fields, bytes } of WIRE.messages as Data[]) {
    const wanted = fieldsOf(message, fields);
    assert.is(Buffer.from(wire.encodeAs(message, wanted as never)).toString('hex'), bytes, message);
    assert.equal(wire.decodeAs(message, Buffer.from(bytes, 'hex')), wanted, message);
    if (wire.MESSAGES[message as wire.Name].type === undefined) continue;
    assert.is(Buffer.from(wire.encode({ message, ...wanted } as never)).toString('hex'), bytes, message);
    assert.equal(wire.decode(Buffer.from(bytes, 'hex')), { message, ...wanted }, message);
  }
});

test('bytes that are no message are refused', async () => {
  for (const { why, bytes } of WIRE.bad as Data[]) {
    assert.is((await failureOf(() => wire.decode(Buffer.from(bytes, 'hex')))).code, 'ERR_CORRUPT', why);
  }
});

test.run();
