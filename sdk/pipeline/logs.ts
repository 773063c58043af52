/**
 * Logs: the two logs of a run as they are read back, and what is found in them.
 *
 * Of a short run everything is read at the end, when nobody is held up by it. Of a long one the log grows beyond what
 * retention keeps, so what is a quarter of that behind is read while the run goes on.
 */
import { join } from 'node:path';
import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises';
import { Log, type Message } from '../index.ts';
import { compare, type Expected, type LogFindings, OrdersAudit, SignalsAudit } from './audit.ts';
import type { Data } from './data.ts';
import type { Proof } from './proof.ts';
import { Readback } from './readback.ts';
import type { Acknowledged } from './report.ts';

const SLICE_RECORDS = 20_000;
/** A record's frame and its share of the frame that ends a batch. */
const FRAME_BYTES = 88;
const LOOK_MS = 200;
const TELL_MS = 1_000;

/** What the run knows at its end. */
export type Known = Omit<Expected, 'verified'>;

/** Reads what the recorders wrote. */
export class Logs {
  readonly #data: Data;
  readonly #proof: Proof;
  readonly #orders: OrdersAudit;
  readonly #signals: SignalsAudit;
  readonly #ordersBack: Readback;
  readonly #signalsBack: Readback;
  readonly #behindRecords: number;
  #memory = new DataView(new ArrayBuffer(0));

  /** Opens both logs, which are there; throws what `LogReader.open` throws. */
  constructor(data: Data, proof: Proof, retainedBytes: number) {
    this.#data = data;
    this.#proof = proof;
    this.#behindRecords = retainedBytes / FRAME_BYTES / 4;
    this.#ordersBack = new Readback(this.#path('orders'), (sequence, message) => this.#see(sequence, message));
    this.#signalsBack = new Readback(this.#path('signals'), (sequence, message) => {
      this.#signals.see(sequence, message.payload);
    });
    this.#orders = new OrdersAudit(this.#ordersBack.position);
    this.#signals = new SignalsAudit(this.#signalsBack.position);
    for (const promised of data.promised) this.#orders.expect(promised);
  }

  /** These were acknowledged: they must be in the log. */
  expect(acknowledged: readonly Acknowledged[]): void {
    this.#data.acknowledge(acknowledged);
    for (const one of acknowledged) this.#orders.expect(one);
  }

  /** Reads what is far behind, until the signal; `recorded` is the newest sequence in the log of orders. */
  async follow(recorded: () => number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      while (recorded() - this.#ordersBack.position > this.#behindRecords && !signal.aborted) await this.#slice();
      await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
    }
  }

  /** Reads the rest of both logs, which nobody is writing any more, and compares. `tell` hears how far it has come. */
  async finish(known: Known, tell: (line: string) => void): Promise<LogFindings> {
    const verifying = Promise.all([Log.verify(this.#path('orders')), Log.verify(this.#path('signals'))]);
    // Heard below; until then it is nobody's.
    verifying.catch(() => {});
    const { lastSequence } = await Log.stat(this.#path('orders'));
    let toldMs = performance.now();
    while ((await this.#slice()) > 0) {
      if (performance.now() - toldMs < TELL_MS) continue;
      toldMs = performance.now();
      const done = this.#ordersBack.position.toLocaleString('en-US');
      tell(`reading the log back: ${done} of ${lastSequence.toLocaleString('en-US')} records`);
    }
    while (this.#signalsBack.read(SLICE_RECORDS) > 0) await breathe();
    const [orders, signals] = await verifying;
    return compare(this.#orders, this.#signals, { ...known, verified: { orders, signals } });
  }

  close(): void {
    this.#ordersBack.close();
    this.#signalsBack.close();
  }

  async #slice(): Promise<number> {
    const count = this.#ordersBack.read(SLICE_RECORDS);
    this.#proof.blocks(this.#orders.takeBlocks());
    await breathe();
    return count;
  }

  #see(sequence: number, message: Message): void {
    const { payload } = message;
    if (this.#memory.buffer !== payload.buffer) this.#memory = new DataView(payload.buffer);
    this.#orders.see(sequence, payload, this.#memory);
  }

  #path(name: string): string {
    return join(this.#data.dir, name);
  }
}
