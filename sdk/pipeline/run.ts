/**
 * Run: one run of the pipeline, from the making of its region to its removal.
 *
 *     gateway (Node) ── orders, gated stream ──┬── view (Node)
 *                          │                   └── analytics (Python) ── signals, stream ──┬── sink (Rust)
 *                          │                                                  │            └── this process
 *                          └────────────────── recorder (Node) ───────────────┘
 *
 * The recorder is at work first, for it gives both channels their numbers; the readers are before the gateway starts, so
 * the first record is everybody's. At the end the gateway leaves first; when the readers' cursors have reached the tail,
 * analytics writes its last signal and leaves; the signals are taken; the recorder leaves. What the region then says of
 * its channels, and the logs have, is compared with what was reported.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { chaos } from '../crew/chaos.ts';
import { Crew, type Member, type Shift } from '../crew/crew.ts';
import { Dice } from '../crew/dice.ts';
import { Latency } from '../crew/latency.ts';
import { Rates } from '../crew/rates.ts';
import { type Consumer, now, Region, TailraceError } from '../index.ts';
import type { LogFindings } from './audit.ts';
import type { Data } from './data.ts';
import { Logs } from './logs.ts';
import type { Options } from './options.ts';
import { postsOf } from './posts.ts';
import { type ChannelTotals, type Findings, Proof, type Subscription } from './proof.ts';
import type { Report, Top } from './report.ts';
import { decodeSignal, type Signal } from './signal.ts';
import type { Totals } from './state.ts';
import type { Picture, RecordedLine } from './table.ts';
import type { Outcome } from './verdict.ts';

const ORDERS = { name: 'orders', capacity: 16_384 };
const SIGNALS = { name: 'signals', capacity: 1_024 };
const GROUP = 'sinks';
const DRAIN_MS = 15_000;
const COMMIT_MS = 250;

/** What one consumer has read, over all its processes. */
class Tally {
  readonly latency = new Latency();
  lost = 0;
  /** Messages, those too that were caught up with. */
  read = 0;

  constructor(
    readonly name: string,
    readonly language: string,
    readonly channel: string,
  ) {}
}

/** One run. */
export class Run {
  readonly crew = new Crew<Report>();
  readonly #options: Options;
  readonly #data: Data;
  readonly #path: string;
  readonly #region: Region;
  readonly #proof = new Proof();
  readonly #tallies = new Map<string, Tally>();
  /** What each reader of `orders` has seen. */
  readonly #subscriptions = new WeakMap<Shift, Subscription>();
  readonly #ending = new AbortController();
  readonly #closing = new AbortController();
  /** Since the recorder is at work. */
  #signals: Consumer | undefined;
  #firstSignal = 0;
  #logs: Logs | undefined;
  readonly #wal = new Latency();
  #startMs = 0;
  readonly #rates = new Rates();
  #top: Top | undefined;
  #totals: Totals | undefined;
  #signal: Signal | undefined;
  #longestStallMs = 0;
  #failure: string | undefined;

  /** Makes the region. */
  constructor(path: string, data: Data, options: Options) {
    this.#path = path;
    this.#data = data;
    this.#options = options;
    this.#region = Region.create(path, { limitBytes: 64 << 20 });
    try {
      const stream = { kind: 'stream', recorded: true } as const;
      this.#region.createChannel(ORDERS.name, { ...stream, capacity: ORDERS.capacity, gated: true });
      this.#region.createChannel(SIGNALS.name, { ...stream, capacity: SIGNALS.capacity });
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
  async play(begun: () => void, tell: (line: string) => void): Promise<Outcome> {
    const { recorder, readers, gateway } = postsOf(this.#path, this.#data.dir, this.#options);
    const { signal } = this.#ending;
    await this.crew.fill(recorder, signal);
    const taking = this.crew.isWhole ? this.#openLogs() : undefined;
    if (!signal.aborted) await Promise.all(readers.map((post) => this.crew.fill(post, signal)));
    if (!signal.aborted) await this.crew.fill(gateway, signal);
    this.#startMs = performance.now();
    begun();
    const trouble = this.#options.isChaos ? chaos(this.crew, new Dice(this.#options.seed), signal) : undefined;
    const following = this.#logs?.follow(() => this.#recorded(), signal).catch((error) => this.stop(error.message));
    const { seconds } = this.#options;
    await waited(seconds === undefined ? undefined : seconds * 1000, signal);
    this.#ending.abort();
    await Promise.all([trouble, following]);
    const endMs = performance.now();
    await this.#drain();
    this.#closing.abort();
    await taking;
    return this.#outcome((endMs - this.#startMs) / 1000, await this.#audit(tell));
  }

  /** The logs are there now: takes signals from where the group was, and is ready to read back. */
  #openLogs(): Promise<unknown> {
    const { signal } = this.#closing;
    const options = { from: 'oldest', group: GROUP, label: 'parent', signal } as const;
    try {
      this.#logs = new Logs(this.#data, this.#proof, this.#options.retainedBytes);
      const signals = this.#region.openConsumer(SIGNALS.name, options);
      this.#signals = signals;
      this.#firstSignal = Number(signals.position) - 1;
      return Promise.all([this.#takeSignals(signals), this.#commit(signals)]);
    } catch (error) {
      this.stop((error as Error).message);
      return Promise.resolve();
    }
  }

  /** Reads the logs back; undefined when there are none. */
  async #audit(tell: (line: string) => void): Promise<LogFindings | undefined> {
    if (this.#logs === undefined) return undefined;
    try {
      const orders = this.#channelTotals(ORDERS.name);
      const signals = { first: this.#firstSignal, tail: this.#channelTotals(SIGNALS.name).tail };
      const readers = ['view', 'analytics'].map((name) => this.#proof.seenBy(name));
      const known = { orders, signals, readers, taken: this.#proof.taken, totals: this.#totals };
      return await this.#logs.finish(known, tell);
    } catch (error) {
      this.stop(`the logs cannot be read back: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** Ends whoever is left and removes the region, if nobody else has; the last call. */
  close(): void {
    this.crew.abandon();
    this.#signals?.close();
    this.#logs?.close();
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
    const consumers = [...this.#tallies.values()].map(({ name, language, channel, lost, latency, read }) => {
      const perSecond = this.#rates.perSecond(name, read, nowMs);
      const isReady = this.crew.members.find((member) => member.name === name)?.isReady ?? true;
      return { name, language, channel, lost, latency, read, perSecond, isReady };
    });
    const isRecording = this.crew.members.find(({ name }) => name === 'recorder')?.isReady ?? false;
    const recorded = channels.map(({ name, recorder, groups }): RecordedLine => {
      const { lag = 0, durableSequence: durable = 0, error = null } = recorder ?? {};
      const state = error ?? (isRecording ? 'recording' : 'restarting');
      return { name, state, lag, durable, groupLag: groups.find((group) => group.name === GROUP)?.lag ?? undefined };
    });
    return {
      seconds: (nowMs - this.#startMs) / 1000,
      channels: lines,
      consumers,
      recorded,
      wal: { latency: this.#wal, perSecond: this.#rates.perSecond('wal', this.#wal.count, nowMs) },
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
        if (report.cursor !== undefined) this.#subscriptions.set(shift, this.#proof.join(member.name, report.cursor));
        return;
      case 'wrote':
        this.#longestStallMs = Math.max(this.#longestStallMs, report.stallMs);
        this.#proof.blocks(report.blocks);
        this.#logs?.expect(report.acknowledged);
        for (const [, , , microseconds] of report.acknowledged) this.#wal.add(microseconds);
        if (report.isLast) this.stop();
        return;
      case 'batch': {
        const tally = this.#tallies.get(member.name);
        const subscription = this.#subscriptions.get(shift);
        if (subscription === undefined || tally === undefined) return;
        this.#proof.batch(subscription, report);
        for (const [microseconds, count] of report.latencies) tally.latency.add(microseconds, count);
        tally.lost += report.lost;
        tally.read += report.count;
        return;
      }
      case 'took': {
        this.#proof.took(report);
        const tally = this.#tallies.get(member.name);
        for (const [, , microseconds] of report.signals) tally?.latency.add(microseconds);
        if (tally !== undefined) tally.read += report.signals.length;
        return;
      }
      case 'top':
        this.#top = report;
        return;
      case 'totals':
        this.#totals = report.totals;
    }
  }

  /** This process's share of the signals: released when the next batch is asked for. */
  async #takeSignals(signals: Consumer): Promise<void> {
    const tally = this.#tallies.get('parent')!;
    try {
      for await (const batch of signals) {
        const nowNs = now();
        for (const message of batch) {
          const signal = decodeSignal(message.payload);
          const microseconds = Math.floor(Number(nowNs - message.timestamp) / 1000);
          const seen: [number, boolean, number] = [Number(message.sequence), message.redelivered, microseconds];
          this.#proof.took({ report: 'took', signals: [seen], torn: signal === undefined ? 1 : 0 });
          tally.latency.add(microseconds);
          tally.read += 1;
          this.#signal = signal;
        }
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) this.stop(`signals cannot be taken: ${(error as Error).message}`);
    }
  }

  /** Makes the group's position durable, now and then and once more at the end. */
  async #commit(signals: Consumer): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await sleep(COMMIT_MS, undefined, { signal }).catch(() => {});
      // What cannot be stored now, a dead recorder or a full disk in the way, is stored the next time.
      await signals.commit({ timeoutMs: COMMIT_MS }).catch(() => {});
    }
  }

  /** Newest sequence in the log of orders. */
  #recorded(): number {
    const recorder = this.#region.channels().find(({ name }) => name === ORDERS.name)?.recorder;
    return (recorder?.base ?? 1) + (recorder?.recordedPosition ?? 0) - 1;
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
    await this.#signals?.commit({ timeoutMs: DRAIN_MS }).catch(() => {});
    await leave('recorder');
  }

  #findings(): Findings {
    return this.#proof.findings(this.#channelTotals(ORDERS.name), this.#channelTotals(SIGNALS.name));
  }

  /** What the region says of a channel, in positions of its log. */
  #channelTotals(name: string): ChannelTotals {
    const channel = this.#region.channels().find((channel) => channel.name === name);
    const first = (channel?.recorder?.base ?? 1) - 1;
    return { first, tail: first + (channel?.tail ?? 0), abandoned: channel?.counters.abandoned ?? 0 };
  }

  #outcome(seconds: number, log: LogFindings | undefined): Outcome {
    const { channels } = this.#region.stats();
    const latency = new Latency();
    for (const tally of this.#tallies.values()) if (tally.channel === ORDERS.name) latency.merge(tally.latency);
    return {
      seconds,
      findings: this.#findings(),
      consumers: [...this.#tallies.values()].map(({ name, language, channel, latency, read }) => {
        const starts = this.crew.members.find((member) => member.name === name)?.starts ?? 1;
        return { name, language, channel, starts, latency, read };
      }),
      latency,
      repairs: sum(channels.map(({ counters }) => counters.recoveries)),
      abandoned: sum(channels.map(({ counters }) => counters.abandoned)),
      comparedBlocks: this.#proof.comparedBlocks,
      longestStallMs: this.#longestStallMs,
      kills: this.crew.deaths,
      isChaos: this.#options.isChaos,
      log,
      wal: this.#wal,
      totals: this.#totals,
      isResumed: this.#options.isResumed,
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
