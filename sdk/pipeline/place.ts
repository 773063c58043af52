/**
 * Place: which record of `orders` is the last one, so that the next gateway goes on with exactly the one after it.
 *
 * The end of the channel is looked at, through the log where the ring has it no more. What a gateway that was killed had
 * claimed and not published is mended by whoever waits for it, so after the wait everything below the tail is known; and
 * a gateway publishes in order, so nothing of what it wrote lies behind a record that it did not write.
 */
import { type Consumer, type Region, TailraceError } from '../index.ts';
import { decodeRecord, emptyRecord } from './record.ts';

/** So many of the last sequences are looked at first; eight times as many when all of them were abandoned. */
const LOOK_BACK = 4_096;
const WIDER = 8;
const WAIT_MS = 1_000;

/** Where the flow stands. */
export interface Place {
  /** Run of the last record; -1: there is none. */
  run: number;
  /** How many records there are, which is the index of the next one. */
  count: number;
}

/** The sequence that the next message of a recorded channel gets. */
export function endOf(region: Region, channel: string): number {
  const found = region.channels().find(({ name }) => name === channel);
  return (found?.recorder?.base ?? 0) + (found?.tail ?? 0);
}

/** Where the flow in `orders` stands, of which nobody is writing. */
export async function findPlace(region: Region): Promise<Place> {
  const end = endOf(region, 'orders');
  let oldest = 1;
  for (let back = LOOK_BACK; ; back *= WIDER) {
    const from = Math.max(oldest, end - back);
    try {
      using consumer = region.openConsumer('orders', { from: BigInt(from), label: 'gateway' });
      const place = await lastOf(consumer, end);
      if (place !== undefined || from === oldest) return place ?? { run: -1, count: 0 };
    } catch (error) {
      if (!(error instanceof TailraceError && error.code === 'ERR_GONE')) throw error;
      oldest = Number(error.oldestSequence);
    }
  }
}

async function lastOf(consumer: Consumer, end: number): Promise<Place | undefined> {
  const record = emptyRecord();
  let place: Place | undefined;
  while (consumer.position < BigInt(end)) {
    const batch = consumer.poll(1_024);
    const last = batch.at(-1);
    if (last === undefined) {
      await consumer.wait({ timeoutMs: WAIT_MS });
      continue;
    }
    const { buffer, byteOffset } = last.payload;
    decodeRecord(new DataView(buffer), byteOffset, record);
    place = { run: record.run, count: countAt(record.counter, Number(last.sequence)) };
  }
  return place;
}

/** How many records there are when the last one has this counter and sequence: the counter counts modulo 2 ** 32. */
export function countAt(counter: number, sequence: number): number {
  const laps = Math.floor((sequence - 1 - counter) / 2 ** 32);
  return Math.max(0, laps) * 2 ** 32 + counter + 1;
}
