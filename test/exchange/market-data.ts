/**
 * Market data client: over a network that loses, doubles and reorders, its book is the engine's, byte for byte; nobody
 * sees half a command; and whatever the exchange's services do, the client ends up right, or says what is wrong.
 */
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MarketBatch, MarketBook, MarketData, type MarketDataOptions } from '../../sdk/exchange/client/index.ts';
import { wire } from '../../sdk/index.ts';
import { encodeMold } from '../../sdk/mold.ts';
import { below, dice } from '../dice.ts';
import { failureOf } from '../scratch.ts';
import { Engine, Flow } from './engine.ts';
import { MarketStandIn, ROOM_BYTES, sessionOf } from './market-stand-in.ts';
import { FAIR, FOUL, Relay, type Weather } from './relay.ts';

const EPOCH = 1_700_000_000;
/** Commands of one turn of the publisher. */
const TURN = 20;

/** An exchange, a network, and a client that reads. */
class Scene implements AsyncDisposable {
  readonly engine = new Engine();
  readonly flow: Flow;
  readonly book = new MarketBook();
  readonly abort = new AbortController();
  standIn!: MarketStandIn;
  relay!: Relay;
  data!: MarketData;
  /** What the loop ended with. */
  ending: Promise<unknown> = Promise.resolve();
  readonly batches: { sequence: bigint; length: number; isSnapshot: boolean }[] = [];
  /** The time between two batches that the reader takes. */
  pauseMs = 0;

  constructor(readonly seed: number) {
    this.flow = new Flow(dice(seed));
  }

  async begin(weather: Weather): Promise<this> {
    this.standIn = await MarketStandIn.start(this.engine, EPOCH);
    this.relay = await Relay.start(this.standIn.asked, dice(this.seed + 1_000), weather);
    this.standIn.feed.push({ port: this.relay.feed });
    return this;
  }

  async join(options: Partial<MarketDataOptions> = {}): Promise<void> {
    this.data = await MarketData.join({
      feed: '127.0.0.1:0',
      requests: `127.0.0.1:${this.relay.requests}`,
      snapshots: this.standIn.snapshotAddress,
      signal: this.abort.signal,
      ...options,
    });
    this.relay.client = this.data.address!.port;
    this.ending = this.#read().catch((error: unknown) => error);
  }

  async #read(): Promise<undefined> {
    for await (const batch of this.data) {
      this.book.apply(batch);
      const isSnapshot = batch.snapshot !== undefined;
      this.batches.push({ sequence: batch.sequence, length: batch.length, isSnapshot });
      const { bestBid, bestAsk } = this.book;
      if (bestBid && bestAsk && bestBid.price >= bestAsk.price) throw new Error(`crossed after ${this.book.sequence}`);
      if (this.pauseMs > 0) await sleep(this.pauseMs);
    }
  }

  /** Trades so many commands, in turns. */
  async trade(commands: number): Promise<void> {
    for (let done = 0; done < commands; done += TURN) {
      this.standIn.publish(this.engine.apply(this.flow.next(Math.min(TURN, commands - done))).market);
      await turn();
    }
  }

  /** Waits until the client's book has come as far as the engine's, and compares them. */
  async meets(): Promise<void> {
    await until(() => this.book.sequence === this.engine.book.marketSequence);
    this.isEqual();
  }

  isEqual(): void {
    const [own, engine] = [this.book.image(), this.engine.image()];
    assert.ok(own.length > 0);
    assert.is(Buffer.compare(own, engine), 0);
    assert.equal([this.book.bestBid, this.book.bestAsk], [this.engine.book.bestBid, this.engine.book.bestAsk]);
    for (const side of ['buy', 'sell'] as const) {
      assert.equal(this.book.depth(side), this.engine.book.depth(side));
      assert.equal(this.book.depth(side, 3), this.engine.book.depth(side, 3));
    }
  }

  /** Every batch ended where a command ended, unless that is larger than a datagram. */
  sawWholeCommands(): void {
    const ends = this.engine.ends(ROOM_BYTES);
    for (const { sequence, length } of this.batches) {
      const last = sequence + BigInt(length) - 1n;
      if (length > 0) assert.ok(ends.has(last), `a batch ended with ${last}, within a command`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.data?.close();
    await this.ending;
    this.relay?.close();
    this.standIn?.close();
    this.engine.close();
  }
}

async function until(is: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!is()) {
    if (performance.now() > end) throw new Error(`not within twenty seconds: ${is}`);
    await sleep(2);
  }
}

const test = suite('exchange: market data');

for (const seed of [1, 2, 3]) {
  test(`over a bad network the book is the engine's, byte for byte (seed ${seed})`, async () => {
    await using scene = await new Scene(seed).begin(FOUL);
    await scene.trade(2_000);
    await scene.join();
    scene.standIn.beatEvery(10);
    await scene.trade(10_000);
    await scene.meets();
    await scene.trade(10_000);
    await scene.meets();
    scene.sawWholeCommands();
    const { relay, data } = scene;
    const { counters } = data;
    assert.ok(relay.damage.lost > 5 && relay.damage.twice > 5 && relay.damage.late > 5, JSON.stringify(relay.damage));
    assert.ok(counters.gaps > 0 && counters.requested > 0 && counters.retransmitted > 0, JSON.stringify(counters));
    assert.ok(counters.duplicates > 0 && counters.reordered > 0, JSON.stringify(counters));
    scene.standIn.end();
    assert.is(await scene.ending, undefined);
    scene.isEqual();
  });
}

test('without losses nothing is asked for, and trades are those of the engine', async () => {
  await using scene = await new Scene(4).begin(FAIR);
  await scene.join();
  await until(() => scene.batches.length > 0);
  await scene.trade(3_000);
  await scene.meets();
  scene.sawWholeCommands();
  const { gaps, requested, duplicates, reordered, dropped, refused, snapshots } = scene.data.counters;
  assert.equal([gaps, requested, duplicates, reordered, dropped, refused, snapshots], [0, 0, 0, 0, 0, 0, 1]);
  const executed = scene.engine.market.map(({ payload }) => payload).filter((payload) => payload[0] === 0x45);
  const last = wire.decodeAs('Executed', executed.at(-1)!);
  const { lastTrade } = scene.book;
  assert.equal([lastTrade?.matchId, lastTrade?.price, lastTrade?.quantity], [last.matchId, last.price, last.quantity]);
  assert.is(lastTrade?.price, scene.engine.book.lastTradePrice);
});

test('when the last messages are lost, a heartbeat tells of them', async () => {
  await using scene = await new Scene(5).begin(FAIR);
  await scene.join();
  await scene.trade(500);
  await scene.meets();
  scene.relay.weather = { ...FAIR, loss: 1 };
  await scene.trade(100);
  await sleep(20);
  scene.relay.weather = FAIR;
  assert.ok(scene.book.sequence < scene.engine.book.marketSequence);
  scene.standIn.beat();
  await scene.meets();
  scene.sawWholeCommands();
  assert.is(scene.data.counters.snapshots, 1);
});

test('when nobody answers requests, a snapshot leads over the hole', async () => {
  await using scene = await new Scene(6).begin(FAIR);
  await scene.join({ timeoutMs: 5, attempts: 3 });
  await scene.trade(500);
  await scene.meets();
  scene.standIn.isAnswering = false;
  scene.relay.weather = { ...FAIR, loss: 1 };
  await scene.trade(100);
  await sleep(20);
  scene.relay.weather = FAIR;
  await scene.trade(500);
  await scene.meets();
  assert.is(scene.data.counters.snapshots, 2);
  assert.ok(scene.standIn.requests >= 3);
});

test('a hole that is too large is jumped over at once', async () => {
  await using scene = await new Scene(7).begin(FAIR);
  await scene.join({ gapMax: 200 });
  await scene.trade(500);
  await scene.meets();
  scene.relay.weather = { ...FAIR, loss: 1 };
  await scene.trade(2_000);
  await sleep(20);
  scene.relay.weather = FAIR;
  await scene.trade(50);
  await scene.meets();
  assert.equal([scene.data.counters.snapshots, scene.standIn.requests], [2, 0]);
});

test('a hole larger than that is mended all the same when no snapshot is newer', async () => {
  await using scene = await new Scene(8).begin(FAIR);
  await scene.join({ gapMax: 200, backlog: 1_000 });
  await scene.trade(500);
  await scene.meets();
  const image = scene.standIn.snapshot();
  scene.standIn.snapshot = () => image;
  scene.relay.weather = { ...FAIR, loss: 1 };
  await scene.trade(3_000);
  await sleep(20);
  scene.relay.weather = FAIR;
  await scene.trade(50);
  await scene.meets();
  scene.sawWholeCommands();
  assert.is(scene.data.counters.snapshots, 1);
});

test('a reader that is slow loses nothing, and its backlog has an end', async () => {
  await using scene = await new Scene(9).begin(FAIR);
  await scene.join({ backlog: 300 });
  scene.pauseMs = 5;
  scene.standIn.beatEvery(10);
  await scene.trade(4_000);
  await scene.meets();
  scene.sawWholeCommands();
  assert.ok(scene.data.counters.dropped > 0);
});

test('a new session begins everything anew, and an old one is not listened to', async () => {
  await using scene = await new Scene(10).begin(FAIR);
  await scene.join();
  await scene.trade(500);
  await scene.meets();
  scene.engine.close();
  const fresh = new Engine();
  Object.assign(scene, { engine: fresh, flow: new Flow(dice(11)) });
  scene.standIn.engine = fresh;
  scene.standIn.session = sessionOf(EPOCH + 60);
  await scene.trade(500);
  scene.standIn.beat();
  await scene.meets();
  assert.equal([scene.book.session, scene.data.session], [sessionOf(EPOCH + 60), sessionOf(EPOCH + 60)]);
  const { refused } = scene.data.counters;
  scene.standIn.session = sessionOf(EPOCH);
  scene.standIn.beat();
  await until(() => scene.data.counters.refused > refused);
  assert.is(scene.data.session, sessionOf(EPOCH + 60));
  scene.standIn.session = sessionOf(EPOCH + 60);
  await scene.trade(100);
  await scene.meets();
});

test('a session that only a stranger claims is left again', async () => {
  await using scene = await new Scene(12).begin(FAIR);
  await scene.join({ attempts: 2 });
  await scene.trade(200);
  await scene.meets();
  scene.standIn.send(encodeMold('9999999999', 1, []));
  await until(() => scene.data.session === '9999999999');
  await until(() => scene.data.session === sessionOf(EPOCH));
  await scene.trade(200);
  scene.standIn.beat();
  await scene.meets();
});

test('rubbish is counted, and harms nothing', async () => {
  await using scene = await new Scene(13).begin(FAIR);
  await scene.join();
  await scene.trade(200);
  await scene.meets();
  const roll = dice(14);
  const whole = encodeMold(
    sessionOf(EPOCH),
    scene.engine.book.marketSequence - 3n,
    scene.engine.market.slice(-4).map(({ payload }) => payload),
  );
  for (let index = 0; index < 500; index += 1) {
    const bytes = whole.slice(0, below(roll, 2) === 0 ? whole.length : below(roll, whole.length));
    // Sequence and count may claim what they like; a session would be another test.
    for (let strike = 0; strike < 4 && bytes.length > 10; strike += 1) {
      bytes[10 + below(roll, bytes.length - 10)] = below(roll, 256);
    }
    scene.standIn.send(bytes);
    if (index % 50 === 0) await turn();
  }
  await until(() => scene.data.counters.refused > 100);
  await scene.trade(500);
  scene.standIn.beat();
  await until(() => scene.book.sequence >= scene.engine.book.marketSequence);
});

test('a snapshot that is wrong, half, or does not come is not believed', async () => {
  await using scene = await new Scene(15).begin(FAIR);
  await scene.trade(500);
  scene.standIn.manner = 'wrong checksum';
  await scene.join();
  await until(() => (scene.data.trouble as { code?: string })?.code === 'ERR_CORRUPT');
  scene.standIn.manner = 'half';
  await until(() => (scene.data.trouble as { code?: string })?.code === 'ERR_IO');
  await scene.trade(500);
  assert.is(scene.batches.length, 0);
  scene.standIn.manner = 'honest';
  await scene.meets();
  assert.is(scene.data.trouble, undefined);
});

test('a session whose last messages nobody has ends with an error', async () => {
  await using scene = await new Scene(16).begin(FAIR);
  await scene.join({ timeoutMs: 5, attempts: 2 });
  await scene.trade(200);
  await scene.meets();
  const image = scene.standIn.snapshot();
  scene.standIn.snapshot = () => image;
  scene.standIn.isAnswering = false;
  scene.relay.weather = { ...FAIR, loss: 1 };
  await scene.trade(100);
  await sleep(20);
  scene.relay.weather = FAIR;
  scene.standIn.end();
  const error = (await scene.ending) as Error & { code: string };
  assert.is(error.code, 'ERR_TIMED_OUT');
  assert.match(error.message, /^the session ended before message \d+, and \d+ could not be had again/);
});

test('an abort ends the loop with its reason, and nothing stays open', async () => {
  await using scene = await new Scene(17).begin(FAIR);
  await scene.join();
  await scene.trade(100);
  await scene.meets();
  const reason = new Error('enough');
  scene.abort.abort(reason);
  assert.is(await scene.ending, reason);
  assert.is(scene.data.address, undefined);
  const other = AbortSignal.abort(reason);
  const options = { feed: '127.0.0.1:0', requests: '127.0.0.1:9', snapshots: '127.0.0.1:9', signal: other };
  assert.is(await failureOf(() => MarketData.join(options)), reason);
});

test('wrong arguments are told in sentences', async () => {
  const options = { feed: '127.0.0.1:0', requests: '127.0.0.1:9', snapshots: '127.0.0.1:9' };
  const cases: [options: object, words: RegExp][] = [
    [{ feed: 'here' }, /^feed is here; give an address, such as 127\.0\.0\.1:7001$/],
    [{ requests: '127.0.0.1:65536' }, /^requests is 127\.0\.0\.1:65536/],
    [{ snapshots: undefined }, /^snapshots is undefined/],
    [{ attempts: 0 }, /^attempts is 0; give a number, at least 1$/],
    [{ timeoutMs: Number.NaN }, /^timeoutMs is NaN/],
  ];
  for (const [wrong, words] of cases) {
    const error = await failureOf(() => MarketData.join({ ...options, ...wrong } as MarketDataOptions));
    assert.is(error.code, 'ERR_ARGUMENT');
    assert.match(error.message, words);
  }
});

test('a book notices what contradicts itself', async () => {
  const book = new MarketBook();
  const session = sessionOf(EPOCH);
  const added = (sequence: bigint, orderId: bigint) =>
    wire.encodeAs('Added', { sequence, orderId, price: 5, quantity: 10 });
  const batch = (sequence: bigint, ...payloads: Uint8Array[]) => new MarketBatch(session, sequence, payloads);
  book.apply(batch(1n, added(1n, 7n)));
  const wrong: [batch: MarketBatch, words: RegExp][] = [
    [batch(3n, added(3n, 8n)), /^message 3 does not follow 1/],
    [batch(2n, added(3n, 8n)), /^message 2 calls itself 3/],
    [batch(2n, added(2n, 7n)), /^order 7 rests twice/],
    [
      batch(2n, wire.encodeAs('Deleted', { sequence: 2, orderId: 9 })),
      /^message 2 is about order 9, which does not rest/,
    ],
    [
      batch(2n, wire.encodeAs('Reduced', { sequence: 2, orderId: 7, removed: 11 })),
      /takes 11 from order 7, which has 10/,
    ],
    [batch(2n, wire.encode({ message: 'NewOrder' })), /^message 2 has type 1 and 32 bytes/],
    [batch(2n, added(2n, 8n).subarray(0, 40)), /^message 2 has type 65 and 40 bytes/],
  ];
  for (const [one, words] of wrong) {
    const error = await failureOf(() => book.apply(one));
    assert.is(error.code, 'ERR_CORRUPT');
    assert.match(error.message, words);
  }
  assert.equal(book.order(7n), { orderId: 7n, side: 'buy', price: 5n, quantity: 10n, priority: 7n });
  assert.equal([...book.orders('buy')].length, 1);
  assert.equal([book.isHalted, book.sequence, book.orderCount, book.order(8n)], [false, 1n, 1, undefined]);
  const [trade] = book.apply(
    batch(
      2n,
      wire.encodeAs('Executed', { sequence: 2, orderId: 7, matchId: 3, price: 5, quantity: 10, timestampNs: 9 }),
    ),
  );
  assert.equal(trade, {
    matchId: 3n,
    price: 5n,
    quantity: 10n,
    side: 'sell',
    orderId: 7n,
    sequence: 2n,
    timestamp: 9n,
  });
  book.apply(batch(3n, wire.encodeAs('StateChanged', { sequence: 3, state: 1 })));
  assert.equal([book.isHalted, book.bestBid, book.image().length], [true, undefined, 0]);
  assert.equal([...batch(2n, added(2n, 8n))][0]?.message, 'Added');
  assert.is((await failureOf(() => book.depth('bid' as never))).code, 'ERR_ARGUMENT');
});

test.run();
