/**
 * View: keeps the top of the book from the stream `orders`, with `for await`. One of the pipeline's processes.
 *
 * After each batch it reports what it can testify (`witness.ts`), so that the parent knows what it had seen whenever it
 * is killed; ten times a second it reports the top of the book for the table.
 *
 * About once a second it stores its state as a checkpoint, when the records that it is made of are on disk: a state must
 * not know of records that a power failure can take away. Started again, it goes on with the newest checkpoint and what
 * the log has after it, so it has always seen everything.
 */
import { argv } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { leash, report } from '../crew/report.ts';
import { Checkpoints, type Message, now, Region } from '../index.ts';
import type { Book } from './book.ts';
import { Flow } from './flow.ts';
import { emptyRecord, encodeRecord, RECORD_BYTES } from './record.ts';
import type { LatencyCount, Report } from './report.ts';
import { State } from './state.ts';
import { Witness } from './witness.ts';

const STATE_ID = 'view';
const TOP_MS = 100;
const KEEP_MS = 1_000;
const LAST_MS = 2_000;
const REHEARSED_RECORDS = 40_000;

/** Counts messages of one batch by how long they were on the way; those of one write came together. */
class Delays {
  #counts: [number, number][] = [];
  #timestamp = -1n;
  readonly #sinceNs: bigint;

  /** What was written before is caught up with: how long that took says nothing of the way. */
  constructor(sinceNs: bigint) {
    this.#sinceNs = sinceNs;
  }

  add(timestamp: bigint, nowNs: bigint): void {
    if (timestamp < this.#sinceNs) return;
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

/** Checkpoints of the state, taken now and stored when the log is on disk as far. */
class Keeper {
  readonly #checkpoints: Checkpoints;
  readonly #region: Region;
  #taken: { bytes: Uint8Array; sequence: bigint } | undefined;
  #storing: Promise<unknown> | undefined;
  #takenMs = performance.now();

  constructor(checkpoints: Checkpoints, region: Region) {
    this.#checkpoints = checkpoints;
    this.#region = region;
  }

  /** To be called now and then; `sequence` is that of the last record in the state. */
  look(state: State, sequence: bigint): void {
    if (this.#taken === undefined && performance.now() - this.#takenMs >= KEEP_MS) this.#take(state, sequence);
    this.#store();
  }

  /** Stores the last state, if its records get onto the disk soon. */
  async end(state: State, sequence: bigint): Promise<void> {
    await this.#storing;
    this.#take(state, sequence);
    const endMs = performance.now() + LAST_MS;
    while (this.#taken !== undefined && performance.now() < endMs) {
      this.#store();
      await (this.#storing ?? sleep(5));
    }
    await this.#checkpoints.close();
  }

  #take(state: State, sequence: bigint): void {
    this.#taken = { bytes: state.encode(), sequence };
    this.#takenMs = performance.now();
  }

  #store(): void {
    const taken = this.#taken;
    if (taken === undefined || this.#storing !== undefined) return;
    const recorder = this.#region.channels().find(({ name }) => name === 'orders')?.recorder;
    if (BigInt(recorder?.durableSequence ?? 0) < taken.sequence) return;
    this.#taken = undefined;
    this.#storing = this.#checkpoints
      .checkpoint(STATE_ID, taken.bytes, { sequence: taken.sequence })
      .catch((error: Error) => process.stderr.write(`${error.message}\n`))
      .finally(() => {
        this.#storing = undefined;
      });
  }
}

function tellTop(book: Book): void {
  const bid = book.bids.level(0);
  const ask = book.asks.level(0);
  report<Report>({
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
  const rehearsed = new State();
  const view = new DataView(new ArrayBuffer(RECORD_BYTES));
  const record = emptyRecord();
  const reader = new Witness(0);
  for (let position = 0; position < REHEARSED_RECORDS; position++) {
    flow.next(record);
    record.counter = position;
    encodeRecord(view, 0, record);
    reader.see(position, view, 0, false);
    rehearsed.apply(reader.record, reader.digest);
  }
}

const [path = '', data = ''] = argv.slice(2);
const signal = leash();
rehearse();
using region = Region.open(path);
const checkpoints = await Checkpoints.open(`${data}/checkpoints`);
const recovery = await checkpoints.recover(STATE_ID, { log: `${data}/orders` });
const { checkpoint } = recovery;
const state = checkpoint === undefined ? new State() : State.decode(checkpoint.state);
const keeper = new Keeper(checkpoints, region);
const cursor = Number(checkpoint?.sequence ?? 0n);
const witness = new Witness(cursor);
let last = BigInt(cursor);
let memory = new DataView(new ArrayBuffer(0));

function see(message: Message): void {
  const { buffer, byteOffset } = message.payload;
  if (memory.buffer !== buffer) memory = new DataView(buffer);
  const { sequence } = message;
  if (!witness.see(Number(sequence) - 1, memory, byteOffset, message.redelivered)) return;
  state.apply(witness.record, witness.digest);
  last = sequence;
}

for await (const batch of recovery.records) batch.forEach(see);
const { lastSequence } = recovery;
using consumer = region.openConsumer('orders', { from: lastSequence + 1n, label: 'view', signal });
const delays = new Delays(now());
report<Report>({ report: 'ready', cursor });
report<Report>({ report: 'batch', ...witness.testify(), lost: 0, latencies: [] });

let toldMs = 0;
try {
  for await (const batch of consumer) {
    const nowNs = now();
    for (const message of batch) {
      delays.add(message.timestamp, nowNs);
      see(message);
    }
    report<Report>({ report: 'batch', ...witness.testify(), lost: batch.lost, latencies: delays.take() });
    if (performance.now() - toldMs >= TOP_MS) {
      toldMs = performance.now();
      tellTop(state.book);
      keeper.look(state, last);
    }
  }
} catch (error) {
  if (!signal.aborted) throw error;
}
report<Report>({ report: 'totals', totals: state.totals() });
await keeper.end(state, last);
