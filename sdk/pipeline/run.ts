/**
 * Run: one run of the pipeline, from the making of its region to its removal.
 *
 *     gateway (Node) ── orders, gated stream ──┬── view (Node)
 *                                              └── analytics (Python) ── signals, queue ──┬── sink (Rust)
 *                                                                                         └── this process
 *
 * Readers are at work before the gateway starts, so the first record is everybody's. At the end the gateway leaves
 * first; when the readers' cursors have reached the tail, analytics writes its last signal and leaves; the queue is
 * emptied; what the region then says of its channels is compared with what was reported.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Consumer, now, Region, TailraceError } from '../index.ts';
import { chaos } from './chaos.ts';
import { Crew, type Member, type Shift } from './crew.ts';
import { Dice } from './dice.ts';
import { Latency } from './latency.ts';
import type { Options } from './options.ts';
import { postsOf } from './posts.ts';
import { type Findings, Proof } from './proof.ts';
import { Rates } from './rates.ts';
import type { Report, Top } from './report.ts';
import { decodeSignal, type Signal } from './signal.ts';
import type { Picture } from './table.ts';
import type { Outcome } from './verdict.ts';

const ORDERS = { name: 'orders', capacity: 16_384 };
const SIGNALS = { name: 'signals', capacity: 1_024 };
const DRAIN_MS = 5_000;

/** What one consumer has read, over all its processes. */
class Tally {
  readonly latency = new Latency();
  lost = 0;

  constructor(
    readonly name: string,
    readonly language: string,
    readonly channel: string,
  ) {}
}

/** One run. */
export class Run {
  readonly crew = new Crew();
  readonly #options: Options;
  readonly #path: string;
  readonly #region: Region;
  readonly #signals: Consumer;
  readonly #proof = new Proof();
  readonly #tallies = new Map<string, Tally>();
  readonly #ending = new AbortController();
  readonly #closing = new AbortController();
  #startMs = 0;
  readonly #rates = new Rates();
  #top: Top | undefined;
  #signal: Signal | undefined;
  #longestStallMs = 0;
  #failure: string | undefined;

  /** Makes the region. */
  constructor(path: string, options: Options) {
    this.#path = path;
    this.#options = options;
    this.#region = Region.create(path, { limitBytes: 64 << 20 });
    try {
      this.#region.createChannel(ORDERS.name, { kind: 'stream', capacity: ORDERS.capacity, gated: true });
      this.#region.createChannel(SIGNALS.name, { kind: 'queue', capacity: SIGNALS.capacity });
      this.#signals = this.#region.openConsumer(SIGNALS.name, { label: 'parent', signal: this.#closing.signal });
    } catch (error) {
      this.#region.close();
      Region.remove(path);
      throw error;
    }
    this.crew.on('report', (member, shift, report) => this.#hear(member, shift, report));
    this.crew.on('failed', (error) => this.stop(error.message));
    for (const [name, language, channel] of [
      ['view', 'Node', ORDERS.name],
      ['analytics', 'Python', ORDERS.name],
      ['sink', 'Rust', SIGNALS.name],
      ['parent', 'Node', SIGNALS.name],
    ] as const) {
      this.#tallies.set(name, new Tally(name, language, channel));
    }
  }

  /** Asks the run to end; with a reason when something failed. */
  stop(failure?: string): void {
    this.#failure ??= failure;
    this.#ending.abort();
  }

  /** Runs until it is stopped or its time is up; `begun` is called when the first record is on its way. */
  async play(begun: () => void): Promise<Outcome> {
    const taking = this.#takeSignals();
    const { readers, gateway } = postsOf(this.#path, this.#options);
    const { signal } = this.#ending;
    await Promise.all(readers.map((post) => this.crew.fill(post, signal)));
    if (!signal.aborted) await this.crew.fill(gateway, signal);
    this.#startMs = performance.now();
    begun();
    const trouble = this.#options.isChaos ? this.#makeTrouble() : undefined;
    const { seconds } = this.#options;
    await waited(seconds === undefined ? undefined : seconds * 1000, signal);
    this.#ending.abort();
    await trouble;
    const endMs = performance.now();
    await this.#drain();
    this.#closing.abort();
    await taking;
    return this.#outcome((endMs - this.#startMs) / 1000);
  }

  /** Ends whoever is left and removes the region, if nobody else has; the last call. */
  close(): void {
    this.crew.abandon();
    this.#signals.close();
    this.#region.close();
    try {
      Region.remove(this.#path);
    } catch (error) {
      if (!(error instanceof TailraceError && error.code === 'ERR_NOT_FOUND')) throw error;
    }
  }

  /** The run as it is now. */
  picture(): Picture {
    const nowMs = performance.now();
    const { channels } = this.#region.stats();
    const lines = channels.map(({ name, kind, tail: written, depth }) => {
      return { name, kind, written, depth, perSecond: this.#rates.perSecond(name, written, nowMs) };
    });
    const consumers = [...this.#tallies.values()].map(({ name, language, channel, lost, latency }) => {
      const perSecond = this.#rates.perSecond(name, latency.count, nowMs);
      const isReady = this.crew.members.find((member) => member.name === name)?.isReady ?? true;
      return { name, language, channel, lost, latency, perSecond, isReady };
    });
    return {
      seconds: (nowMs - this.#startMs) / 1000,
      channels: lines,
      consumers,
      top: this.#top,
      signal: this.#signal,
      repairs: sum(channels.map(({ counters }) => counters.recoveries)),
      abandoned: sum(channels.map(({ counters }) => counters.abandoned)),
      redelivered: sum(channels.map(({ counters }) => counters.redelivered)),
      kills: this.crew.deaths.length,
      stallMs: this.#longestStallMs,
    };
  }

  #hear(member: Member, shift: Shift, report: Report): void {
    switch (report.report) {
      case 'ready':
        if (report.cursor !== undefined) shift.subscription = this.#proof.join(member.name, report.cursor);
        return;
      case 'wrote':
        this.#longestStallMs = Math.max(this.#longestStallMs, report.stallMs);
        this.#proof.blocks(report.blocks);
        return;
      case 'batch': {
        const tally = this.#tallies.get(member.name);
        if (shift.subscription === undefined || tally === undefined) return;
        this.#proof.batch(shift.subscription, report);
        for (const [microseconds, count] of report.latencies) tally.latency.add(microseconds, count);
        tally.lost += report.lost;
        return;
      }
      case 'took': {
        this.#proof.took(report);
        for (const [, , microseconds] of report.signals) this.#tallies.get(member.name)?.latency.add(microseconds);
        return;
      }
      case 'top':
        this.#top = report;
    }
  }

  /** This process's share of the signals: released when the next batch is asked for. */
  async #takeSignals(): Promise<void> {
    const tally = this.#tallies.get('parent');
    try {
      for await (const batch of this.#signals) {
        const nowNs = now();
        for (const message of batch) {
          const signal = decodeSignal(message.payload);
          const microseconds = Math.floor(Number(nowNs - message.timestamp) / 1000);
          const seen: [number, boolean, number] = [Number(message.sequence), message.redelivered, microseconds];
          this.#proof.took({ report: 'took', signals: [seen], torn: signal === undefined ? 1 : 0 });
          tally?.latency.add(microseconds);
          this.#signal = signal;
        }
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) this.stop(`signals cannot be taken: ${(error as Error).message}`);
    }
  }

  #makeTrouble(): Promise<void> {
    const isSafe = () => {
      const subscriptions = this.crew.members.map((member) => member.shift?.subscription);
      return this.#proof.isOverlapping(subscriptions.filter((subscription) => subscription !== undefined));
    };
    return chaos(this.crew, new Dice(this.#options.seed), isSafe, this.#ending.signal);
  }

  /** Ends the processes from the source on, each when what it should still read has been read. */
  async #drain(): Promise<void> {
    await until(() => this.crew.isWhole || this.#failure !== undefined);
    const named = (name: string) => this.crew.members.filter((member) => member.name === name);
    const leave = (name: string) => Promise.all(named(name).map((member) => this.crew.dismiss(member)));
    await leave('gateway');
    await until(() => {
      const { channels, participants } = this.#region.stats();
      const orders = channels.find(({ name }) => name === ORDERS.name);
      const readers = participants.filter(({ label }) => label === 'view' || label === 'analytics');
      const cursors = readers.filter(({ channel }) => channel === orders?.index).map(({ cursor }) => cursor);
      return cursors.every((cursor) => cursor === orders?.tail);
    });
    await Promise.all([leave('analytics'), leave('view')]);
    await leave('sink');
    await until(() => {
      const { signalsWritten, signalsTaken } = this.#findings();
      return signalsTaken >= signalsWritten;
    });
  }

  #findings(): Findings {
    const { channels } = this.#region.stats();
    const totals = (name: string) => {
      const channel = channels.find((channel) => channel.name === name);
      return { tail: channel?.tail ?? 0, abandoned: channel?.counters.abandoned ?? 0 };
    };
    return this.#proof.findings(totals(ORDERS.name), totals(SIGNALS.name));
  }

  #outcome(seconds: number): Outcome {
    const { channels } = this.#region.stats();
    const latency = new Latency();
    for (const tally of this.#tallies.values()) if (tally.channel === ORDERS.name) latency.merge(tally.latency);
    return {
      seconds,
      findings: this.#findings(),
      consumers: [...this.#tallies.values()].map(({ name, language, channel, latency }) => {
        const starts = this.crew.members.find((member) => member.name === name)?.starts ?? 1;
        return { name, language, channel, starts, latency };
      }),
      latency,
      repairs: sum(channels.map(({ counters }) => counters.recoveries)),
      abandoned: sum(channels.map(({ counters }) => counters.abandoned)),
      comparedBlocks: this.#proof.comparedBlocks,
      longestStallMs: this.#longestStallMs,
      kills: this.crew.deaths,
      isChaos: this.#options.isChaos,
      failure: this.#failure,
    };
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Waits for what must come, but not for ever. */
async function until(isSo: () => boolean): Promise<void> {
  const endMs = performance.now() + DRAIN_MS;
  while (!isSo() && performance.now() < endMs) await sleep(10);
}

async function waited(milliseconds: number | undefined, signal: AbortSignal): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  if (milliseconds === undefined) return ended;
  await Promise.race([ended, sleep(milliseconds, undefined, { signal }).catch(() => {})]);
}
