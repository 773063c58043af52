/**
 * Retention: the beginning of an exchange's logs is removed while it stands still, as far as the snapshots let it; then
 * all its parts go on, and late readers and clients find everything that is still there.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { addressOf } from '../../sdk/exchange/client/address.ts';
import { MarketBook, MarketData, OrderEntry } from '../../sdk/exchange/client/index.ts';
import { fetchSnapshot } from '../../sdk/exchange/client/snapshot.ts';
import { ROLES } from '../../sdk/exchange/parts.ts';
import { Log } from '../../sdk/index.ts';
import { freeUdpPort, Place, until } from './place.ts';

const SEGMENT_BYTES = 64 << 10;
const FAR = 1n << 62n;

const test = suite('exchange: retention');

/** Sells and buys, so often, and leaves every tenth order; reads all reports there are from `nextReport` on. */
async function trade(place: Place, count: number, nextReport: bigint): Promise<{ first: bigint; next: bigint }> {
  await using entry = await OrderEntry.connect({ gateway: place.gateway, user: 'alice', token: 'alice', nextReport });
  const sequences: bigint[] = [];
  const reading = (async () => {
    for await (const { sequence } of entry) if (sequence > 0n) sequences.push(sequence);
  })();
  for (let index = 0; index < count; index += 1) {
    const id = entry.newOrder({ side: index % 2 === 0 ? 'buy' : 'sell', price: 100 + (index % 2) * 50, quantity: 1 });
    if (index % 10 > 0) entry.cancel(id);
    if (index % 100 === 0) await entry.room();
  }
  await until(() => entry.unanswered === 0, 'all is answered');
  await entry.close();
  await reading;
  for (const [index, sequence] of sequences.entries()) assert.is(sequence, sequences[0]! + BigInt(index));
  return { first: sequences[0]!, next: entry.nextReport };
}

/** Removes what is below, unless something needs it; the first sequence that is left. */
async function trim(log: string, below: bigint, force: boolean): Promise<bigint> {
  await using writer = await Log.open(log, { segmentBytes: SEGMENT_BYTES });
  await writer.trim(below, { force });
  return (await Log.stat(log)).firstSequence;
}

test('what the snapshots do not need may go, and all parts go on', async () => {
  const feed = `127.0.0.1:${await freeUdpPort()}`;
  await using place = await Place.start({ feed: [feed], changes: { segment_bytes: SEGMENT_BYTES } });
  const { next } = await trade(place, 4_000, 1n);
  await until(() => place.status('shadow').file_sequence > 3_000, 'there is a snapshot');
  for (const role of ['gateway', 'matcher', 'publisher', 'shadow'] as const) await place.end(role);
  const { data } = place.config;
  const first = await trim(join(data, 'orders'), FAR, false);
  assert.ok(first > 1n && first <= BigInt(place.status('shadow').file_sequence), `${first}`);
  for (const log of ['reports', 'market']) assert.ok((await trim(join(data, log), 2_000n, true)) > 1n);
  for (const role of ROLES) await place.start(role);
  const book = new MarketBook();
  await using market = await MarketData.join({ feed, requests: place.requests, snapshots: place.snapshots });
  const reading = (async () => {
    for await (const batch of market) book.apply(batch);
  })();
  const after = await trade(place, 1_000, 1n);
  assert.ok(after.first > 1n && after.first < next, `the oldest report that is kept is ${after.first}`);
  assert.ok(after.next > next);
  await until(() => place.status('matcher').commands > 0, 'the matcher says how it is');
  await sleep(200);
  const last = BigInt(place.status('matcher').market_sequence);
  await until(() => book.sequence >= last, 'the book is as late as the feed');
  const snapshot = await fetchSnapshot(addressOf(place.snapshots, 'snapshots'), 5_000, AbortSignal.timeout(10_000));
  assert.is(snapshot.sequence, book.sequence);
  assert.is(Buffer.compare(book.image(), snapshot.orders), 0);
  await place.end('publisher', 'over');
  await reading;
});

test.run();
