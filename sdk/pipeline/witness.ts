/**
 * Witness: what one subscription can testify about the records that it has read.
 *
 * - **gaps**: positions between its cursors that were not delivered (abandoned ones are proved by the parent);
 * - **duplicates**: positions delivered again without the flag;
 * - **torn**: records that no gateway wrote: fields out of range, lap and id of different laps, time that goes back
 *   within a lap, or a counter that does not belong to its position (position - counter is one constant per run, and a
 *   run goes on with the counter after that of the run before);
 * - **blocks**: sums of digests over each full block of a run, which the gateway sums too.
 *
 * `analytics.py` does the same with numpy.
 */

import type { Range } from './ranges.ts';
import {
  BLOCK_RECORDS,
  decodeRecord,
  digestRecord,
  EventType,
  emptyRecord,
  LAP_STRIDE,
  type OrderRecord,
} from './record.ts';
import type { BlockDigest } from './report.ts';

/** What there is to say about one batch. */
export interface Testimony {
  from: number;
  to: number;
  count: number;
  gaps: Range[];
  torn: number;
  duplicates: number;
  blocks: BlockDigest[];
}

/** Sums digests over full blocks of one run. */
export class BlockSums {
  #run = -1;
  #next = -1;
  #sum = 0;
  full: BlockDigest[] = [];

  add(run: number, counter: number, digest: number): void {
    const place = counter % BLOCK_RECORDS;
    if (place === 0) {
      this.#run = run;
      this.#next = counter;
      this.#sum = 0;
    }
    if (run !== this.#run || counter !== this.#next) {
      this.#next = -1;
      return;
    }
    this.#sum = (this.#sum + digest) >>> 0;
    this.#next += 1;
    if (place === BLOCK_RECORDS - 1) this.full.push([run, (counter - place) / BLOCK_RECORDS, this.#sum]);
  }

  /** The blocks that were completed since the last call. */
  take(): BlockDigest[] {
    const full = this.full;
    this.full = [];
    return full;
  }
}

/** Follows one subscription. */
export class Witness {
  readonly record: OrderRecord = emptyRecord();
  digest = 0;
  readonly #sums = new BlockSums();
  #cursor: number;
  #from: number;
  #run = -1;
  #base = 0;
  #counter = 0;
  #lap = 0;
  #timeNs = 0;
  #count = 0;
  #torn = 0;
  #duplicates = 0;
  #gaps: Range[] = [];

  constructor(cursor: number) {
    this.#cursor = cursor;
    this.#from = cursor;
  }

  /** Looks at one message; it is in `this.record` and `this.digest` then. Returns false when it is a repetition. */
  see(position: number, view: DataView, offset: number, isRedelivered: boolean): boolean {
    if (position < this.#cursor) {
      if (!isRedelivered) this.#duplicates += 1;
      return false;
    }
    if (position > this.#cursor) this.#gaps.push([this.#cursor, position]);
    this.#cursor = position + 1;
    this.#count += 1;
    const record = this.record;
    decodeRecord(view, offset, record);
    if (!this.#isWhole(record, position)) this.#torn += 1;
    this.digest = digestRecord(view, offset);
    this.#sums.add(record.run, record.counter, this.digest);
    return true;
  }

  /** Ends a batch. */
  testify(): Testimony {
    const testimony = {
      from: this.#from,
      to: this.#cursor,
      count: this.#count,
      gaps: this.#gaps,
      torn: this.#torn,
      duplicates: this.#duplicates,
      blocks: this.#sums.take(),
    };
    this.#from = this.#cursor;
    this.#gaps = [];
    this.#count = this.#torn = this.#duplicates = 0;
    return testimony;
  }

  /** Whether it is a record, and follows the one before; of the first one nobody can say what it should follow. */
  #isWhole(record: OrderRecord, position: number): boolean {
    const base = (position - record.counter) >>> 0;
    let follows = this.#run === -1;
    if (record.run === this.#run) {
      follows = base === this.#base;
    } else {
      follows ||= record.run > this.#run && record.counter === (this.#counter + 1) >>> 0;
      this.#run = record.run;
      this.#base = base;
    }
    if (record.lap === this.#lap && record.timeNs < this.#timeNs) follows = false;
    this.#counter = record.counter;
    this.#lap = record.lap;
    this.#timeNs = record.timeNs;
    return follows && isWellFormed(record);
  }
}

/** Whether a gateway could have written these fields, whatever came before them. */
export function isWellFormed(record: OrderRecord): boolean {
  const isHalt = record.type === EventType.HALT;
  return (
    record.type >= EventType.ADD &&
    record.type <= EventType.HALT &&
    (record.side === 1 || record.side === -1) &&
    (isHalt || (record.size > 0 && record.price > 0)) &&
    Math.floor(record.orderId / LAP_STRIDE) === record.lap
  );
}
