/**
 * Matcher stand: a matcher in a process of its own, the writer of its orders, and the books on what it has said.
 *
 * The commands are known beforehand, so the journal is checked byte for byte: it must hold those that were written, in
 * their order, up to some point, and everything of which anybody has heard. What was heard is kept with its bytes, for
 * nobody may hear it otherwise later.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { program } from '../../sdk/exchange/program.ts';
import { type Batch, type Consumer, LogReader, type Producer, Region } from '../../sdk/index.ts';
import { encode, MESSAGES, ORDER_IOC, ORDER_LIMIT, SIDE_BUY, SIDE_SELL } from '../../sdk/wire.ts';

import { removeRegion } from '../scratch.ts';

const PATIENCE_MS = 60_000;
const STATUS_MS = 5;
const BATCH = 4_096;
const ACCOUNTS = 8;
const KEPT = MESSAGES.KeptReport.fields;

// biome-ignore lint/suspicious/noExplicitAny: each line has fields of its own, and each test says what it expects
type Line = Record<string, any>;

/** The command with this number, from 0: the same each time. */
export function commandOf(index: number): Uint8Array {
  const chance = Math.imul(index + 1, 0x9e3779b9) >>> 0;
  const isTaker = chance % 4 === 0;
  return encode({
    message: 'NewOrder',
    side: (chance >>> 3) % 2 === 0 ? SIDE_BUY : SIDE_SELL,
    orderType: ORDER_LIMIT | (isTaker ? ORDER_IOC : 0),
    account: index % ACCOUNTS,
    clientOrderId: BigInt(index + 1),
    price: BigInt(10_000 + ((chance >>> 8) % 20)),
    quantity: BigInt(1 + ((chance >>> 16) % 100)),
  });
}

/** Where an exchange is, and how its logs are kept. */
export interface StandOptions {
  /** Of the region, which is lost with the power. */
  region: string;
  /** Folder of the logs. */
  data: string;
  /** Where the configuration goes. */
  file: string;
  segmentBytes: number;
  acknowledge?: 'memory' | 'written' | 'wal';
}

/** One process of a matcher. */
export class MatcherProcess {
  readonly #process: ChildProcess;
  readonly ended: Promise<NodeJS.Signals | number | null>;
  readonly lines: Line[] = [];
  errors = '';
  #isOver = false;

  constructor(file: string, around: readonly string[] = []) {
    const words = ['run', '--config', file, '--status', `${STATUS_MS}`, '--leash', 'matcher'];
    const [command, ...args] = [...around, program(), ...words];
    this.#process = spawn(command!, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stdin!.on('error', () => {});
    this.#process.stderr!.on('data', (bytes: Buffer) => {
      this.errors += bytes;
    });
    createInterface(this.#process.stdout!).on('line', (line) => this.lines.push(JSON.parse(line)));
    this.ended = new Promise((resolve) => {
      this.#process.on('close', (code, signal) => {
        this.#isOver = true;
        resolve(signal ?? code);
      });
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The last line of this kind. */
  last(report: string): Line | undefined {
    return this.lines.findLast((line) => line.report === report);
  }

  /** Whether it got so far as to be ready. */
  async isReady(): Promise<boolean> {
    await until('the matcher is ready', () => this.last('ready') !== undefined || this.#isOver);
    return this.last('ready') !== undefined;
  }

  /** Waits for its end, at most so long; how it ended, or undefined. */
  async endsWithin(ms: number): Promise<NodeJS.Signals | number | null | undefined> {
    return Promise.race([this.ended, sleep(ms, undefined, { ref: false })]);
  }

  async kill(): Promise<void> {
    if (!this.#isOver) this.#process.kill('SIGKILL');
    await this.ended;
  }

  /** Ends it in good order; how it ended. */
  async leave(): Promise<NodeJS.Signals | number | null> {
    this.#process.stdin!.end();
    const late = setTimeout(() => this.#process.kill('SIGKILL'), PATIENCE_MS);
    try {
      return await this.ended;
    } finally {
      clearTimeout(late);
    }
  }
}

/** Bounded. */
export async function until(what: string, is: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!is()) {
    if (performance.now() > end) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await sleep(2);
  }
}

/** A matcher, one after the other, over the same logs. */
export class MatcherStand {
  readonly #options: StandOptions;
  #matcher: MatcherProcess | undefined;
  #region: Region | undefined;
  #orders: Producer | undefined;
  #reports: Consumer | undefined;
  /** Commands that the journal has, as far as is known, and after them those that were written since. */
  #sent = 0;
  /** Every report that was heard, by its number. */
  readonly #told: Buffer[] = [];
  /** The last command of which anybody has heard. */
  #heard = 0;
  #isFrozen = false;
  /** A status that was said before: what must come out again if the journal still has its commands. */
  #status: Line | undefined;
  /** Times that anything was acknowledged in. */
  acknowledged = 0;

  constructor(options: StandOptions) {
    this.#options = options;
  }

  get matcher(): MatcherProcess {
    assert.ok(this.#matcher);
    return this.#matcher;
  }

  /** Starts a matcher, with a region of its own; false: it said that it cannot. */
  async start(around: readonly string[] = [], segmentBytes = this.#options.segmentBytes): Promise<boolean> {
    const { region, data, file, acknowledge = 'wal' } = this.#options;
    const config = {
      ...{ region, data, acknowledge, segment_bytes: segmentBytes, users: [] },
      book: { slot_count: 1 << 16, account_count: ACCOUNTS, band_ticks: 1_024 },
      streams: { orders: 1 << 12, reports: 1 << 14, market: 1 << 14 },
      gateway: { listen: '127.0.0.1:0' },
      publisher: { feed: ['127.0.0.1:1'], requests: '127.0.0.1:0' },
      snapshot: { listen: '127.0.0.1:0' },
    };
    writeFileSync(file, JSON.stringify(config));
    this.#matcher = new MatcherProcess(file, around);
    if (!(await this.#matcher.isReady())) return false;
    this.#region = Region.open(region);
    this.#orders = this.#region.openProducer('orders');
    this.#reports = this.#region.openConsumer('reports', { from: 'oldest', log: join(data, 'reports') });
    this.#isFrozen = false;
    return true;
  }

  /** Lets go of region and logs, but not of what is known. */
  close(): void {
    for (const handle of [this.#reports, this.#orders, this.#region]) handle?.close();
    this.#reports = this.#orders = this.#region = undefined;
  }

  /** Ends the matcher, and keeps the memory. */
  async kill(): Promise<void> {
    await this.#matcher?.kill();
    this.close();
  }

  /** Loses the memory, too. */
  async forget(): Promise<void> {
    await this.kill();
    removeRegion(this.#options.region);
  }

  /** From now on nothing that is heard counts: it was perhaps said too late. */
  freeze(): void {
    this.listen();
    this.#status = this.matcher.last('status');
    this.#isFrozen = true;
  }

  /** Hears what was said; how many reports. */
  listen(): number {
    if (this.#isFrozen) return 0;
    let count = 0;
    for (let batch = this.#poll(); batch.length > 0; batch = this.#poll()) {
      for (const { payload } of batch) this.#hear(Buffer.from(payload));
      count += batch.length;
    }
    return count;
  }

  #poll(): Batch {
    assert.ok(this.#reports);
    return this.#reports.poll(BATCH);
  }

  #hear(report: Buffer): void {
    const number = Number(report.readBigUInt64LE(KEPT.ordinal.offset));
    const known = this.#told[number - 1];
    if (known) assert.ok(known.equals(report), `report ${number} was heard before, and was another one`);
    else {
      assert.equal(number, this.#told.length + 1, 'no report is left out');
      this.#told.push(report);
      this.acknowledged += 1;
    }
    this.#heard = Math.max(this.#heard, Number(report.readBigUInt64LE(KEPT.commandSequence.offset)));
  }

  /** Writes commands by so many at most, and hears what is said, until it is told to stop. */
  async trade(most: number, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const commands = Array.from({ length: 1 + (this.#sent % most) }, (_, i) => commandOf(this.#sent + i));
      this.#sent += this.#orders?.writeBatch(commands) ?? 0;
      this.listen();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /**
   * The journal has what was written, in order, up to some point, and all of which anybody has heard; and it says again
   * what was heard. What the journal does not have was never sent, from now on.
   */
  async check(what: string): Promise<void> {
    const { data } = this.#options;
    let count = 0;
    await using reader = LogReader.open(join(data, 'orders'), { limit: BATCH });
    for (let batch = reader.poll(BATCH); batch.length > 0; batch = reader.poll(BATCH)) {
      for (const { sequence, payload } of batch) {
        assert.equal(Number(sequence), count + 1, `${what}: the journal is dense`);
        if (count > 0)
          assert.ok(
            commandOf(count - 1).every((byte, at) => payload[at] === byte),
            `${what}: ${sequence}`,
          );
        count += 1;
      }
    }
    assert.ok(count >= this.#heard, `${what}: command ${this.#heard} was answered, and the journal ends with ${count}`);
    assert.ok(count <= this.#sent + 1, `${what}: the journal has ${count}, and ${this.#sent} were sent`);
    this.#sent = count - 1;
    const whole = this.replay();
    const live = this.matcher.last('restarted');
    assert.equal(whole.sequence, count);
    assert.equal(live?.state_hash, whole.state_hash, `${what}: the book that was started is the journal's`);
    const before = this.#status;
    if (before && before.sequence <= count) {
      const part = this.replay(before.sequence);
      for (const field of ['state_hash', 'output_hash', 'market_sequence'] as const) {
        assert.equal(part[field], before[field], `${what}: ${field} after ${before.sequence}`);
      }
    }
    const told = this.#told.length;
    // Everything is said again from the first report on, and all of it is compared.
    let heard = 0;
    await until(`${what}: all ${whole.reports} reports are there`, () => {
      heard += this.listen();
      return heard >= whole.reports;
    });
    assert.equal(heard, whole.reports);
    assert.ok(told <= whole.reports, `${what}: ${told} reports were heard, and the journal gives ${whole.reports}`);
  }

  /** What the journal comes to. */
  replay(until?: number): Line {
    const words = ['replay', this.#options.data, '--hash', ...(until === undefined ? [] : ['--until', String(until)])];
    const { status, stdout, stderr } = spawnSync(program(), words, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }

  /** What is known: commands in the journal, and reports. */
  get extent(): { commands: number; reports: number } {
    return { commands: this.#sent, reports: this.#told.length };
  }
}
