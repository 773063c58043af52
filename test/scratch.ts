/**
 * Scratch: regions for one test, and nothing of them left behind.
 *
 * The same tests run on both backends (scripts/suites.mjs): with WebAssembly a region lies in memory, and a test whose
 * point is a file, or another process, says so with `onFile`.
 */
import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type ChannelOptions, type Consumer, type CreateOptions, type Producer, Region } from '../sdk/index.ts';

/** Whether the tests run on WebAssembly. */
export const isWasm = process.env.TAILRACE_BACKEND === 'wasm';

const paths: string[] = [];

process.on('exit', () => {
  for (const path of paths) removeRegion(path);
});

/** Removes the file of a region, and the links to its logs, which lie beside it. */
export function removeRegion(path: string): void {
  const beginning = `${basename(path)}.`;
  for (const name of readdirSync(dirname(path))) {
    if (name.startsWith(beginning)) rmSync(join(dirname(path), name), { recursive: true, force: true });
  }
  rmSync(path, { force: true });
}

/** A path in shared memory that nobody uses. */
export function scratch(): string {
  const path = `/dev/shm/tailrace-test-${process.pid}-${paths.length}`;
  paths.push(path);
  return path;
}

/** A region of its own, wherever this backend keeps one. */
export function newRegion(options: CreateOptions = {}, path = scratch()): Region {
  return isWasm ? Region.memory({ limitBytes: options.limitBytes }) : Region.create(path, options);
}

/** What is used of a suite. */
interface Suite {
  (name: string, test: () => void | Promise<void>): void;
  skip(name: string): void;
}

/** For a test that needs a file or another process, which linear memory has not: says so, and skips it there. */
export function onFile(suite: Suite): (name: string, test: () => void | Promise<void>) => void {
  if (!isWasm) return suite;
  return (name) => {
    console.log(`skip: needs a file: ${name}`);
    suite.skip(name);
  };
}

/** A region with one channel, and both ends of it. */
export class Pair implements Disposable {
  readonly path = scratch();
  readonly region: Region;
  readonly producer: Producer;
  readonly consumer: Consumer;

  constructor(options: ChannelOptions = {}, consumer: Parameters<Region['openConsumer']>[1] = {}) {
    this.region = newRegion({}, this.path);
    this.region.createChannel('c', options);
    this.producer = this.region.openProducer('c');
    this.consumer = this.region.openConsumer('c', consumer);
  }

  /** Writes texts. */
  write(...texts: string[]): void {
    const written = this.producer.writeBatch(texts.map((text) => Buffer.from(text)));
    if (written !== texts.length) throw new Error(`${written} of ${texts.length} were written`);
  }

  /** Counters of the channel. */
  get counters() {
    return this.region.channels()[0]!.counters;
  }

  [Symbol.dispose](): void {
    this.consumer.close();
    this.producer.close();
    this.region.close();
    removeRegion(this.path);
  }
}

/** What a call throws, or a promise rejects with. */
export async function failureOf(call: () => unknown): Promise<Error & { code?: string }> {
  try {
    await call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

/** Waits until `is` says so; throws after thirty seconds: the machine may have much else to do. */
export async function eventually(is: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000;
  while (!(await is())) {
    if (performance.now() > end) throw new Error(`not within thirty seconds: ${is}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
