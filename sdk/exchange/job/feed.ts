/**
 * Feed: the book, from market data over UDP: what is lost is asked for again. One of the processes of the exchange.
 *
 *     feed.ts FEED REQUESTS SNAPSHOTS        host:port each
 */
import { argv } from 'node:process';
import { leash, report } from '../../crew/report.ts';
import { now } from '../../index.ts';
import { MarketBook } from '../client/market-book.ts';
import { MarketData } from '../client/market-data.ts';
import { Witness } from './witness.ts';
import type { Ready } from './words.ts';

const [feed = '', requests = '', snapshots = ''] = argv.slice(2);
const signal = leash();
const data = await MarketData.join({ feed, requests, snapshots, signal });
const book = new MarketBook();
const witness = new Witness(book);
let before = data.counters;

try {
  for await (const batch of data) {
    if (batch.snapshot !== undefined && before.snapshots === 0) report<Ready>({ report: 'ready' });
    const nowNs = now();
    book.apply(batch);
    const { counters } = data;
    witness.saw(batch.payloads, nowNs, {
      gaps: counters.gaps - before.gaps,
      duplicates: 0,
      requested: counters.retransmitted - before.retransmitted,
      snapshots: counters.snapshots - before.snapshots,
    });
    before = counters;
  }
} catch (error) {
  if (!signal.aborted) throw error;
}
witness.testify();
