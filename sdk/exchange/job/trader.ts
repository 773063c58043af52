/**
 * Trader: one session of order entry of the demonstration: sends what happens to its orders, and hears what became of it.
 */

import { EXEC_ACCEPTED, EXEC_CANCELLED, EXEC_FILL, EXEC_REJECTED, EXEC_REPLACED } from '../../wire.ts';
import type { ExecutionReport } from '../client/execution-report.ts';
import { OrderEntry } from '../client/order-entry.ts';
import type { OrderEntryOptions } from '../client/order-options.ts';
import { chained, type Testimony } from './chain.ts';
import type { Action } from './orders.ts';

/** An order that may rest. */
interface Live {
  order: number;
  id: bigint;
  quantity: number;
}

/** What traders have done and heard since somebody asked. */
export class Ledger {
  sent = 0;
  answered = 0;
  fills = 0;
  rejected = 0;
  /** Milliseconds from the scheduled time to the answer. */
  latencies: number[] = [];
  stallMs = 0;
}

/** One session. */
export class Trader {
  readonly #entry: OrderEntry;
  readonly #ledger: () => Ledger;
  readonly #byOrder = new Map<number, Live>();
  readonly #byId = new Map<bigint, Live>();
  /** When commands without an answer were due, by their own ids; cancels by those of their orders. */
  readonly #due = new Map<bigint, number>();
  readonly #dueCancels = new Map<bigint, number>();
  #sequence: number;
  #chain: number;
  #testified: number;
  #waitingSinceMs = 0;

  private constructor(entry: OrderEntry, ledger: () => Ledger, from: Testimony | undefined) {
    this.#entry = entry;
    this.#ledger = ledger;
    this.#sequence = from?.[1] ?? 0;
    this.#chain = from?.[2] ?? 0;
    this.#testified = this.#sequence;
  }

  /** Logs in, and hears everything after what `from` testifies. */
  static async connect(options: OrderEntryOptions, ledger: () => Ledger, from?: Testimony): Promise<Trader> {
    const entry = await OrderEntry.connect({ ...options, nextReport: BigInt(from?.[1] ?? 0) + 1n });
    // Nobody knows the orders of a process that was killed.
    if (entry.lastClientOrderId > 0n) entry.massCancel();
    return new Trader(entry, ledger, from);
  }

  get entry(): OrderEntry {
    return this.#entry;
  }

  /** Sends a command that was due at `dueMs`; what is about an order that is gone is left out. */
  send(action: Action, dueMs: number): void {
    const id = this.#command(action);
    if (id === undefined) return;
    this.#ledger().sent += 1;
    if (this.#due.size + this.#dueCancels.size === 0) this.#waitingSinceMs = performance.now();
    (action.kind === 'cancel' ? this.#dueCancels : this.#due).set(id, dueMs);
  }

  /** The id that the answer will have. */
  #command(action: Action): bigint | undefined {
    if (action.kind === 'new') {
      const { order, side, price, quantity, lasting } = action;
      const id = this.#entry.newOrder({ side, price, quantity, lasting });
      if (lasting === 'gtc') this.#keep({ order, id, quantity });
      return id;
    }
    const live = this.#byOrder.get(action.order);
    if (live === undefined) return undefined;
    if (action.kind === 'cancel') {
      this.#entry.cancel(live.id);
      this.#byOrder.delete(action.order);
      return live.id;
    }
    const quantity = live.quantity - action.by;
    if (quantity <= 0) return undefined;
    const id = this.#entry.replace(live.id, { price: action.price, quantity });
    this.#keep({ order: action.order, id, quantity });
    return id;
  }

  #keep(live: Live): void {
    this.#byOrder.set(live.order, live);
    this.#byId.set(live.id, live);
  }

  #forget(id: bigint): void {
    const live = this.#byId.get(id);
    this.#byId.delete(id);
    if (live !== undefined && this.#byOrder.get(live.order) === live) this.#byOrder.delete(live.order);
  }

  /** Hears reports until the session ends. */
  async listen(): Promise<void> {
    for await (const report of this.#entry) this.#hear(report);
  }

  #hear(report: ExecutionReport): void {
    const ledger = this.#ledger();
    const { execType, clientOrderId, bytes } = report;
    const sequence = Number(report.sequence);
    if (sequence > this.#sequence) {
      this.#sequence = sequence;
      this.#chain = chained(this.#chain, new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
    }
    if (execType === EXEC_FILL) ledger.fills += 1;
    if (execType === EXEC_REPLACED) this.#forget(report.reference);
    const isEnd = execType === EXEC_REJECTED || report.isDone;
    if (isEnd) this.#forget(clientOrderId);
    if (execType === EXEC_REJECTED) ledger.rejected += 1;
    const isDoing = execType === EXEC_ACCEPTED || execType === EXEC_REPLACED;
    const isRefused = execType === EXEC_REJECTED && this.#due.has(clientOrderId);
    if (isDoing || isRefused) this.#answer(this.#due, clientOrderId, ledger);
    else if (execType === EXEC_REJECTED || execType === EXEC_CANCELLED)
      this.#answer(this.#dueCancels, clientOrderId, ledger);
  }

  #answer(due: Map<bigint, number>, id: bigint, ledger: Ledger): void {
    const dueMs = due.get(id);
    if (dueMs === undefined) return;
    due.delete(id);
    const nowMs = performance.now();
    ledger.answered += 1;
    ledger.latencies.push(nowMs - dueMs);
    ledger.stallMs = Math.max(ledger.stallMs, nowMs - this.#waitingSinceMs);
    this.#waitingSinceMs = nowMs;
  }

  /** What it has heard of its account, if there is something new. */
  testify(): Testimony | undefined {
    if (this.#sequence === this.#testified) return undefined;
    this.#testified = this.#sequence;
    return [this.#entry.account, this.#sequence, this.#chain];
  }
}
