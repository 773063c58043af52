/**
 * Run: one run of the pipeline in threads.
 *
 *     flow ── orders, queue ──► matcher (book) ── market, gated stream ──┬── view
 *                                                                        └── analytics (kernel)
 *
 * At the end the flow stops first; when the matcher has taken the last command, and the readers have seen its last
 * message, they tell what they know and leave. The proof: the same flow, matched once more in this thread, gives the same
 * state hash; the view's orders are that book's, byte for byte in number; nothing is missing between.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Latency } from '../crew/latency.ts';
import { Rates } from '../crew/rates.ts';
import { Book, backend, kernel, Region, wireStruct } from '../index.ts';
import { Commands } from './commands.ts';
import type { Options } from './options.ts';
import { BOOK, type Day, type Given, MARKET, type Matched, ORDERS, type Top, type Word } from './words.ts';

const NAMES = ['matcher', 'view', 'analytics', 'flow'] as const;
const REGION_BYTES = 32 << 20;
const DRAIN_MS = 15_000;
const LOOK_MS = 5;
const CHECKED = 1_024;

type Name = (typeof NAMES)[number];

/** What one reader has seen. */
export class Reader {
  readonly latency = new Latency();
  to = 0;
  gaps = 0;
}

/** What a run has shown. */
export interface Outcome {
  backend: string;
  seconds: number;
  written: number;
  matched: Matched | undefined;
  /** Of the same commands, matched once more. */
  expected: { stateHash: bigint; orders: number } | undefined;
  readers: { name: string; to: number; gaps: number; latency: Latency }[];
  top: Top | undefined;
  day: Day | undefined;
  failure: string | undefined;
}

/** Whether the exit code is 0. */
export function isGood({ failure, written, matched, expected, readers, top }: Outcome): boolean {
  if (failure !== undefined || matched === undefined || expected === undefined) return false;
  const isWhole = matched.commands === written && matched.stateHash === expected.stateHash;
  const isSeen = readers.every(({ to, gaps }) => to === Number(matched.marketSequence) && gaps === 0);
  return isWhole && isSeen && top?.sha256 !== undefined && top.live === expected.orders;
}

/** One run. */
export class Run {
  readonly #options: Options;
  readonly #region = Region.memory({ limitBytes: REGION_BYTES });
  readonly #workers = new Map<Name, Worker>();
  readonly #ready = new Set<Name>();
  readonly #ending = new AbortController();
  readonly #rates = new Rates();
  readonly view = new Reader();
  readonly analytics = new Reader();
  #startMs = 0;
  #written = 0;
  #matched: Matched | undefined;
  #top: Top | undefined;
  #day: Day | undefined;
  #failure: string | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#region.createChannel(ORDERS.name, { kind: 'queue', capacity: ORDERS.capacity });
    this.#region.createChannel(MARKET.name, { kind: 'stream', capacity: MARKET.capacity, gated: true });
  }

  /** Asks the run to end; with a reason when something failed. */
  stop(failure?: string): void {
    this.#failure ??= failure;
    this.#ending.abort();
  }

  /** Runs until it is stopped or its time is up. */
  async play(begun: () => void): Promise<Outcome> {
    const { signal } = this.#ending;
    const given = await this.#given();
    for (const name of NAMES) {
      if (signal.aborted) break;
      this.#start(name, given);
      await until(() => this.#ready.has(name) || signal.aborted);
    }
    this.#startMs = performance.now();
    begun();
    const { seconds } = this.#options;
    await (seconds === undefined ? aborted(signal) : sleep(seconds * 1_000, undefined, { signal }).catch(() => {}));
    const elapsed = (performance.now() - this.#startMs) / 1_000;
    await this.#drain();
    return {
      ...{ backend: backend().name, seconds: elapsed, written: this.#written, matched: this.#matched },
      expected: this.#failure === undefined ? this.#again() : undefined,
      readers: [
        { name: 'view', ...readerWords(this.view) },
        { name: 'analytics', ...readerWords(this.analytics) },
      ],
      ...{ top: this.#top, day: this.#day, failure: this.#failure },
    };
  }

  /** What a second has brought, for the table. */
  picture(): {
    seconds: number;
    written: number;
    matched: number;
    depth: number;
    top: Top | undefined;
    day: Day | undefined;
  } {
    const nowMs = performance.now();
    const rate = (name: string, total: number) => this.#rates.perSecond(name, total, nowMs);
    const depth = this.#region.channels().find(({ name }) => name === ORDERS.name)?.depth ?? 0;
    const [written, matched] = [rate('written', this.#written), rate('matched', this.#matched?.commands ?? 0)];
    return { seconds: (nowMs - this.#startMs) / 1_000, written, matched, depth, top: this.#top, day: this.#day };
  }

  /** Ends every thread that is left. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.terminate()));
    this.#region.close();
  }

  async #given(): Promise<Omit<Given, 'shared'>> {
    const { rate, seed, input, kernel: file } = this.#options;
    if (file === undefined) return { rate, seed, input, kernel: undefined };
    const { wasm } = await kernel(new URL(`file://${file}`), { record: wireStruct('Executed') });
    return { rate, seed, input, kernel: wasm };
  }

  #start(name: Name, given: Omit<Given, 'shared'>): void {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const file = fileURLToPath(new URL(`${name}.${extension}`, import.meta.url));
    const worker = new Worker(file, { workerData: { ...given, shared: this.#region.share() } });
    this.#region.attach(worker);
    this.#workers.set(name, worker);
    worker.on('message', (word: Word) => this.#hear(name, word));
    worker.once('error', (error) => this.stop(`${name}: ${error.message}`));
    worker.once('exit', () => this.#workers.delete(name));
  }

  #hear(name: Name, word: Word): void {
    switch (word.word) {
      case 'ready':
        this.#ready.add(name);
        return;
      case 'wrote':
        this.#written = word.commands;
        return;
      case 'matched':
        this.#matched = word;
        return;
      case 'seen': {
        const reader = name === 'view' ? this.view : this.analytics;
        reader.to = word.to;
        reader.gaps += word.gaps;
        for (const [microseconds, count] of word.latencies) reader.latency.add(microseconds, count);
        return;
      }
      case 'top':
        this.#top = word;
        return;
      case 'day':
        this.#day = word;
        return;
      case 'failed':
        this.stop(`${name}: ${word.message}`);
    }
  }

  /** Ends the threads from the source on, each when it has done what there was. */
  async #drain(): Promise<void> {
    const failed = () => this.#failure !== undefined;
    await this.#leave('flow');
    await until(() => this.#matched?.commands === this.#written || failed());
    const last = () => Number(this.#matched?.marketSequence ?? 0n);
    await until(() => (this.view.to === last() && this.analytics.to === last()) || failed());
    for (const name of ['matcher', 'view', 'analytics'] as const) await this.#leave(name);
  }

  async #leave(name: Name): Promise<void> {
    const worker = this.#workers.get(name);
    if (worker === undefined) return;
    const left = once(worker, 'exit');
    worker.postMessage('end');
    const timer = setTimeout(() => worker.terminate(), DRAIN_MS);
    await left;
    clearTimeout(timer);
  }

  /** The same commands in a book of this thread. */
  #again(): { stateHash: bigint; orders: number } {
    using book = new Book(BOOK);
    const commands = new Commands(this.#options.seed, this.#options.input);
    for (let done = 0; done < this.#written; done += CHECKED) {
      const count = Math.min(CHECKED, this.#written - done);
      book.apply(Buffer.concat(Array.from({ length: count }, () => commands.next())));
    }
    return { stateHash: book.stateHash, orders: book.orderCount };
  }
}

function readerWords({ to, gaps, latency }: Reader): { to: number; gaps: number; latency: Latency } {
  return { to, gaps, latency };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

async function until(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + DRAIN_MS;
  while (!condition() && performance.now() < endMs) await sleep(LOOK_MS);
}
