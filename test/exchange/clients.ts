/**
 * Clients with the exchange itself: four processes, real sockets, a bad network between them; parts are killed while
 * orders flow. At the end the books of all readers are what the snapshot service says, byte for byte, every report came
 * once, and every command was answered.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { addressOf } from '../../sdk/exchange/client/address.ts';
import {
  type ExecutionReport,
  MarketBook,
  MarketData,
  type MarketDataOptions,
  OrderEntry,
  type OrderEntryOptions,
} from '../../sdk/exchange/client/index.ts';
import { fetchSnapshot } from '../../sdk/exchange/client/snapshot.ts';
import type { ExchangeConfig, Role } from '../../sdk/exchange/config.ts';
import { wire } from '../../sdk/index.ts';
import { below, type Dice, dice, pick } from '../dice.ts';
import { freePort, freeUdpPort, Place, type PlaceOptions, type USERS, until } from './place.ts';
import { FAIR, FOUL, Relay, type Weather } from './relay.ts';

type UserName = (typeof USERS)[number];

/** A reader of the feed, behind a network of its own. */
class Reader implements AsyncDisposable {
  readonly book = new MarketBook();
  readonly ending: Promise<unknown>;
  hasEnded = false;

  private constructor(
    readonly data: MarketData,
    readonly relay: Relay,
  ) {
    this.ending = this.#read().catch((error: unknown) => error);
    this.ending.finally(() => {
      this.hasEnded = true;
    });
  }

  static async join(place: Place, relay: Relay, options: Partial<MarketDataOptions> = {}): Promise<Reader> {
    const { snapshots } = place;
    const requests = `127.0.0.1:${relay.requests}`;
    const data = await MarketData.join({ feed: '127.0.0.1:0', requests, snapshots, ...options });
    relay.client = data.address!.port;
    return new Reader(data, relay);
  }

  async #read(): Promise<undefined> {
    for await (const batch of this.data) {
      this.book.apply(batch);
      const { bestBid, bestAsk } = this.book;
      if (bestBid && bestAsk && bestBid.price >= bestAsk.price) throw new Error(`crossed after ${this.book.sequence}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.data.close();
    const ending = await this.ending;
    this.relay.close();
    if (ending !== undefined) throw ending;
  }
}

/** Somebody who trades at random, and remembers what he was told. */
class Trader implements AsyncDisposable {
  readonly reports: ExecutionReport[] = [];
  readonly sent: bigint[] = [];
  readonly ending: Promise<unknown>;
  /** Reads no report as long as this is true. */
  isAsleep = false;
  readonly #cancelled = new Set<bigint>();

  private constructor(
    readonly user: UserName,
    readonly client: OrderEntry,
    readonly roll: Dice,
  ) {
    this.ending = this.#read().catch((error: unknown) => error);
  }

  static async enter(place: Place, user: UserName, seed: number, options: Partial<OrderEntryOptions> = {}) {
    const client = await OrderEntry.connect({ gateway: place.gateway, user, token: user, nextReport: 1n, ...options });
    return new Trader(user, client, dice(seed));
  }

  async #read(): Promise<undefined> {
    for await (const report of this.client) {
      this.reports.push(report);
      while (this.isAsleep) await sleep(2);
    }
  }

  /** Sends so many commands. */
  async trade(count: number): Promise<void> {
    const { client, roll } = this;
    for (let index = 0; index < count; index += 1) {
      const kind = roll();
      const known = pick(roll, this.sent.slice(-200));
      const price = 1_000 + below(roll, 60);
      if (known !== undefined && kind < 0.25 && !this.#cancelled.has(known)) {
        this.#cancelled.add(known);
        client.cancel(known);
      } else if (known !== undefined && kind < 0.35) {
        this.sent.push(client.replace(known, { price, quantity: 1 + below(roll, 400) }));
      } else {
        const side = price + below(roll, 21) - 10 < 1_030 ? 'buy' : 'sell';
        const lasting = kind > 0.95 ? 'ioc' : 'gtc';
        const quantity = kind > 0.94 && kind < 0.95 ? 0 : 1 + below(roll, 400);
        const selfTrade = pick(roll, ['none', 'oldest', 'decrement'] as const);
        this.sent.push(client.newOrder({ side, price, quantity, lasting, selfTrade }));
      }
      if (index % 25 === 24) {
        await client.room();
        await sleep(1);
      }
    }
  }

  /** Offers one at a price. */
  sell(): void {
    this.sent.push(this.client.newOrder({ side: 'sell', price: 1_000, quantity: 1 }));
  }

  /** Buys what is offered at that price. */
  buy(quantity: number): void {
    this.sent.push(this.client.newOrder({ side: 'buy', price: 1_000, quantity, lasting: 'ioc' }));
  }

  async settles(): Promise<void> {
    await until(() => this.client.unanswered === 0, `${this.user} has all answers`);
    await until(() => this.reports.length === this.client.counters.reports, `${this.user} has read all reports`);
  }

  /** Reports were numbered without holes, and each command was answered once; a cancelled one may be twice. */
  isWhole(): void {
    const numbered = this.reports.filter(({ sequence }) => sequence > 0n);
    for (const [index, { sequence }] of numbered.entries()) assert.is(sequence, BigInt(index + 1), this.user);
    const answers = new Map<bigint, number>();
    for (const { execType, clientOrderId } of this.reports) {
      const isAnswer = [wire.EXEC_ACCEPTED, wire.EXEC_REJECTED, wire.EXEC_REPLACED].some((type) => type === execType);
      if (isAnswer) answers.set(clientOrderId, (answers.get(clientOrderId) ?? 0) + 1);
    }
    for (const id of this.sent) {
      const count = answers.get(id) ?? 0;
      assert.ok(count === 1 || (count === 2 && this.#cancelled.has(id)), `${this.user}: ${id} has ${count} answers`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    const ending = await this.ending;
    if (ending !== undefined) throw ending;
  }
}

/** What the service says, once it has come as far as `sequence`. */
async function imageAt(place: Place, sequence: bigint): Promise<Uint8Array> {
  for (let round = 0; ; round += 1) {
    const snapshot = await fetchSnapshot(addressOf(place.snapshots, 'snapshots'), 5_000, AbortSignal.timeout(10_000));
    if (snapshot.sequence === sequence) return snapshot.orders;
    if (round > 500) throw new Error(`the service has ${snapshot.sequence}, and a book ${sequence}`);
    await sleep(20);
  }
}

/** All readers have come as far as the service, and have its bytes. */
async function agree(place: Place, readers: readonly Reader[]): Promise<void> {
  await until(() => place.status('matcher').market_sequence !== undefined, 'the matcher says how it is');
  const last = BigInt(place.status('matcher').market_sequence);
  for (const { book } of readers) await until(() => book.sequence >= last, `a book has come to ${last}`);
  const [first] = readers;
  const image = await imageAt(place, first!.book.sequence);
  assert.ok(image.length > 0);
  for (const { book } of readers) assert.is(Buffer.compare(book.image(), image), 0);
}

/** An exchange and networks before it. */
async function open(
  seed: number,
  weathers: readonly Weather[],
  changes: PlaceOptions['changes'] = {},
): Promise<{ place: Place; relays: Relay[] }> {
  const relays: Relay[] = [];
  for (const [index, weather] of weathers.entries())
    relays.push(await Relay.start(0, dice(seed * 100 + index), weather));
  const place = await Place.start({ feed: relays.map(({ feed }) => `127.0.0.1:${feed}`), changes });
  for (const relay of relays) relay.asked = addressOf(place.requests, 'requests').port;
  return { place, relays };
}

const test = suite('exchange: clients');

for (const seed of [1, 2, 3]) {
  test(`over bad networks all books are the exchange's, late ones too (seed ${seed})`, async () => {
    const { place: started, relays } = await open(seed, [FOUL, FAIR, FOUL]);
    await using place = started;
    await using first = await Reader.join(place, relays[0]!);
    await using second = await Reader.join(place, relays[1]!);
    await using alice = await Trader.enter(place, 'alice', seed);
    await using bob = await Trader.enter(place, 'bob', seed + 10);
    await Promise.all([alice.trade(3_000), bob.trade(3_000)]);
    await using late = await Reader.join(place, relays[2]!);
    await Promise.all([alice.trade(3_000), bob.trade(3_000)]);
    await Promise.all([alice.settles(), bob.settles()]);
    await sleep(200);
    await agree(place, [first, second, late]);
    alice.isWhole();
    bob.isWhole();
    const { counters } = first.data;
    assert.ok(relays[0]!.damage.lost > 0 && counters.gaps > 0 && counters.retransmitted > 0, JSON.stringify(counters));
    assert.ok(late.book.orderCount > 0);
    await place.end('gateway');
    await place.end('matcher');
    relays[0]!.weather = FAIR;
    relays[2]!.weather = FAIR;
    await place.end('publisher', 'over');
    for (const reader of [first, second, late]) {
      await until(() => reader.hasEnded, 'the session is over');
      assert.is(await reader.ending, undefined);
    }
  });
}

const KILLS = [
  ['gateway', 'written'],
  ['publisher', 'memory'],
  ['shadow', 'written'],
  ['matcher', 'memory'],
  ['matcher', 'written'],
  ['matcher', 'wal'],
] as const satisfies [Role, ExchangeConfig['acknowledge']][];

for (const [index, [role, acknowledge]] of KILLS.entries()) {
  test(`a ${role} that is killed while orders flow costs nobody anything (${acknowledge})`, async () => {
    const { place: started, relays } = await open(20 + index, [FOUL, FAIR], { acknowledge });
    await using place = started;
    await using reader = await Reader.join(place, relays[0]!);
    await using alice = await Trader.enter(place, 'alice', 30 + index);
    await using bob = await Trader.enter(place, 'bob', 40 + index);
    const trading = Promise.all([alice.trade(4_000), bob.trade(4_000)]);
    for (let kill = 0; kill < 3; kill += 1) {
      await sleep(150);
      await place.end(role, 'SIGKILL');
      await place.start(role);
    }
    await trading;
    await Promise.all([alice.settles(), bob.settles()]);
    alice.isWhole();
    bob.isWhole();
    await using late = await Reader.join(place, relays[1]!);
    await sleep(200);
    await agree(place, [reader, late]);
    if (role === 'gateway') assert.ok(alice.client.counters.reconnects > 0 && bob.client.counters.reconnects > 0);
  });
}

for (const how of ['SIGTERM', 'leave'] as const) {
  test(`a publisher that is ended alone and started again ends nobody's session (${how})`, async () => {
    const { place: started, relays } = await open(27, [FAIR, FAIR]);
    await using place = started;
    await using reader = await Reader.join(place, relays[0]!);
    await using alice = await Trader.enter(place, 'alice', 37);
    for (let round = 0; round < 3; round += 1) {
      await Promise.all([alice.trade(500), sleep(20).then(() => place.end('publisher', how))]);
      // Nobody sends now what follows from these, and the next publisher begins behind them.
      await alice.trade(200);
      await place.start('publisher');
    }
    await alice.settles();
    await using late = await Reader.join(place, relays[1]!);
    await sleep(200);
    await agree(place, [reader, late]);
    assert.is(reader.hasEnded, false);
    assert.ok(reader.data.counters.retransmitted > 0, 'what nobody sent was asked for');
    await place.end('publisher', 'over');
    await until(() => reader.hasEnded, 'the session is over with the exchange');
    assert.is(await reader.ending, undefined);
  });
}

test('a multicast group is heard by everybody who joins it', async () => {
  const feed = `239.255.77.1:${await freeUdpPort()}`;
  await using place = await Place.start({ feed: [feed], interface: '127.0.0.1' });
  const join = () => {
    const { requests, snapshots } = place;
    return MarketData.join({ feed, requests, snapshots, interface: '127.0.0.1' });
  };
  using first = await join();
  using second = await join();
  const reading = [first, second].map(async (data) => {
    const book = new MarketBook();
    for await (const batch of data) book.apply(batch);
    assert.ok(data.counters.datagrams > 0);
    return book;
  });
  await using alice = await Trader.enter(place, 'alice', 60);
  await alice.trade(500);
  await alice.settles();
  await place.end('gateway');
  await place.end('matcher');
  await place.end('publisher', 'over');
  const late = sleep(30_000, undefined, { ref: false }).then(() =>
    Promise.reject(new Error('the session is not over')),
  );
  const books = await Promise.race([Promise.all(reading), late]);
  const image = await imageAt(place, books[0]!.sequence);
  assert.ok(image.length > 0);
  for (const book of books) assert.is(Buffer.compare(book.image(), image), 0);
});

test('whoever reads too slowly is cut off by the gateway, and has everything in the end', async () => {
  const gateway = { listen: `127.0.0.1:${await freePort()}`, backlog_bytes: 64 << 10 };
  await using place = await Place.start({ feed: ['127.0.0.1:9'], changes: { gateway } });
  await using alice = await Trader.enter(place, 'alice', 70, { backlog: 500, unansweredMax: 1 << 20 });
  await using bob = await Trader.enter(place, 'bob', 71);
  alice.isAsleep = true;
  const isCutOff = () => place.status('gateway').ended?.slow > 0;
  // Until there are more reports than the buffers of both sockets hold.
  for (let round = 0; round < 1_000 && !isCutOff(); round += 1) {
    for (let index = 0; index < 500; index += 1) alice.sell();
    bob.buy(500);
    await until(() => bob.client.unanswered === 0);
  }
  assert.ok(isCutOff());
  alice.isAsleep = false;
  await Promise.all([alice.settles(), bob.settles()]);
  alice.isWhole();
  bob.isWhole();
  assert.ok(alice.client.counters.reconnects > 0);
  assert.is(bob.client.counters.reconnects, 0);
});

test('a login is refused by name, and a second one ends the first for good', async () => {
  await using place = await Place.start({ feed: ['127.0.0.1:9'] });
  const options = { gateway: place.gateway, user: 'alice', token: 'alice' };
  const wrong = await OrderEntry.connect({ ...options, token: 'bob' }).catch((error: unknown) => error);
  assert.equal([(wrong as { code: string }).code, (wrong as { reason: string }).reason], ['ERR_PERMISSION', 'LOGIN']);
  await using first = await OrderEntry.connect(options);
  const ending = (async () => {
    for await (const _ of first);
  })().catch((error: unknown) => error);
  await using second = await OrderEntry.connect(options);
  assert.is(((await ending) as { code: string }).code, 'ERR_GONE');
  second.newOrder({ side: 'buy', price: 5, quantity: 1 });
  await until(() => second.unanswered === 0);
  assert.is(second.counters.reports, 1);
});

test('with cancel on disconnect nothing rests when the client is gone', async () => {
  const { place: started, relays } = await open(50, [FAIR]);
  await using place = started;
  await using reader = await Reader.join(place, relays[0]!);
  const options = { gateway: place.gateway, user: 'carol', token: 'carol', cancelOnDisconnect: true };
  const carol = await OrderEntry.connect(options);
  for (let price = 1; price <= 100; price += 1) carol.newOrder({ side: 'buy', price, quantity: 1 });
  await until(() => carol.unanswered === 0);
  await until(() => reader.book.orderCount === 100);
  await carol.close();
  await until(() => reader.book.orderCount === 0);
  await using again = await OrderEntry.connect({ ...options, nextReport: 1n });
  const last = [];
  for await (const report of again) {
    last.push(report);
    if (report.execType === wire.EXEC_MASS_CANCEL_DONE) break;
  }
  assert.equal([last.length, last.at(-1)?.quantity, again.lastClientOrderId], [201, 100n, 100n]);
});

test.run();
