/**
 * Flow: a book on the stream of commands that the books of others read, too; the first half fills it.
 *
 *     node flow.ts native|wasm FILE
 *
 * Commands are bytes before anything is timed, and are applied 64 at a time. The second book gets them one at a time, and
 * must be the same; its hash is printed, for the other backend's has to be equal.
 */
import { readFileSync } from 'node:fs';
import { Book, backend, type Command, encodeCommands } from 'tailrace';
import { quantiles } from './spread.ts';

const BATCH = 64;
const COMMAND_BYTES = 56;
const ACCOUNTS = 4_096;
const LIMIT = 1;
const UNTIL: Record<string, number> = { GTC: 0, IOC: 1, FOK: 2 };
const OPTIONS = { slotCount: 1 << 20, accountCount: ACCOUNTS, key: new Uint8Array(16) };

/** The commands of the file; an order belongs to the account that its number falls on. */
function parse(lines: string[]): Command[] {
  const lastIds = new Uint32Array(ACCOUNTS);
  const idOf = new Map<string, number>();
  return lines.map((line, index) => {
    const [kind, id, side, price, quantity, until] = line.split(' ') as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const account = Number(id) % ACCOUNTS;
    const stamps = { globalSequence: index + 1, timestamp: (index + 1) * 1_000 };
    const last = idOf.get(id) ?? 0;
    if (kind === 'C') return { ...stamps, message: 'CancelOrder', account, clientOrderId: last };
    const next = lastIds[account]! + 1;
    lastIds[account] = next;
    idOf.set(id, next);
    const order = { ...stamps, account, price: Number(price), quantity: Number(quantity) };
    if (kind === 'M') return { ...order, message: 'Replace', clientOrderId: last, newClientOrderId: next };
    const orderType = LIMIT | (UNTIL[until]! << 4);
    return { ...order, message: 'NewOrder', side: Number(side), orderType, clientOrderId: next };
  });
}

/** Applies them, so many at a time; how many events, and nanoseconds a command of each batch. */
function run(book: Book, commands: Uint8Array, batch: number): { events: number; times: number[]; seconds: number } {
  const times: number[] = [];
  let events = 0;
  const start = process.hrtime.bigint();
  for (let at = 0; at < commands.length; at += batch * COMMAND_BYTES) {
    const some = commands.subarray(at, at + batch * COMMAND_BYTES);
    const from = process.hrtime.bigint();
    events += book.apply(some).length;
    times.push(Number(process.hrtime.bigint() - from) / (some.length / COMMAND_BYTES));
  }
  return { events, times, seconds: Number(process.hrtime.bigint() - start) / 1e9 };
}

const [name, path] = process.argv.slice(2) as ['native' | 'wasm', string];
process.env.TAILRACE_BACKEND = name;
if (backend().name !== name) throw new Error(`this is the ${backend().name} backend`);
const commands = encodeCommands(parse(readFileSync(path, 'utf8').trimEnd().split('\n')));
const count = commands.length / COMMAND_BYTES;
const half = (count >> 1) * COMMAND_BYTES;
const books = [new Book(OPTIONS), new Book(OPTIONS)] as const;
for (const book of books) run(book, commands.subarray(0, half), BATCH);
const cpu = process.cpuUsage();
const { events, times, seconds } = run(books[0], commands.subarray(half), BATCH);
const { user, system } = process.cpuUsage(cpu);
const again = run(books[1], commands.subarray(half), 1);
const [hash, other] = books.map((book) => `${book.stateHash}`);
if (hash !== other || events !== again.events || events < count / 2) {
  throw new Error(`${events} events in batches and ${again.events} one at a time, or another book`);
}
const timed = count - half / COMMAND_BYTES;
const line = { subject: name, what: 'book', ns: quantiles(times), per_second: Math.round(timed / seconds) };
const beside = { mean_ns: (seconds * 1e9) / timed, cpu_mean_ns: ((user + system) * 1e3) / timed, events, hash };
console.log(JSON.stringify({ ...line, ...beside, cpu_seconds: (user + system) / 1e6 }));
