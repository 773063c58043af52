/**
 * Trial: one process is stopped at one step, and killed there or continued two seconds later; the others go on.
 *
 * A Rust writer and a Rust reader are there from the start. The victim does its job until it stops itself. Then the
 * writer writes, and the reader must get all of it while the victim is dead, or stopped. At the end everything that
 * anybody was told to be written was read, whole, and once but for what is flagged; a stopped one was never repaired.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChannelOptions, Region } from '../../sdk/index.ts';
import { type Builds, Driver, type Language, type Line } from '../drivers/drive.ts';
import { removeRegion } from '../scratch.ts';
import { Ledger } from './ledger.ts';
import type { Job } from './steps.ts';

const CHANNELS: Record<Job['channel'], ChannelOptions> = {
  queue: { kind: 'queue', capacity: 1_024 },
  stream: { kind: 'stream', capacity: 1_024, gated: true },
  exclusive: { kind: 'queue', capacity: 1_024, exclusiveProducer: true },
};
const AFTER = 60;
/** How long a stopped one is stopped. */
export const PAUSE_MS = 2_000;

/** What is done to the victim. */
export type Fate = 'kill' | 'pause';

/** What a trial measured. */
export interface Outcome {
  stallMs: number;
  /** From the kill until its end was seen. */
  buriedMs: number;
}

/** Fails when it takes longer. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const clock = new AbortController();
  const late = sleep(ms, undefined, { signal: clock.signal }).then(() =>
    assert.fail(`${what} took more than ${ms} ms`),
  );
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    clock.abort();
  }
}

/** Lets a driver run to the step at which it stops itself. */
export async function stopped(driver: Driver, step: string, asks: Line[]): Promise<void> {
  const paused = driver.paused();
  const run = (async () => {
    for (const ask of asks) await driver.must({ channel: 'c', ...ask });
    throw new Error(`the ${driver.language} driver never came to ${step}`);
  })();
  run.catch(() => {});
  await within(30_000, `coming to ${step}`, Promise.race([paused, run]));
}

/** What makes a driver stop itself at a step. */
export function environmentOf(step: string): Record<string, string> {
  return { TAILRACE_PAUSE: step };
}

/** Plays one trial; throws when a promise is broken. */
export async function play(job: Job, language: Language, fate: Fate, builds: Builds): Promise<Outcome> {
  const path = `/dev/shm/tailrace-kill-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const drivers: Driver[] = [];
  const ledger = new Ledger();
  const start = (of: Language, environment = {}) => {
    const driver = new Driver(of, builds, environment);
    driver.onLoad = ledger.take;
    drivers.push(driver);
    return driver;
  };
  const region = Region.create(path);
  try {
    region.createChannel('c', CHANNELS[job.channel]);
    const outcome = await playIn(job, language, fate, path, start, ledger);
    const { counters } = region.channels()[0] ?? assert.fail('the channel is there');
    if (fate === 'pause' && job.before === undefined) {
      assert.equal(counters.abandoned, 0, 'a stopped writer was repaired');
      assert.equal(counters.redelivered, 0, 'a stopped taker was robbed');
    }
    assert.equal(counters.unattributed, 0);
    assert.equal(counters.corrupt, 0);
    return outcome;
  } finally {
    for (const driver of drivers) driver.signal('SIGKILL');
    await Promise.all(drivers.map((driver) => driver.ended));
    region.close();
    removeRegion(path);
  }
}

type Start = (of: Language, environment?: Record<string, string>) => Driver;

/** The processes of one trial, and what they are to do. */
class Scene {
  readonly writer: Driver;
  readonly reader: Driver;
  readonly victim: Driver;
  readonly victims = new Ledger();
  #isReading = false;

  constructor(
    readonly job: Job,
    readonly path: string,
    readonly start: Start,
    language: Language,
  ) {
    this.writer = start('rust');
    this.reader = start('rust');
    this.victim = start(language, environmentOf(job.step));
    // Every subscriber of a stream sees every message: the victim's books are its own.
    if (job.channel === 'stream' && !this.isWriter) this.victim.onLoad = this.victims.take;
  }

  get isWriter(): boolean {
    return this.job.asks.some((ask) => ask['op'] === 'open_producer');
  }

  /** The one role is the victim's until it is dead. */
  get isSoleWriter(): boolean {
    return this.job.channel === 'exclusive' && this.isWriter;
  }

  async open(driver: Driver, ask: Line): Promise<void> {
    await driver.must(this.#opening);
    await driver.must({ channel: 'c', ...ask });
  }

  get #opening(): Line {
    return { op: 'open', path: this.path };
  }

  write(run: number, count: number): Promise<Line> {
    return this.writer.must({ op: 'produce', run, count, batch: 2, size: 64 });
  }

  /** The reader reads until it is ended. */
  read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    const take = this.job.channel !== 'stream';
    this.reader.ask({ op: 'consume', batch: 5, take, idle_ms: 60_000 }).catch(() => {});
  }

  /** Brings the victim to its step, where it stops. */
  async stopVictim(): Promise<void> {
    const { job } = this;
    if (job.before !== undefined) return this.#stopAmongTheDead(job.before);
    if (this.isWriter || job.channel === 'stream') this.read();
    const stop = stopped(this.victim, job.step, [this.#opening, ...job.asks]);
    if (job.asks.some((ask) => ask['op'] === 'consume')) await this.#feed(stop);
    await stop;
  }

  /** The victim is there before somebody else dies, and finds what that one left. */
  async #stopAmongTheDead(before: NonNullable<Job['before']>): Promise<void> {
    const [open, ...rest] = this.job.asks;
    await this.open(this.victim, open ?? assert.fail('a job begins by opening'));
    if (before.step.startsWith('take')) await this.write(3, 8);
    const early = this.start('rust', environmentOf(before.step));
    await stopped(early, before.step, [this.#opening, ...before.asks]);
    early.signal('SIGKILL');
    await early.ended;
    await stopped(this.victim, this.job.step, rest);
  }

  /** Gives the victim something to read, or to wait for, until it has stopped. */
  async #feed(stop: Promise<void>): Promise<void> {
    const isOver = stop.then(() => true);
    const pause = this.job.step.startsWith('wait') ? 200 : 20;
    for (let run = 100; run < 1_000; run += 1) {
      if (await Promise.race([isOver, sleep(pause, false)])) return;
      await this.write(run, 4);
    }
  }
}

async function playIn(
  job: Job,
  language: Language,
  fate: Fate,
  path: string,
  start: Start,
  ledger: Ledger,
): Promise<Outcome> {
  const scene = new Scene(job, path, start, language);
  const { writer, reader, victim } = scene;
  await scene.open(reader, { op: 'open_consumer', label: 'reader' });
  if (!scene.isSoleWriter) await scene.open(writer, { op: 'open_producer', label: 'writer' });
  await scene.stopVictim();
  const goOn = async () => {
    await sleep(PAUSE_MS);
    victim.signal('SIGCONT');
    await within(30_000, 'ending the victim', victim.end());
  };
  const stopMs = performance.now();
  if (fate === 'kill') {
    victim.signal('SIGKILL');
    await victim.ended;
  }
  const buriedMs = performance.now() - stopMs;
  ledger.startClock();
  scene.read();
  if (scene.isSoleWriter) {
    if (fate === 'pause') await goOn();
    await scene.open(writer, { op: 'open_producer', label: 'writer' });
  }
  await within(30_000, 'writing after it', scene.write(2, AFTER));
  // A stopped one may hold a slot in front of the reader, which then waits for it, as it should.
  if (fate === 'kill')
    await within(
      30_000,
      'reading after it',
      until(() => ledger.readOf(2) === AFTER),
    );
  const stallMs = ledger.longestStallMs;
  if (fate === 'pause' && !scene.isSoleWriter) await goOn();
  await within(
    30_000,
    'reading all of it',
    until(() => ledger.readOf(2) === AFTER && ledger.sum().lost === 0),
  );
  for (const { torn, duplicates } of [ledger.sum(), scene.victims.sum()]) {
    assert.deepEqual({ torn, duplicates }, { torn: 0, duplicates: 0 });
  }
  return { stallMs, buriedMs };
}

/** Waits until it is so; not for ever, which would keep this process from its end when somebody else has given up. */
export async function until(isDone: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!isDone()) {
    if (performance.now() > end) throw new Error(`not within a minute: ${isDone}`);
    await sleep(5);
  }
}
