/**
 * Gateway: writes order flow to the stream `orders` at a steady rate. One of the pipeline's processes.
 *
 * A schedule says how many records are due; each millisecond those are written, in batches. When there is no room (a
 * reader that gates is behind, or has died and is not yet removed), it waits for room, and reports how long that took.
 * What could not be written in time is made up for, but at most a tenth of a second of it: after a long stall the
 * readers must not be met by a flood.
 *
 * Each start is a run of its own, which goes on with exactly the record after the last one that is there (`place.ts`):
 * what was written is in the ring or the log, and what was not is made again. So the flow is the same however often its
 * gateway is killed, or the whole pipeline stopped and resumed.
 *
 * Of every `WAL_BATCHES`th batch the last record is sent with durability 'wal', and once it is acknowledged the parent is
 * told, before anything else is written: the parent will look for it in the log.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { leash, report } from '../crew/report.ts';
import { type Producer, Region, TailraceError } from '../index.ts';
import { Laps } from './laps.ts';
import { Replay, readLobster } from './lobster.ts';
import { findPlace, type Place } from './place.ts';
import { digestRecord, emptyRecord, encodeRecord, RECORD_BYTES, type Source } from './record.ts';
import type { Acknowledged, Report } from './report.ts';
import { MESSAGE_TYPE } from './signal.ts';
import { BlockSums } from './witness.ts';

const BATCH_RECORDS = 512;
const WAL_BATCHES = 32;
const ARREARS_MS = 100;
const TICK_MS = 1;
const REPORT_MS = 50;
const WAIT_MS = 1_000;
const AGAIN_MS = 100;

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
  readonly producer: Producer;
  readonly source: Source;
  readonly run: number;
  /** Records that there are, of all runs. */
  count: number;
  #batches = 0;
  #stallMs = 0;
  #reportedMs = 0;
  #acknowledged: Acknowledged[] = [];
  readonly #sums = new BlockSums();
  readonly #record = emptyRecord();
  readonly #bytes = new Uint8Array(BATCH_RECORDS * RECORD_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #payloads = Array.from({ length: BATCH_RECORDS }, (_, index) =>
    this.#bytes.subarray(index * RECORD_BYTES, (index + 1) * RECORD_BYTES),
  );

  constructor(producer: Producer, source: Source, place: Place) {
    this.producer = producer;
    this.source = source;
    this.count = place.count;
    this.run = place.run + 1;
    this.#record.run = this.run;
    source.seek(place.count);
  }

  /** Writes `count` records, waiting for room as long as it takes. */
  async write(count: number, signal: AbortSignal): Promise<void> {
    for (let index = 0; index < count; index++) {
      this.source.next(this.#record);
      this.#record.counter = (this.count + index) >>> 0;
      encodeRecord(this.#view, index * RECORD_BYTES, this.#record);
    }
    this.#batches += 1;
    const isWal = this.#batches % WAL_BATCHES === 0;
    const end = isWal ? count - 1 : count;
    const options = { type: MESSAGE_TYPE.record, signal };
    let written = 0;
    while (written < end) {
      const taken = this.producer.writeBatch(this.#payloads.slice(written, end), options);
      this.#sum(written, taken);
      written += taken;
      if (written === end) break;
      const startMs = performance.now();
      await this.producer.send(this.#payloads[written]!, options);
      this.#stallMs = Math.max(this.#stallMs, performance.now() - startMs);
      this.#sum(written, 1);
      written += 1;
    }
    if (isWal) await this.#writeThrough(this.#payloads[end]!, options);
  }

  /** Writes the last record of a batch and waits until it is on disk. */
  async #writeThrough(payload: Uint8Array, options: { type: number; signal: AbortSignal }): Promise<void> {
    const startMs = performance.now();
    const sequence = await this.#sent(payload, options);
    const counter = this.count >>> 0;
    const microseconds = Math.round((performance.now() - startMs) * 1_000);
    this.#sum(payload.byteOffset / RECORD_BYTES, 1);
    if (sequence !== undefined) this.#acknowledged.push([this.run, counter, Number(sequence), microseconds]);
    this.tell(true);
  }

  /** Its sequence; undefined when it was written, and nobody knows whether it is on disk: the recorder's disk failed. */
  async #sent(payload: Uint8Array, options: { type: number; signal: AbortSignal }): Promise<bigint | undefined> {
    for (;;) {
      try {
        return await this.producer.send(payload, { ...options, durability: 'wal' });
      } catch (error) {
        if (!(error instanceof TailraceError)) throw error;
        if (error.outcome === 'unknown') return undefined;
        if (error.code !== 'ERR_DISK_FULL' && error.code !== 'ERR_IO') throw error;
        // Nothing was written: there will be space, or another recorder.
        await sleep(AGAIN_MS, undefined, { signal: options.signal });
      }
    }
  }

  /** Reports when there is something to say, or from time to time. */
  tell(isUrgent = false, isLast = false): void {
    const nowMs = performance.now();
    if (!isUrgent && !isLast && this.#stallMs === 0 && nowMs - this.#reportedMs < REPORT_MS) return;
    const { run, count } = this;
    const [stallMs, acknowledged] = [this.#stallMs, this.#acknowledged];
    report<Report>({ report: 'wrote', run, count, stallMs, blocks: this.#sums.take(), acknowledged, isLast });
    this.#stallMs = 0;
    this.#acknowledged = [];
    this.#reportedMs = nowMs;
  }

  #sum(first: number, count: number): void {
    for (let index = first; index < first + count; index++) {
      this.#sums.add(this.run, this.count >>> 0, digestRecord(this.#view, index * RECORD_BYTES));
      this.count += 1;
    }
  }
}

const { values } = parseArgs({
  options: {
    region: { type: 'string', default: '' },
    input: { type: 'string' },
    rate: { type: 'string', default: '' },
    seed: { type: 'string', default: '' },
    records: { type: 'string', default: 'Infinity' },
  },
});

const limit = Number(values.records);
const source = values.input === undefined ? new Laps(Number(values.seed)) : new Replay(readLobster(values.input));
const signal = leash();
using region = Region.open(values.region);
const place = await findPlace(region);
using producer = region.openProducer('orders', { label: 'gateway' });
const gateway = new Gateway(producer, source, place);
report<Report>({ report: 'ready' });

const schedule = new Schedule(Number(values.rate));
try {
  while (!signal.aborted && gateway.count < limit) {
    let due = schedule.due();
    while (due > 0 && !signal.aborted && gateway.count < limit) {
      const count = Math.min(due, BATCH_RECORDS, limit - gateway.count);
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
gateway.tell(true, gateway.count >= limit);
while (!signal.aborted) await sleep(WAIT_MS, undefined, { signal }).catch(() => {});
