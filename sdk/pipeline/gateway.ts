/**
 * Gateway: writes order flow to the stream `orders` at a steady rate. One of the pipeline's processes.
 *
 * A schedule says how many records are due; each millisecond those are written, in batches. When there is no room (a
 * reader that gates is behind, or has died and is not yet removed), it waits for room, and reports how long that took.
 * What could not be written in time is made up for, but at most a tenth of a second of it: after a long stall the
 * readers must not be met by a flood.
 *
 * Each start is a run of its own, with a dense counter from 0. Nothing is kept over a kill: what was written is in the
 * ring, and what was not is not missed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Producer, Region } from '../index.ts';
import { Flow } from './flow.ts';
import { Replay, readLobster } from './lobster.ts';
import { digestRecord, emptyRecord, encodeRecord, RECORD_BYTES, type Source } from './record.ts';
import { leash, report } from './report.ts';
import { MESSAGE_TYPE } from './signal.ts';
import { BlockSums } from './witness.ts';

const BATCH_RECORDS = 512;
const ARREARS_MS = 100;
const TICK_MS = 1;
const REPORT_MS = 50;

/** How many records should have been written by now, less those that were. */
class Schedule {
  #startMs = performance.now();
  #written = 0;

  constructor(readonly rate: number) {}

  due(): number {
    const nowMs = performance.now();
    const due = Math.floor(((nowMs - this.#startMs) * this.rate) / 1000) - this.#written;
    const most = Math.max(1, Math.floor((ARREARS_MS * this.rate) / 1000));
    if (due <= most) return due;
    this.#startMs = nowMs - ARREARS_MS;
    this.#written = 0;
    return most;
  }

  wrote(count: number): void {
    this.#written += count;
  }
}

/** Writes records of one run. */
class Gateway {
  counter = 0;
  #stallMs = 0;
  #reportedMs = 0;
  readonly #sums = new BlockSums();
  readonly #record = emptyRecord();
  readonly #bytes = new Uint8Array(BATCH_RECORDS * RECORD_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #payloads = Array.from({ length: BATCH_RECORDS }, (_, index) =>
    this.#bytes.subarray(index * RECORD_BYTES, (index + 1) * RECORD_BYTES),
  );

  constructor(
    readonly producer: Producer,
    readonly source: Source,
    readonly run: number,
  ) {
    this.#record.run = run;
  }

  /** Writes `count` records, waiting for room as long as it takes. */
  async write(count: number, signal: AbortSignal): Promise<void> {
    for (let index = 0; index < count; index++) {
      this.source.next(this.#record);
      this.#record.counter = (this.counter + index) >>> 0;
      encodeRecord(this.#view, index * RECORD_BYTES, this.#record);
    }
    const options = { type: MESSAGE_TYPE.record };
    let written = 0;
    while (written < count) {
      const taken = this.producer.writeBatch(this.#payloads.slice(written, count), options);
      this.#count(written, taken);
      written += taken;
      if (written === count) break;
      const startMs = performance.now();
      await this.producer.send(this.#payloads[written]!, { ...options, signal });
      this.#stallMs = Math.max(this.#stallMs, performance.now() - startMs);
      this.#count(written, 1);
      written += 1;
    }
  }

  /** Reports when there is something to say, or from time to time. */
  tell(isLast = false): void {
    const nowMs = performance.now();
    if (!isLast && this.#stallMs === 0 && nowMs - this.#reportedMs < REPORT_MS) return;
    const stallMs = this.#stallMs;
    report({ report: 'wrote', run: this.run, counter: this.counter, stallMs, blocks: this.#sums.take() });
    this.#stallMs = 0;
    this.#reportedMs = nowMs;
  }

  #count(first: number, count: number): void {
    for (let index = first; index < first + count; index++) {
      this.#sums.add(this.run, this.counter, digestRecord(this.#view, index * RECORD_BYTES));
      this.counter = (this.counter + 1) >>> 0;
    }
  }
}

const { values } = parseArgs({
  options: {
    region: { type: 'string', default: '' },
    input: { type: 'string' },
    rate: { type: 'string', default: '' },
    seed: { type: 'string', default: '' },
    run: { type: 'string', default: '' },
  },
});

const run = Number(values.run);
const source = values.input === undefined ? new Flow(Number(values.seed) + run) : new Replay(readLobster(values.input));
using region = Region.open(values.region);
using producer = region.openProducer('orders', { label: 'gateway' });
const gateway = new Gateway(producer, source, run);
const signal = leash();
report({ report: 'ready' });

const schedule = new Schedule(Number(values.rate));
try {
  while (!signal.aborted) {
    let due = schedule.due();
    while (due > 0 && !signal.aborted) {
      const count = Math.min(due, BATCH_RECORDS);
      await gateway.write(count, signal);
      schedule.wrote(count);
      due -= count;
      gateway.tell();
    }
    await sleep(TICK_MS);
  }
} catch (error) {
  if (!signal.aborted) throw error;
}
gateway.tell(true);
