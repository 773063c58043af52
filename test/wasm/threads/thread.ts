/**
 * Thread: a worker that runs a program over a shared region, and what it and the test tell each other in shared words, so
 * that nothing which it said is lost when it is ended.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Region, SharedRegion } from '../../../sdk/index.ts';

const TSX = import.meta.resolve('tsx/esm/api');

/** Words that a thread and its test share. */
export const WORD = { step: 0, written: 1, ready: 2, via: 3, count: 8 } as const;
/** Messages that a thread can say to have read. */
export const INDEX_MAX = 1 << 16;

/** What a program finds as its data, beside what it is told. */
export interface Given {
  shared: SharedRegion;
  words: SharedArrayBuffer;
}

/** A worker, and what it said. */
export class Thread {
  readonly worker: Worker;
  readonly words: Int32Array;
  failure: unknown;
  readonly #exit: Promise<void>;

  constructor(region: Region, program: string, told: object) {
    const buffer = new SharedArrayBuffer((WORD.count + INDEX_MAX) * 4);
    const given: Given = { ...told, shared: region.share(), words: buffer };
    const code = `import(${JSON.stringify(TSX)}).then((tsx) => { tsx.register(); return import(${JSON.stringify(program)}); })`;
    this.words = new Int32Array(buffer);
    this.worker = new Worker(code, { eval: true, workerData: given, execArgv: [] });
    this.worker.on('error', (error) => {
      this.failure = error;
    });
    region.attach(this.worker);
    // After the region has heard of it: its burial is done when this is.
    this.#exit = new Promise((resolve) => this.worker.once('exit', () => resolve()));
  }

  /** How many messages it was told to have written. */
  get written(): number {
    return Atomics.load(this.words, WORD.written);
  }

  /** Whether it said that it had read a message. */
  hasRead(index: number): boolean {
    return Atomics.load(this.words, WORD.count + index) > 0;
  }

  /** Waits until a word is set; fails when the thread does, or after twenty seconds. */
  async until(word: number): Promise<void> {
    const end = performance.now() + 60_000;
    while (Atomics.load(this.words, word) === 0) {
      if (this.failure !== undefined) throw this.failure;
      if (performance.now() > end) throw new Error('the thread never came there');
      await sleep(2);
    }
  }

  /** Lets it go on from the step at which it waits to be overtaken. */
  letGo(): void {
    Atomics.store(this.words, WORD.via, 2);
    Atomics.notify(this.words, WORD.via);
  }

  /** Ends it wherever it is. */
  async end(): Promise<void> {
    await this.worker.terminate();
    await this.#exit;
    if (this.failure !== undefined) throw this.failure;
  }
}
