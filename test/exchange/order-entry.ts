/**
 * Order entry client: orders become reports; connections break where they like, and nothing is lost or doubled; what
 * cannot be right is an error with its name.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type ExchangeError,
  type ExecutionReport,
  OrderEntry,
  type OrderEntryOptions,
} from '../../sdk/exchange/client/index.ts';
import { wire } from '../../sdk/index.ts';
import { below, dice, pick } from '../dice.ts';
import { failureOf } from '../scratch.ts';
import { Engine } from './engine.ts';
import { GatewayStandIn, sequenceOf } from './gateway-stand-in.ts';

const ALICE = { user: 'alice', token: 'a secret of alice', account: 1 };
const BOB = { user: 'bob', token: 'a secret of bob', account: 2 };

/** An exchange, a client, and what the client has read. */
class Scene implements AsyncDisposable {
  readonly engine = new Engine();
  readonly read: ExecutionReport[] = [];
  gateway!: GatewayStandIn;
  client!: OrderEntry;
  ending: Promise<unknown> = Promise.resolve();
  /** Reads no report as long as this is true. */
  isAsleep = false;

  async begin(options: Partial<OrderEntryOptions> = {}): Promise<this> {
    this.gateway = await GatewayStandIn.start(this.engine, [ALICE, BOB]);
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

function inWords({ execType, clientOrderId, reason, isRepeat }: ExecutionReport): string {
  const why = reason === 'NONE' ? '' : ` ${reason}`;
  return `${KINDS[execType]} ${clientOrderId}${why}${isRepeat ? ' again' : ''}`;
}

async function until(is: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!is()) {
    if (performance.now() > end) throw new Error(`not within twenty seconds: ${is}`);
    await sleep(2);
  }
}

const buy = (price: number, quantity = 10) => ({ side: 'buy', price, quantity }) as const;

const test = suite('exchange: order entry');

test('orders become reports', async () => {
  await using scene = await new Scene().begin();
  const { client, gateway } = scene;
  assert.equal([client.account, client.lastClientOrderId, client.nextReport, client.isConnected], [1, 0n, 1n, true]);
  const first = client.newOrder(buy(100));
  const second = client.replace(first, { price: 101, quantity: 5, postOnly: true });
  client.newOrder({ side: 'sell', price: 101, quantity: 5, lasting: 'ioc', selfTrade: 'newest' });
  client.cancel(second);
  client.cancel(99n);
  client.newOrder({ side: 'sell', quantity: 5 });
  client.newOrder({ ...buy(90, 0) });
  client.newOrder({ ...buy(95), lasting: 'fok' });
  client.newOrder(buy(80));
  client.massCancel({ side: 'buy' });
  await scene.settles();
  assert.equal(scene.words, [
    'accepted 1',
    'replaced 2',
    'accepted 3',
    'cancelled 3 SELF_TRADE',
    'cancelled 2',
    'rejected 99 UNKNOWN_ORDER',
    'accepted 4',
    'cancelled 4 REMAINDER',
    'rejected 5 ZERO_QUANTITY',
    'rejected 6 FILL_OR_KILL',
    'accepted 7',
    'cancelled 7 MASS_CANCEL',
    'done 8',
  ]);
  scene.isWhole();
  const [accepted] = scene.read;
  assert.equal(
    [accepted?.side, accepted?.isMaker, accepted?.isDone, accepted?.account, accepted?.price, accepted?.quantity],
    ['buy', false, false, 1, 100n, 10n],
  );
  gateway.apply([{ message: 'NewOrder', account: 2, clientOrderId: 1, side: 2, orderType: 1, price: 70, quantity: 3 }]);
  client.newOrder(buy(70, 3));
  await until(() => scene.words.at(-1) === 'fill 9');
  assert.equal([scene.read.at(-1)?.isDone, client.lastClientOrderId], [true, 9n]);
});

for (const seed of [1, 2, 3]) {
  test(`connections that break anywhere lose nothing and double nothing (seed ${seed})`, async () => {
    await using scene = await new Scene().begin();
    const { client, gateway, engine } = scene;
    const roll = dice(seed);
    let cuts = 0;
    gateway.fate = (_, session) => {
      if (roll() >= 0.02) return 'tell';
      cuts += 1;
      session.cut();
      return pick(roll, ['lose', 'silent']);
    };
    const sent: bigint[] = [];
    const cancelled = new Set<bigint>();
    for (let index = 0; index < 2_000; index += 1) {
      const kind = roll();
      const known = pick(roll, sent);
      if (known !== undefined && kind < 0.2 && !cancelled.has(known)) {
        cancelled.add(known);
        client.cancel(known);
      } else if (known !== undefined && kind < 0.3) {
        sent.push(client.replace(known, { price: 100 + below(roll, 20), quantity: 1 + below(roll, 50) }));
      } else {
        const side = roll() < 0.5 ? 'buy' : 'sell';
        const quantity = kind > 0.97 ? 0 : 1 + below(roll, 50);
        sent.push(client.newOrder({ side, price: 100 + below(roll, 20), quantity, selfTrade: 'oldest' }));
      }
      if (index % 20 === 0) await client.room();
    }
    await scene.settles();
    scene.isWhole();
    assert.ok(cuts > 5, `${cuts} cuts`);
    assert.ok(client.counters.reconnects > 5 && client.counters.resent > 0, JSON.stringify(client.counters));
    const answers = scene.read.filter(({ execType }) => [1, 4, 5].includes(execType));
    const answered = new Map<bigint, number>();
    for (const { clientOrderId } of answers) answered.set(clientOrderId, (answered.get(clientOrderId) ?? 0) + 1);
    for (const id of sent) {
      const most = cancelled.has(id) ? 2 : 1;
      const count = answered.get(id) ?? 0;
      assert.ok(count >= 1 && count <= most, `${id} was answered ${count} times`);
    }
    assert.ok(engine.book.account(1).lastClientOrderId <= client.lastClientOrderId);
  });
}

test('a rejection that was on its way when the connection broke is had by asking again', async () => {
  await using scene = await new Scene().begin();
  const { client, gateway } = scene;
  gateway.fate = (command, session) => {
    if (command.message !== 'NewOrder' || command.clientOrderId === 1n) return 'tell';
    if (command.clientOrderId === 3n) session.cut();
    return 'silent';
  };
  client.newOrder(buy(100));
  client.newOrder(buy(100, 0));
  client.newOrder(buy(101));
  await scene.settles();
  assert.equal(scene.words, ['accepted 1', 'accepted 3', 'rejected 2 ZERO_QUANTITY again']);
  scene.isWhole();
});

test('a refusal for the rate is an answer to a new command, and none to a question', async () => {
  await using scene = await new Scene().begin();
  const { client, gateway } = scene;
  client.newOrder(buy(100));
  await scene.settles();
  gateway.rateRefusals = 1;
  client.newOrder(buy(101));
  await until(() => client.unanswered === 0);
  await until(() => scene.words.at(-1) === 'rejected 2 RATE');
  gateway.fate = (command, session) => {
    if (command.message === 'NewOrder' && command.clientOrderId === 4n) {
      session.cut();
      gateway.rateRefusals = 2;
    }
    return 'silent';
  };
  client.newOrder(buy(102, 0));
  client.newOrder(buy(103));
  await scene.settles();
  assert.equal(scene.words, ['accepted 1', 'rejected 2 RATE', 'accepted 4', 'rejected 3 ZERO_QUANTITY again']);
  assert.is(gateway.rateRefusals, 0);
});

test('a cancel that was done when the connection broke is not told to be wrong', async () => {
  await using scene = await new Scene().begin();
  const { client, gateway } = scene;
  const id = client.newOrder(buy(100));
  await scene.settles();
  gateway.fate = (_, session) => {
    session.cut();
    gateway.fate = () => 'tell';
    return 'silent';
  };
  client.cancel(id);
  await scene.settles();
  await until(() => gateway.commands === 3);
  await sleep(20);
  assert.equal(scene.words, ['accepted 1', 'cancelled 1']);
  client.cancel(id);
  await until(() => client.unanswered === 0);
  await until(() => scene.words.at(-1) === 'rejected 1 UNKNOWN_ORDER');
  assert.is(scene.words.length, 3);
});

test('a gateway that is away for a while is waited for, and commands wait with it', async () => {
  await using scene = await new Scene().begin();
  const { client, gateway } = scene;
  client.newOrder(buy(100));
  await scene.settles();
  await gateway.stop();
  await until(() => !client.isConnected);
  client.newOrder(buy(101));
  client.newOrder(buy(102));
  await until(() => client.trouble?.code === 'ERR_IO' && client.trouble.message.includes('ECONNREFUSED'));
  gateway.apply([{ message: 'CancelOrder', account: 1, clientOrderId: 1 }]);
  await gateway.listen();
  await scene.settles();
  assert.equal(scene.words, ['accepted 1', 'cancelled 1', 'accepted 2', 'accepted 3']);
  assert.equal([client.counters.reconnects, client.trouble, gateway.logins.at(-1)?.nextReport], [1, undefined, 2n]);
});

test('who begins again goes on with the report that he wants, and is answered what was answered', async () => {
  await using scene = await new Scene().begin();
  const { client } = scene;
  for (let index = 0; index < 5; index += 1) client.newOrder(buy(100 + index));
  await scene.settles();
  await client.close();
  await scene.ending;
  await using later = await scene.connect({ nextReport: 3n });
  const read: string[] = [];
  assert.equal([later.lastClientOrderId, scene.gateway.logins.at(-1)?.nextReport], [5n, 3n]);
  later.newOrder({ ...buy(101), clientOrderId: 2n });
  later.newOrder({ ...buy(104), clientOrderId: 5n });
  later.newOrder(buy(105));
  for await (const report of later) {
    read.push(inWords(report));
    if (report.clientOrderId === 6n) break;
  }
  assert.equal(read, ['accepted 3', 'accepted 4', 'accepted 5', 'accepted 2 again', 'accepted 6']);
  assert.is(later.unanswered, 0);
  assert.is(later.counters.repeats, 1);
});

test('a slow reader holds the exchange back, and not his own memory', async () => {
  await using scene = await new Scene().begin({ backlog: 100 });
  const { client, gateway } = scene;
  scene.isAsleep = true;
  for (let index = 0; index < 20_000; index += 1) {
    gateway.apply([
      { message: 'NewOrder', account: 1, clientOrderId: index + 1, side: 1, orderType: 1, price: 50, quantity: 1 },
    ]);
    if (index % 1_000 === 0) await sleep(1);
  }
  await sleep(50);
  assert.ok(client.counters.reports < 15_000, `${client.counters.reports} reports were taken in`);
  gateway.cut();
  scene.isAsleep = false;
  await scene.settles();
  scene.isWhole();
  assert.is(scene.read.length, 20_000);
});

test('a hole in the reports is an error, and so is an exchange that has forgotten some', async () => {
  {
    await using scene = await new Scene().begin();
    scene.gateway.change = (payload) => (sequenceOf(payload) === 2n ? undefined : payload);
    for (let index = 0; index < 3; index += 1) scene.client.newOrder(buy(100));
    const error = (await scene.ending) as Error & { code: string };
    assert.is(error.code, 'ERR_CORRUPT');
    assert.match(error.message, /^report 3 came, and 2 is missing; begin again with nextReport: 2n$/);
    assert.equal(scene.words, ['accepted 1']);
    assert.is(await failureOf(() => scene.client.newOrder(buy(1))), error);
    assert.is(await failureOf(() => scene.client.room()), error);
  }
  await using scene = await new Scene().begin();
  scene.client.newOrder(buy(100));
  await scene.settles();
  scene.engine.reports.clear();
  scene.gateway.cut();
  const error = (await scene.ending) as Error & { code: string };
  assert.is(error.code, 'ERR_CORRUPT');
  assert.match(error.message, /^report 2 is wanted, and for the exchange 1 is next/);
});

test('reports that the exchange does not keep any more are an error for who has begun, and none for who begins', async () => {
  await using scene = await new Scene().begin();
  const { client, gateway } = scene;
  for (let index = 0; index < 9; index += 1) client.newOrder(buy(100));
  await scene.settles();
  gateway.firstKept = 12n;
  await gateway.stop();
  for (let id = 10; id < 20; id += 1) {
    gateway.apply([
      { message: 'NewOrder', account: 1, clientOrderId: id, side: 1, orderType: 1, price: 5, quantity: 1 },
    ]);
  }
  await gateway.listen();
  const error = (await scene.ending) as Error & { code: string };
  assert.is(error.code, 'ERR_GONE');
  assert.match(error.message, /^report 10 is wanted, and the exchange keeps those from 12 on/);
  await using later = await scene.connect({ nextReport: 1n });
  for await (const { sequence } of later) {
    assert.is(sequence, 12n);
    break;
  }
});

test('reports that come twice are read once', async () => {
  await using scene = await new Scene().begin();
  scene.gateway.change = (payload) => Buffer.concat([payload]);
  const { client, gateway, engine } = scene;
  client.newOrder(buy(100));
  await scene.settles();
  const [kept] = engine.reports.get(1)!;
  let isDoubled = false;
  gateway.change = (payload) => {
    if (isDoubled) return payload;
    isDoubled = true;
    return kept!.payload;
  };
  gateway.apply([{ message: 'NewOrder', account: 1, clientOrderId: 2, side: 1, orderType: 1, price: 5, quantity: 1 }]);
  await until(() => client.counters.repeats === 1);
  assert.is(scene.read.length, 1);
  gateway.cut();
  await scene.settles();
  scene.isWhole();
});

test('a login that is refused has a name', async () => {
  await using scene = await new Scene().begin();
  const { gateway } = scene;
  const refused = async (options: Partial<OrderEntryOptions>) =>
    (await failureOf(() => scene.connect(options))) as never;
  const wrong: ExchangeError = await refused({ token: 'another' });
  assert.equal([wrong.code, wrong.reason], ['ERR_PERMISSION', 'LOGIN']);
  assert.match(wrong.message, /^the gateway at 127\.0\.0\.1:\d+ refused the login: the user or the token is wrong$/);
  const cases: [number, string, string][] = [
    [wire.REASONS.LOGIN_VERSION, 'ERR_VERSION', 'LOGIN_VERSION'],
    [wire.REASONS.UNAVAILABLE, 'ERR_BUSY', 'UNAVAILABLE'],
  ];
  for (const [refusal, code, reason] of cases) {
    gateway.refusal = refusal;
    const error: ExchangeError = await refused({});
    assert.equal([error.code, error.reason], [code, reason]);
  }
  const { logins } = gateway;
  gateway.cut();
  await until(() => logins.length > 6);
  gateway.refusal = 0;
  await until(() => scene.client.isConnected);
  gateway.refusal = wire.REASONS.LOGIN;
  gateway.cut();
  const error = (await scene.ending) as ExchangeError;
  assert.equal([error.code, error.reason], ['ERR_PERMISSION', 'LOGIN']);
});

test('another login of the user ends this one for good', async () => {
  await using scene = await new Scene().begin();
  await using other = await scene.connect();
  const error = (await scene.ending) as Error & { code: string };
  assert.is(error.code, 'ERR_GONE');
  assert.match(error.message, /logged in elsewhere$/);
  await sleep(50);
  assert.equal([scene.gateway.logins.length, other.isConnected], [2, true]);
});

test('a gateway that says nothing is left, and one that says rubbish too', async () => {
  await using scene = await new Scene().begin({ heartbeatMs: 100 });
  const { client, gateway } = scene;
  await until(() => gateway.heartbeats > 3);
  assert.is(client.counters.reconnects, 0);
  gateway.isMute = true;
  await until(() => client.trouble?.code === 'ERR_TIMED_OUT');
  gateway.isMute = false;
  await until(() => client.isConnected);
  gateway.change = () => wire.encode({ message: 'CancelOrder' });
  client.newOrder(buy(1));
  assert.is(((await scene.ending) as { code: string }).code, 'ERR_CORRUPT');
});

test('cancel on disconnect takes everything away, also what was accepted unheard', async () => {
  await using scene = await new Scene().begin({ cancelOnDisconnect: true });
  const { client, gateway, engine } = scene;
  client.newOrder(buy(100));
  client.newOrder(buy(101));
  await scene.settles();
  gateway.fate = (_, session) => {
    session.cut();
    gateway.fate = () => 'tell';
    return 'silent';
  };
  client.newOrder(buy(102));
  await until(() => client.counters.reconnects === 1);
  await scene.settles();
  assert.equal(scene.words.slice(2), [
    'accepted 3',
    'cancelled 1 MASS_CANCEL',
    'cancelled 2 MASS_CANCEL',
    'cancelled 3 MASS_CANCEL',
    'done 0',
  ]);
  assert.is(engine.book.orderCount, 0);
});

test('there is room until too many commands are without an answer', async () => {
  await using scene = await new Scene().begin({ unansweredMax: 10 });
  const { client } = scene;
  for (let index = 0; index < 10; index += 1) client.newOrder(buy(100));
  const error = await failureOf(() => client.newOrder(buy(100)));
  assert.is(error.code, 'ERR_NO_SPACE');
  assert.match(error.message, /^10 commands are without an answer; await room\(\)/);
  await client.room();
  client.newOrder(buy(100));
  await scene.settles();
  assert.is(scene.read.length, 11);
});

test('closing logs out, and an abort ends the loop with its reason', async () => {
  const abort = new AbortController();
  await using scene = await new Scene().begin({ signal: abort.signal });
  const { client, gateway } = scene;
  await using other = await scene.connect(BOB);
  other.newOrder(buy(1));
  await other.close();
  await until(() => gateway.logouts === 1 && gateway.sessions === 1);
  const read = [];
  for await (const report of other) read.push(inWords(report));
  assert.equal(read, ['accepted 1']);
  assert.is((await failureOf(() => other.newOrder(buy(1)))).code, 'ERR_CLOSED');
  assert.is((await failureOf(() => other.room())).code, 'ERR_CLOSED');
  const reason = new Error('enough');
  abort.abort(reason);
  assert.is(await scene.ending, reason);
  await until(() => gateway.sessions === 0);
  assert.is(client.isConnected, false);
  assert.is(await failureOf(() => scene.connect({ signal: abort.signal })), reason);
});

test('wrong arguments are told in sentences', async () => {
  await using scene = await new Scene().begin();
  const { client } = scene;
  const cases: [call: () => unknown, words: RegExp][] = [
    [() => scene.connect({ gateway: 'there' }), /^gateway is there; give an address/],
    [() => scene.connect({ user: '' }), /^user must have 1 to 16 bytes/],
    [() => scene.connect({ token: 'x'.repeat(33) }), /^token must have 1 to 32 bytes/],
    [() => scene.connect({ heartbeatMs: 99 }), /^heartbeatMs is 99; give a number, at least 100/],
    [() => scene.connect({ heartbeatMs: 60_001 }), /^heartbeatMs is 60001; give at most 60000/],
    [() => client.newOrder({ ...buy(1), side: 'bid' as never }), /^side is bid; give buy or sell/],
    [() => client.newOrder({ ...buy(1), lasting: 'day' as never }), /^lasting is day; give gtc, ioc, fok/],
    [() => client.newOrder({ ...buy(1), selfTrade: 'x' as never }), /^selfTrade is x; give none, newest/],
    [() => client.newOrder(buy(1.5)), /^price of NewOrder is 1\.5/],
    [() => client.newOrder(buy(1, -1)), /^quantity of NewOrder is -1/],
    [() => client.massCancel({ side: 'x' as never }), /^side is x; give buy, sell, both/],
  ];
  for (const [call, words] of cases) {
    const error = await failureOf(call);
    assert.is(error.code, 'ERR_ARGUMENT');
    assert.match(error.message, words);
  }
  assert.equal([client.unanswered, client.lastClientOrderId], [0, 0n]);
  client.newOrder({ ...buy(1), clientOrderId: 7n });
  const twice = await failureOf(() => client.newOrder({ ...buy(1), clientOrderId: 7n }));
  assert.match(twice.message, /^clientOrderId 7 waits for its answer already/);
  await scene.settles();
  const nobody = await failureOf(() => scene.connect({ gateway: '127.0.0.1:1' }));
  assert.is(nobody.code, 'ERR_IO');
  assert.match(nobody.message, /^the gateway at 127\.0\.0\.1:1: .*ECONNREFUSED/);
});

test.run();
