/**
 * Order entry client: orders become reports, sessions begin, go on and end, and what is wrong is told by its name.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ExchangeError, OrderEntryOptions } from '../../sdk/exchange/client/index.ts';
import { wire } from '../../sdk/index.ts';
import { failureOf } from '../scratch.ts';
import { BOB, buy, inWords, Scene, until } from './order-scene.ts';

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

test('there is room until too many commands are without an answer', async () => {
  await using scene = await new Scene().begin({ unansweredMax: 10 });
  const { client } = scene;
  for (let index = 0; index < 10; index += 1) client.newOrder(buy(100));
  const error = await failureOf(() => client.newOrder(buy(100)));
  assert.is(error.code, 'ERR_NO_SPACE');
  assert.match(error.message, /^10 commands are without an answer; await room\(\)/);
  client.cancel(1n);
  await client.room();
  client.newOrder(buy(100));
  await scene.settles();
  assert.is(scene.read.length, 12);
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
    [() => client.newOrder({ ...buy(1), price: null as never }), /^price of NewOrder is null/],
    [() => client.newOrder(buy(2 ** 53)), /^price of NewOrder is 9007199254740992/],
    [() => client.newOrder({ ...buy(1), price: 1n << 63n }), /^price of NewOrder is 9223372036854775808/],
    [() => client.newOrder(buy(1, 2 ** 60)), /^quantity of NewOrder is 1152921504606847000/],
    [
      () => client.newOrder({ ...buy(1), clientOrderId: 1n << 64n }),
      /^clientOrderId of NewOrder is 18446744073709551616/,
    ],
    [() => client.newOrder({ side: 'buy', price: 1 } as never), /^quantity is left out/],
    [() => client.replace(1n, { quantity: 1 } as never), /^price is left out/],
    [() => client.replace(1n, { price: 1 } as never), /^quantity is left out/],
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
