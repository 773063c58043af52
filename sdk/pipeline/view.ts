/**
 * View: keeps the top of the book from the stream `orders`, with `for await`. One of the pipeline's processes.
 *
 * After each batch it reports what it can testify (`witness.ts`), so that the parent knows what it had seen whenever it
 * is killed; ten times a second it reports the top of the book for the table.
 */
import { argv, pid } from 'node:process';
import { now, Region } from '../index.ts';
import { Book } from './book.ts';
import { Flow } from './flow.ts';
import { emptyRecord, encodeRecord, RECORD_BYTES } from './record.ts';
import { type LatencyCount, leash, report } from './report.ts';
import { Witness } from './witness.ts';

const TOP_MS = 100;
const REHEARSED_RECORDS = 40_000;

/** Counts messages of one batch by how long they were on the way; those of one write came together. */
class Delays {
  #counts: [number, number][] = [];
  #timestamp = -1n;

  add(timestamp: bigint, nowNs: bigint): void {
    if (timestamp !== this.#timestamp) {
      this.#timestamp = timestamp;
      this.#counts.push([Math.max(0, Math.floor(Number(nowNs - timestamp) / 1000)), 0]);
    }
    this.#counts.at(-1)![1] += 1;
  }

  take(): LatencyCount[] {
    const counts = this.#counts;
    this.#counts = [];
    this.#timestamp = -1n;
    return counts;
  }
}

function tellTop(book: Book): void {
  const bid = book.bids.level(0);
  const ask = book.asks.level(0);
  report({
    report: 'top',
    bid: bid?.price ?? 0,
    bidSize: bid?.size ?? 0,
    ask: ask?.price ?? 0,
    askSize: ask?.size ?? 0,
    live: book.live,
    unknown: book.unknown,
    run: book.run,
    lap: book.lap,
  });
}

/**
 * Plays generated flow through a book and a witness that nobody needs: a reader that has not been compiled yet is ten
 * times slower, and one that gates holds the gateway up with it.
 */
function rehearse(): void {
  const flow = new Flow(0);
  const rehearsed = new Book();
  const view = new DataView(new ArrayBuffer(RECORD_BYTES));
  const record = emptyRecord();
  const reader = new Witness(0);
  for (let position = 0; position < REHEARSED_RECORDS; position++) {
    flow.next(record);
    record.counter = position;
    encodeRecord(view, 0, record);
    reader.see(position, view, 0, false);
    rehearsed.apply(reader.record);
  }
}

const path = argv[2] ?? '';
const signal = leash();
rehearse();
using region = Region.open(path);
using consumer = region.openConsumer('orders', { label: 'view', signal });
const { participants } = region.stats();
const mine = participants.find((entry) => entry.pid === pid && entry.role === 'gating_subscriber');
const cursor = mine?.cursor ?? 0;
const witness = new Witness(cursor);
const book = new Book();
const delays = new Delays();
report({ report: 'ready', cursor });

let toldMs = 0;
let memory = new DataView(new ArrayBuffer(0));
try {
  for await (const batch of consumer) {
    const nowNs = now();
    for (const message of batch) {
      const { buffer, byteOffset } = message.payload;
      if (memory.buffer !== buffer) memory = new DataView(buffer);
      delays.add(message.timestamp, nowNs);
      const isNew = witness.see(Number(message.sequence) - 1, memory, byteOffset, message.redelivered);
      if (isNew) book.apply(witness.record);
    }
    report({ report: 'batch', ...witness.testify(), lost: batch.lost, latencies: delays.take() });
    if (performance.now() - toldMs >= TOP_MS) {
      toldMs = performance.now();
      tellTop(book);
    }
  }
} catch (error) {
  if (!signal.aborted) throw error;
}
