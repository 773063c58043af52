/**
 * Crew: a writer and a reader of every language, over one region, and what passes between two of them.
 *
 * A pair has a channel of its own. It knows what was written, and so what must come: bytes, type, sequence, process id
 * and runtime of the sender, all of it exactly.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { Region } from '../../sdk/index.ts';
import { type Builds, Driver, type Language, type Line } from '../drivers/drive.ts';
import { removeRegion } from '../scratch.ts';

/** What messages say that they were sent by. */
export const RUNTIMES: Record<Language, number> = { rust: 1, python: 2, node: 3, c: 4 };
/** Bytes of a message that one slot holds. */
export const SLOT_PAYLOAD = 1_024;

/** Bytes that differ from message to message, as hex. */
export function payload(size: number, salt = 0): string {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (at + salt) % 251;
  return bytes.toString('hex');
}

/** What a driver told of a message. */
export interface Told {
  sequence: string;
  type: number;
  payload: string;
  pid: number;
  runtime: number;
  redelivered: boolean;
  delivery_count: number;
}

/** A writer, a reader, and the channel between them. */
export class Pair {
  #position = 0;
  #due: Told[] = [];

  constructor(
    readonly writer: Driver,
    readonly reader: Driver,
    readonly channel: string,
  ) {}

  /** Opens both ends. */
  async open(producer: Line = {}, consumer: Line = {}): Promise<void> {
    await this.writer.must({ op: 'open_producer', channel: this.channel, label: 'writer', ...producer });
    await this.reader.must({ op: 'open_consumer', channel: this.channel, label: 'reader', ...consumer });
  }

  async close(): Promise<void> {
    await this.writer.must({ op: 'close_producer' });
    await this.reader.must({ op: 'close_consumer' });
  }

  /** An error with the name of the channel. */
  blame(error: unknown): never {
    throw new Error(`${this.channel}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }

  /** What is told of a message that is written next. */
  #next(hex: string, type: number): Told {
    const { language, pid } = this.writer;
    const sequence = String(this.#position + 1);
    this.#position += Math.max(1, Math.ceil(hex.length / 2 / SLOT_PAYLOAD));
    return { sequence, type, payload: hex, pid, runtime: RUNTIMES[language], redelivered: false, delivery_count: 1 };
  }

  /** Writes a batch (one payload: a single write); how many were taken. */
  async write(payloads: string[], type = 0): Promise<number> {
    const { count } = await this.writer.must({ op: 'write', payloads, type });
    for (const hex of payloads.slice(0, count as number)) this.#due.push(this.#next(hex, type));
    return count as number;
  }

  async send(hex: string, type = 0): Promise<void> {
    const told = this.#next(hex, type);
    const { sequence } = await this.writer.must({ op: 'send', payload: hex, type, timeout_ms: 5_000 });
    equal(sequence, told.sequence);
    this.#due.push(told);
  }

  /** Reads once, and checks that the next messages come, exactly; how many. `again`: how often they came before. */
  async #read(op: 'poll' | 'take', limit: number, again: number): Promise<number> {
    const { messages, lost } = await this.reader.must({ op, limit });
    const { length } = messages as Told[];
    const due = this.#due.splice(0, length).map((told) => {
      return { ...told, redelivered: again > 0, delivery_count: 1 + again };
    });
    deepEqual(messages, due);
    equal(lost, 0);
    ok(length <= limit);
    return length;
  }

  /** Reads once; exactly `count` messages come. */
  async read(op: 'poll' | 'take', limit: number, count: number, again = 0): Promise<void> {
    equal(await this.#read(op, limit, again), count);
  }

  /** The last `count` messages that were read are due once more, before the others. */
  putBack(messages: readonly Told[]): void {
    this.#due.unshift(...messages);
  }

  /** What is due next. */
  due(count: number): Told[] {
    return this.#due.slice(0, count);
  }

  /** Reads all that is due, in as many polls as it takes. */
  async drain(limit: number): Promise<void> {
    while (this.#due.length > 0) ok((await this.#read('poll', limit, 0)) > 0);
    await this.read('poll', limit, 0);
  }
}

/** Writers and readers of several languages, in one region. */
export class Crew {
  readonly #drivers = new Set<Driver>();
  #region: Region | undefined;
  #regions = 0;

  constructor(
    readonly languages: readonly Language[],
    readonly builds: Builds,
  ) {
    process.on('exit', () => removeRegion(this.path));
  }

  get path(): string {
    return `/dev/shm/tailrace-cross-${process.pid}-${this.#regions}`;
  }

  /** A process of a language, with the region open. */
  async start(language: Language): Promise<Driver> {
    const driver = new Driver(language, this.builds);
    this.#drivers.add(driver);
    driver.ended.then(() => this.#drivers.delete(driver));
    await this.#open(driver);
    return driver;
  }

  async #open(driver: Driver): Promise<void> {
    const { pid } = await driver.must({ op: 'open', path: this.path });
    equal(pid, driver.pid);
  }

  /** A new region, open in every process. */
  async renew(): Promise<void> {
    this.#remove();
    this.#regions += 1;
    this.#region = Region.create(this.path, { limitBytes: 128 << 20 });
    await Promise.all([...this.#drivers].map((driver) => this.#open(driver)));
  }

  #remove(): void {
    this.#region?.close();
    removeRegion(this.path);
  }

  /** A process of every language. */
  startAll(): Promise<Driver[]> {
    return Promise.all(this.languages.map((language) => this.start(language)));
  }

  /** Plays `play` with every ordered pair; each process is in one pair at a time. */
  async eachPair(
    writers: Driver[],
    readers: Driver[],
    channel: string,
    play: (pair: Pair) => Promise<void>,
  ): Promise<void> {
    for (let shift = 0; shift < readers.length; shift += 1) {
      const pairs = writers.map((writer, index) => {
        const reader = readers[(index + shift) % readers.length] as Driver;
        return new Pair(writer, reader, `${channel} ${writer.language}-${reader.language}`);
      });
      // All of them end before anything else is asked of the same processes.
      const played = await Promise.allSettled(pairs.map((pair) => play(pair).catch((error) => pair.blame(error))));
      for (const result of played) if (result.status === 'rejected') throw result.reason;
    }
  }

  async end(): Promise<void> {
    await Promise.all([...this.#drivers].map((driver) => driver.end()));
    this.#remove();
  }
}
