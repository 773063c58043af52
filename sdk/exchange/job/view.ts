/**
 * View: the book, from the stream `market` in shared memory. One of the processes of the exchange.
 *
 *     view.ts REGION SNAPSHOTS        SNAPSHOTS: where the snapshot service listens, host:port
 *
 * It begins with a snapshot and goes on with the message after it, which is in the ring or in the log: so it has always
 * seen everything, however often it is killed. What it reports to the parent says how far it has seen.
 */
import { argv } from 'node:process';
import { leash, report } from '../../crew/report.ts';
import { now, Region } from '../../index.ts';
import { MESSAGES } from '../../wire.ts';
import { addressOf } from '../client/address.ts';
import { MarketBatch } from '../client/market-batch.ts';
import { MarketBook } from '../client/market-book.ts';
import { fetchSnapshot } from '../client/snapshot.ts';
import { Witness } from './witness.ts';
import type { Ready } from './words.ts';

const SNAPSHOT_MS = 10_000;
const SEQUENCE = MESSAGES.Added.fields.sequence.offset;

function sequenceOf({ buffer, byteOffset }: Uint8Array): bigint {
  return new DataView(buffer, byteOffset).getBigUint64(SEQUENCE, true);
}

const [path = '', snapshots = ''] = argv.slice(2);
const signal = leash();
const book = new MarketBook();
book.load(await fetchSnapshot(addressOf(snapshots, 'snapshots'), SNAPSHOT_MS, signal));
using region = Region.open(path);
// A message's own number is at most that of its place in the log: what comes first may be in the snapshot already.
using consumer = region.openConsumer('market', { from: book.sequence + 1n, label: 'view', signal });
const witness = new Witness(book);
report<Ready>({ report: 'ready' });

try {
  for await (const batch of consumer) {
    const nowNs = now();
    const before = book.sequence;
    const payloads = Array.from(batch, ({ payload }) => payload);
    const fresh = payloads.filter((payload) => sequenceOf(payload) > before);
    const first = fresh[0];
    if (first === undefined) continue;
    const gaps = Number(sequenceOf(first) - before - 1n);
    book.apply(new MarketBatch(book.session, before + 1n, fresh));
    witness.saw(fresh, nowNs, { gaps, duplicates: 0 });
  }
} catch (error) {
  if (!signal.aborted) throw error;
}
witness.testify();
