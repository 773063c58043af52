/**
 * Order scene: a gateway stand-in over an engine, a client, and what that has read.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { type ExecutionReport, OrderEntry, type OrderEntryOptions } from '../../sdk/exchange/client/index.ts';
import { Engine } from './engine.ts';
import { GatewayStandIn } from './gateway-stand-in.ts';

export const ALICE = { user: 'alice', token: 'a secret of alice', account: 1 };
export const BOB = { user: 'bob', token: 'a secret of bob', account: 2 };

/** An exchange, a client, and what the client has read. */
export class Scene implements AsyncDisposable {
  readonly engine = new Engine();
  readonly read: ExecutionReport[] = [];
  gateway!: GatewayStandIn;
  client!: OrderEntry;
  ending: Promise<unknown> = Promise.resolve();
  /** Reads no report as long as this is true. */
  isAsleep = false;

  async begin(options: Partial<OrderEntryOptions> = {}): Promise<this> {
    this.gateway = await GatewayStandIn.start(this.engine, [{ ...ALICE }, { ...BOB }]);
    this.client = await this.connect(options);
    this.ending = this.#read().catch((error: unknown) => error);
    return this;
  }

  connect(options: Partial<OrderEntryOptions> = {}): Promise<OrderEntry> {
    const { user, token } = ALICE;
    return OrderEntry.connect({ gateway: this.gateway.address, user, token, pauseMs: 2, pauseMaxMs: 20, ...options });
  }

  async #read(): Promise<undefined> {
    for await (const report of this.client) {
      this.read.push(report);
      while (this.isAsleep) await sleep(2);
    }
  }

  /** What was read, in words. */
  get words(): string[] {
    return this.read.map(inWords);
  }

  /** Waits until there are no commands without an answer and all of the account's reports were read. */
  async settles(): Promise<void> {
    const kept = () => BigInt(this.engine.reports.get(ALICE.account)?.length ?? 0);
    await until(() => this.client.unanswered === 0 && this.client.nextReport === kept() + 1n);
    await until(() => this.read.length === this.client.counters.reports);
  }

  /** Every numbered report of the account was read once, and in order. */
  isWhole(): void {
    const numbered = this.read.filter(({ sequence }) => sequence > 0n);
    const kept = this.engine.reports.get(ALICE.account) ?? [];
    assert.equal(
      numbered.map(({ sequence, clientOrderId }) => [sequence, clientOrderId]),
      kept.map(({ sequence, clientOrderId }) => [sequence, clientOrderId]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client?.close();
    this.isAsleep = false;
    await this.ending;
    await this.gateway?.close();
    this.engine.close();
  }
}

const KINDS = ['none', 'accepted', 'fill', 'cancelled', 'rejected', 'replaced', 'decremented', 'done'];

export function inWords({ execType, clientOrderId, reason, isRepeat }: ExecutionReport): string {
  const why = reason === 'NONE' ? '' : ` ${reason}`;
  return `${KINDS[execType]} ${clientOrderId}${why}${isRepeat ? ' again' : ''}`;
}

export async function until(is: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!is()) {
    if (performance.now() > end) throw new Error(`not within twenty seconds: ${is}`);
    await sleep(2);
  }
}

export const buy = (price: number, quantity = 10) => ({ side: 'buy', price, quantity }) as const;
