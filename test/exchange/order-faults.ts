/**
 * Order entry client: connections break where they like, gateways go away, fall silent and lie, readers sleep; nothing is
 * lost or doubled, and what cannot be right is an error.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { frameOf } from '../../sdk/exchange/client/frames.ts';
import { wire } from '../../sdk/index.ts';
import { below, dice, pick } from '../dice.ts';
import { failureOf } from '../scratch.ts';
import { sequenceOf } from './gateway-stand-in.ts';
import { buy, Scene, until } from './order-scene.ts';

const test = suite('exchange: order faults');

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

test('the last command is asked about when nothing that was kept answers it', async () => {
  await using scene = await new Scene().begin();
  const { client, gateway } = scene;
  client.newOrder(buy(100));
  await scene.settles();
  gateway.fate = (_, session) => {
    session.cut();
    gateway.fate = () => 'tell';
    return 'silent';
  };
  client.newOrder(buy(101, 0));
  await scene.settles();
  assert.equal(scene.words, ['accepted 1', 'rejected 2 ZERO_QUANTITY']);
  assert.is(client.counters.resent, 1);
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

test('a hole in the reports is filled by the next connection', async () => {
  await using scene = await new Scene().begin();
  const { client, gateway } = scene;
  let holes = 3;
  gateway.change = (payload) => (sequenceOf(payload) === 2n && holes-- > 0 ? undefined : payload);
  for (let index = 0; index < 3; index += 1) client.newOrder(buy(100));
  await scene.settles();
  scene.isWhole();
  assert.equal([client.counters.refused, client.counters.reconnects], [3, 3]);
  assert.is(client.trouble, undefined);
});

test('a hole that nobody fills is an error, after several connections and pauses that grow', async () => {
  await using scene = await new Scene().begin({ refusedMax: 4, pauseMs: 20, pauseMaxMs: 1_000 });
  const { client, gateway } = scene;
  gateway.change = (payload) => (sequenceOf(payload) === 2n ? undefined : payload);
  const begun = performance.now();
  for (let index = 0; index < 3; index += 1) client.newOrder(buy(100));
  const error = (await scene.ending) as Error & { code: string };
  assert.is(error.code, 'ERR_CORRUPT');
  const what = 'report 3 came, and 2 is missing';
  assert.is(error.message, `4 connections in a row brought what cannot be, the last one: ${what}`);
  assert.is((error.cause as Error).message, what);
  // At least half of 20, 40 and 80 ms.
  assert.ok(performance.now() - begun >= 70);
  assert.equal([client.counters.refused, gateway.logins.length], [4, 4]);
  assert.equal(scene.words, ['accepted 1']);
  assert.is(await failureOf(() => client.newOrder(buy(1))), error);
  assert.is(await failureOf(() => client.room()), error);
});

test('an exchange that has forgotten some reports is an error at once, and so is another account', async () => {
  {
    await using scene = await new Scene().begin();
    scene.client.newOrder(buy(100));
    await scene.settles();
    scene.engine.reports.clear();
    scene.gateway.cut();
    const error = (await scene.ending) as Error & { code: string };
    assert.is(error.code, 'ERR_CORRUPT');
    assert.match(error.message, /^report 2 is wanted, and for the exchange 1 is next/);
    assert.is(scene.gateway.logins.length, 2);
  }
  await using scene = await new Scene().begin();
  Object.assign(scene.gateway.users[0]!, { account: 3 });
  scene.gateway.cut();
  const error = (await scene.ending) as Error & { code: string };
  assert.equal([error.code, error.message], ['ERR_CORRUPT', "the user's account was 1, and is 3 now"]);
});

for (const seed of [1, 2, 3]) {
  test(`rubbish ends a connection, is counted, and nothing is lost (seed ${seed})`, async () => {
    await using scene = await new Scene().begin({ pauseMaxMs: 5 });
    const { client, gateway } = scene;
    const roll = dice(seed);
    const bytes = (count: number) => Uint8Array.from({ length: count }, () => below(roll, 256));
    const report = (fields: Partial<wire.Fields<'ExecutionReport'>>) =>
      frameOf(wire.encodeAs('ExecutionReport', { account: 1, sequence: 1n, ...fields }));
    let rubbish = 0;
    gateway.spoil = (frame) => {
      if (roll() > 0.15) return frame;
      rubbish += 1;
      const kind = roll();
      if (kind < 0.3) return Buffer.concat([bytes(1 + below(roll, 200)), Buffer.alloc(300)]);
      if (kind < 0.5) return Buffer.concat([frameOf(wire.encode({ message: 'NewOrder' })), frame]);
      if (kind < 0.7) return Buffer.concat([report({ account: 7 }), frame]);
      // A report that is not the next one.
      if (kind < 0.85) return Buffer.concat([report({ sequence: 1n << 40n, execType: 2 }), frame]);
      return Buffer.concat([frameOf(Uint8Array.of(7, ...bytes(7))), frame]);
    };
    for (let price = 1; price <= 300; price += 1) {
      client.newOrder(buy(price));
      if (price % 10 === 0) await sleep(0);
    }
    await until(() => client.unanswered < 250 && client.counters.refused >= 10);
    gateway.spoil = (frame) => frame;
    await scene.settles();
    scene.isWhole();
    assert.is(scene.read.length, 300);
    assert.ok(client.counters.refused <= rubbish, `${client.counters.refused} of ${rubbish}`);
  });
}

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
  await until(() => client.trouble?.code === 'ERR_CORRUPT');
  gateway.change = (payload) => payload;
  await scene.settles();
  scene.isWhole();
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

test.run();
