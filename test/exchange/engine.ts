/**
 * Engine: a real book, and what an exchange would say of it: market messages, reports, and all resting orders in the
 * bytes of the snapshot service. The clients' tests stand on it where no process of the exchange is needed.
 */
import { Book, type BookEvent, type Command, wire } from '../../sdk/index.ts';
import { marketMessage } from '../../sdk/market.ts';
import { below, type Dice, pick } from '../dice.ts';

const BOOK = { slotCount: 1 << 15, accountCount: 64, bandTicks: 256 };
/** Of a book's own snapshot (core/src/book/snapshot.rs). */
const WORD = 8;
const HEAD_WORDS = 16;
const ACCOUNT_WORDS = 4;
const ORDER_WORDS = 6;

/** Of a message in a datagram. */
export const LENGTH_BYTES = 2;

/** A market message, and whether its command ends with it. */
export interface Said {
  sequence: bigint;
  payload: Uint8Array;
  isLast: boolean;
}

/** A report as bytes, and whom it is for. */
export interface Told {
  account: number;
  sequence: bigint;
  clientOrderId: bigint;
  payload: Uint8Array;
}

/** A book that says everything aloud. */
export class Engine {
  readonly book = new Book(BOOK);
  /** Every market message, from sequence 1. */
  readonly market: Said[] = [];
  /** Every report of a sequence, by account. */
  readonly reports = new Map<number, Told[]>();
  #time = 1_700_000_000_000_000_000n;

  /** Applies commands, each at a time of its own; what they made. */
  apply(commands: readonly Command[]): { market: Said[]; reports: Told[] } {
    const market: Said[] = [];
    const reports: Told[] = [];
    for (const command of commands) {
      this.#time += 1_000n;
      const events = [...this.book.apply([{ ...command, timestamp: this.#time }])];
      const said: Said[] = [];
      for (const event of events) {
        if (event.execType !== wire.EXEC_NONE) reports.push(told(event));
        const payload = marketMessage(event, this.#time);
        if (payload !== undefined) said.push({ sequence: event.marketSequence, payload, isLast: false });
      }
      const last = said.at(-1);
      if (last !== undefined) last.isLast = true;
      market.push(...said);
    }
    this.market.push(...market);
    for (const report of reports) {
      if (report.sequence === 0n) continue;
      const kept = this.reports.get(report.account);
      if (kept === undefined) this.reports.set(report.account, [report]);
      else kept.push(report);
    }
    return { market, reports };
  }

  /** The resting orders as the snapshot service sends them: from the book's own snapshot, and from nothing else. */
  image(): Uint8Array {
    const bytes = this.book.snapshot();
    const words = new BigUint64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const [accounts, bids, asks] = [Number(words[13]), Number(words[14]), Number(words[15])];
    const first = HEAD_WORDS + accounts * ACCOUNT_WORDS;
    const orders: Uint8Array[] = [];
    for (let index = 0; index < bids + asks; index += 1) {
      const at = first + index * ORDER_WORDS;
      const price = BigInt.asIntN(64, words[at]!);
      const [orderId, quantity] = [words[at + 1]!, words[at + 3]!];
      const side = index < bids ? wire.SIDE_BUY : wire.SIDE_SELL;
      orders.push(wire.encodeAs('SnapshotOrder', { orderId, price, quantity, priority: orderId, side }));
    }
    if ((first + (bids + asks) * ORDER_WORDS + 1) * WORD !== bytes.length)
      throw new Error('the snapshot has another form');
    return Buffer.concat(orders);
  }

  /** Sequences that a batch may end with: those that end a command, and any of a command of more than `bytes`. */
  ends(bytes: number): Set<bigint> {
    const ends = new Set<bigint>();
    let command: Said[] = [];
    for (const said of this.market) {
      command.push(said);
      if (!said.isLast) continue;
      const size = command.reduce((sum, { payload }) => sum + LENGTH_BYTES + payload.length, 0);
      for (const part of size > bytes ? command : [said]) ends.add(part.sequence);
      command = [];
    }
    return ends;
  }

  close(): void {
    this.book.close();
  }
}

function told(event: BookEvent): Told {
  const { account, sequence, clientOrderId, execType, reference, price, quantity } = event;
  const reason = wire.REASONS[event.reason];
  const side = event.side === 'sell' ? wire.REPORT_SELL : 0;
  const flags = side | (event.isMaker ? wire.REPORT_MAKER : 0) | (event.isDone ? wire.REPORT_DONE : 0);
  const fields = { execType, reason, flags, account, sequence, clientOrderId, reference, price, quantity };
  return { account, sequence, clientOrderId, payload: wire.encodeAs('ExecutionReport', fields) };
}

/** Commands at random, mostly around a price, from several accounts; some meet, some are wrong. */
export class Flow {
  readonly #roll: Dice;
  readonly #live: { account: number; id: bigint }[] = [];
  readonly #ids = new Map<number, bigint>();
  #middle = 10_000;

  constructor(roll: Dice) {
    this.#roll = roll;
  }

  #nextId(account: number): bigint {
    const id = (this.#ids.get(account) ?? 0n) + 1n;
    this.#ids.set(account, id);
    return id;
  }

  /** So many commands. */
  next(count: number): Command[] {
    return Array.from({ length: count }, () => this.#one());
  }

  #one(): Command {
    const roll = this.#roll;
    const kind = roll();
    const known = pick(roll, this.#live);
    this.#middle += below(roll, 3) - 1;
    const quantity = BigInt(1 + below(roll, 500));
    if (known !== undefined && kind < 0.3) return this.#end(known);
    if (known !== undefined && kind < 0.4) {
      const newClientOrderId = this.#nextId(known.account);
      const price = BigInt(this.#middle + below(roll, 40) - 20);
      const { account, id: clientOrderId } = known;
      known.id = newClientOrderId;
      return { message: 'Replace', account, clientOrderId, newClientOrderId, price, quantity };
    }
    const account = below(roll, 8);
    const clientOrderId = this.#nextId(account);
    if (kind > 0.999) return { message: 'MassCancel', account, clientOrderId };
    const isSell = roll() < 0.5;
    const side = isSell ? wire.SIDE_SELL : wire.SIDE_BUY;
    const flags = pick(roll, [0, 0, wire.FLAG_STP_OLDEST, wire.FLAG_STP_DECREMENT, wire.FLAG_POST_ONLY]);
    const distance = Math.floor(20 * roll() ** 2) - 1;
    const price = BigInt(this.#middle + (isSell ? distance : -distance));
    const isTaker = kind > 0.96;
    const orderType = wire.ORDER_LIMIT | (isTaker ? wire.ORDER_IOC : wire.ORDER_GTC);
    this.#live.push({ account, id: clientOrderId });
    const order = { account, clientOrderId, side, orderType, price };
    if (isTaker) return { message: 'NewOrder', ...order, flags: 0, quantity: quantity * 5n };
    return { message: 'NewOrder', ...order, flags, quantity };
  }

  #end(known: { account: number; id: bigint }): Command {
    const last = this.#live.pop()!;
    if (last !== known) this.#live[this.#live.indexOf(known)] = last;
    return { message: 'CancelOrder', account: known.account, clientOrderId: known.id };
  }
}
