/**
 * Run: one run of a whole exchange, from its config to its proof.
 *
 *     flow (Node) ══TCP══ gateway ── orders ──► matcher ──┬── reports ──► gateway ══TCP══ flow
 *                                                │        └── market ──┬── view (Node)
 *                                             journal                  ├── analytics (Python)
 *                                                │                     └── publisher ══UDP══ feed (Node)
 *                                             shadow ══TCP══ snapshots, for view, feed and this process
 *
 * At the end the flow leaves first, when it has an answer to everything that it sent. When the readers have seen the last
 * message, and the shadow has it, a snapshot is taken, and everybody says what he knows. Then the exchange is closed, its
 * journal replayed, and its logs held against what was told.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { chaos } from '../../crew/chaos.ts';
import { Crew, type Member, type Post } from '../../crew/crew.ts';
import { Dice } from '../../crew/dice.ts';
import { Rates } from '../../crew/rates.ts';
import { Region, TailraceError } from '../../index.ts';
import { MESSAGES } from '../../wire.ts';
import { addressOf } from '../client/address.ts';
import { fetchSnapshot } from '../client/snapshot.ts';
import type { Role } from '../config.ts';
import { END, type PartLine, postOf } from '../parts.ts';
import { program } from '../program.ts';
import { audit, type LogFindings, testimoniesOf } from './audit.ts';
import type { Options } from './options.ts';
import type { Place } from './place.ts';
import { node, python } from './posts.ts';
import type { Picture, ProcessLine } from './table.ts';
import { FlowTally, ReaderTally } from './tallies.ts';
import type { Hashes, Outcome } from './verdict.ts';
import type { Day, Image, Top, Word } from './words.ts';

const STATUS_MS = 100;
const DRAIN_MS = 20_000;
const LOOK_MS = 20;
const SNAPSHOT_MS = 10_000;
const REPLAY_OUTPUT_BYTES = 1 << 20;
const run = promisify(execFile);

/** What `tailrace-exchange replay --hash` says. */
interface Replayed {
  sequence: number;
  state_hash: string;
  output_hash: string;
  market_sequence: number;
}

/** One run. */
export class Run {
  readonly crew = new Crew<Word>();
  readonly #options: Options;
  readonly #place: Place;
  readonly #ending = new AbortController();
  readonly #flow = new FlowTally();
  readonly #view = new ReaderTally('view');
  readonly #analytics = new ReaderTally('analytics');
  readonly #feed = new ReaderTally('feed');
  readonly #parts = new Map<Role, PartLine>();
  readonly #rates = new Rates();
  #startMs = 0;
  #top: Top | undefined;
  #day: Day | undefined;
  #failure: string | undefined;

  constructor(place: Place, options: Options) {
    this.#place = place;
    this.#options = options;
    this.crew.on('report', (member, _, word) => this.#hear(member, word));
    this.crew.on('failed', (error) => this.stop(error.message));
  }

  /** Asks the run to end; with a reason when something failed. */
  stop(failure?: string): void {
    this.#failure ??= failure;
    this.#ending.abort();
  }

  /** Runs until it is stopped or its time is up; `begun` is called when the first order is on its way. */
  async play(begun: () => void, tell: (line: string) => void): Promise<Outcome> {
    const { signal } = this.#ending;
    if (this.#options.isResumed) this.#flow.begin(await testimoniesOf(this.#place.dir));
    for (const post of this.#posts()) if (!signal.aborted) await this.crew.fill(post, signal);
    this.#startMs = performance.now();
    begun();
    const trouble = this.#options.isChaos ? chaos(this.crew, new Dice(this.#options.seed), signal) : undefined;
    const { seconds } = this.#options;
    await waited(seconds === undefined ? undefined : seconds * 1000, signal);
    this.#ending.abort();
    await trouble;
    const endMs = performance.now();
    const snapshot = await this.#drain();
    const live = await this.#close();
    const replayed = await this.#replay(tell);
    const log = await this.#audit(tell);
    return this.#outcome((endMs - this.#startMs) / 1000, { snapshot, live, replayed, log });
  }

  /** Ends whoever is left and removes the region; the last call. */
  close(): void {
    this.crew.abandon();
    try {
      Region.remove(this.#place.region);
    } catch (error) {
      if (!(error instanceof TailraceError && error.code === 'ERR_NOT_FOUND')) throw error;
    }
  }

  /** The run as it is now. */
  picture(): Picture {
    const nowMs = performance.now();
    const rate = (name: string, total: number) => this.#rates.perSecond(name, total, nowMs);
    const matcher = this.#numbers('matcher');
    const processes = this.crew.members.map((member): ProcessLine => {
      const { name, post } = member;
      const { what, done, note } = this.#doing(name);
      const state = member.isLeaving ? 'has left' : member.isReady ? post.language : 'restarting';
      return { name, state, what, done, note, perSecond: rate(name, done) };
    });
    return {
      seconds: (nowMs - this.#startMs) / 1000,
      processes,
      spans: [
        { name: 'report (TCP)', latency: this.#flow.latency, gaps: 0 },
        { name: 'view (memory)', latency: this.#view.latency, gaps: this.#view.gaps },
        { name: 'analytics (memory)', latency: this.#analytics.latency, gaps: this.#analytics.gaps },
        { name: 'feed (UDP)', latency: this.#feed.latency, gaps: this.#feed.gaps },
      ],
      ordersPerSecond: rate('answered', this.#flow.answered),
      executionsPerSecond: rate('trades', this.#day?.trades ?? 0),
      journalLag: matcher('journal_lag'),
      top: this.#top,
      day: this.#day,
      kills: this.crew.deaths.length,
      stallMs: this.#flow.stallMs,
    };
  }

  #posts(): Post[] {
    const { addresses, config, region, token } = this.#place;
    const { accounts, rate, seed, input } = this.#options;
    const part = (role: Role) => postOf(role, config, STATUS_MS);
    const kernel = this.#options.kernel === undefined ? [] : [this.#place.kernel];
    const feed = () => [addresses.feed, addresses.requests, addresses.snapshots];
    const words = () => {
      const what = { gateway: addresses.gateway, token, accounts, rate, seed, input, testimonies: this.#flow.latest };
      return [JSON.stringify(what)];
    };
    return [
      part('matcher'),
      part('shadow'),
      part('gateway'),
      part('publisher'),
      node('view', () => [region, addresses.snapshots]),
      python('analytics', 'executions.py', () => [region, `${this.#analytics.to}`, ...kernel]),
      node('feed', feed),
      node('flow', words),
    ];
  }

  /** A part's numbers, 0 where it has not said any. */
  #numbers(role: Role): (field: string) => number {
    const line = this.#parts.get(role);
    return (field) => (typeof line?.[field] === 'number' ? line[field] : 0);
  }

  /** What a process does, in words. */
  #doing(name: string): { what: string; done: number; note: string } {
    switch (name) {
      case 'matcher': {
        const of = this.#numbers('matcher');
        const note = `${of('orders')} orders, on disk ${of('durable_sequence')}, a batch ${of('service_p50_ns')} ns (p99 ${of('service_p99_ns')})`;
        return { what: 'commands', done: of('journal_sequence'), note };
      }
      case 'gateway': {
        const of = this.#numbers('gateway');
        const note = `${of('sessions')} sessions, ${of('backlog')} bytes waiting`;
        return { what: 'orders in', done: of('orders_in'), note };
      }
      case 'publisher': {
        const of = this.#numbers('publisher');
        return { what: 'messages', done: of('messages'), note: `${of('datagrams')} datagrams` };
      }
      case 'shadow': {
        const of = this.#numbers('shadow');
        return { what: 'replayed', done: of('journal_sequence'), note: `${of('served')} snapshots served` };
      }
      case 'flow': {
        const { sent, answered, open } = this.#flow;
        return { what: 'sent', done: sent, note: `${answered} answered, ${open} open` };
      }
      default: {
        const { seen, requested } = this.#reader(name);
        return { what: 'seen', done: seen, note: requested > 0 ? `${requested} asked for again` : '' };
      }
    }
  }

  #reader(name: string): ReaderTally {
    if (name === 'view') return this.#view;
    return name === 'feed' ? this.#feed : this.#analytics;
  }

  #hear(member: Member, word: Word): void {
    switch (word.report) {
      case 'flowed':
        this.#flow.hear(word);
        return;
      case 'seen':
        this.#reader(member.name).hear(word);
        return;
      case 'top':
        if (member.name === 'view') this.#top = word;
        return;
      case 'image':
        this.#reader(member.name).image = word;
        return;
      case 'day':
        this.#day = word;
        return;
      case 'status':
      case 'closed':
        this.#parts.set(word.role, word);
    }
  }

  /** Ends the flow, waits until everybody knows everything, and asks everybody what that is. */
  async #drain(): Promise<Image | undefined> {
    const failed = () => this.#failure !== undefined;
    await until(() => this.crew.isWhole || failed());
    await this.#leave('flow');
    const [matcher, shadow] = [() => this.#numbers('matcher'), () => this.#numbers('shadow')];
    let [last, sinceMs] = [-1, performance.now()];
    const isQuiet = () => {
      const sequence = matcher()('journal_sequence');
      if (sequence !== last || matcher()('journal_lag') > 0) [last, sinceMs] = [sequence, performance.now()];
      return performance.now() - sinceMs > 5 * STATUS_MS;
    };
    await until(() => isQuiet() || failed());
    await until(() => {
      const market = matcher()('market_sequence');
      const isSeen = [this.#view, this.#analytics, this.#feed].every(({ to }) => to >= market);
      return (isSeen && shadow()('journal_sequence') >= matcher()('journal_sequence')) || failed();
    });
    const snapshot = await this.#snapshot();
    await Promise.all(['view', 'analytics', 'feed'].map((name) => this.#leave(name)));
    return snapshot;
  }

  async #snapshot(): Promise<Image | undefined> {
    try {
      const address = addressOf(this.#place.addresses.snapshots, 'snapshots');
      const { orders, sequence } = await fetchSnapshot(address, SNAPSHOT_MS, new AbortController().signal);
      const sha256 = createHash('sha256').update(orders).digest('hex');
      const count = orders.length / MESSAGES.SnapshotOrder.size;
      return { report: 'image', sequence: Number(sequence), orders: count, sha256 };
    } catch (error) {
      this.stop(`there is no snapshot: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** Closes the exchange, the way orders go; says what the matcher knew at its end. */
  async #close(): Promise<Hashes | undefined> {
    for (const role of ['gateway', 'matcher', 'publisher', 'shadow']) await this.#leave(role, END);
    const closed = this.#parts.get('matcher');
    if (closed?.report !== 'closed') return undefined;
    const of = this.#numbers('matcher');
    return {
      sequence: of('journal_sequence'),
      stateHash: String(closed.state_hash),
      outputHash: String(closed.output_hash),
      marketSequence: of('market_sequence'),
    };
  }

  async #leave(name: string, word?: string): Promise<void> {
    await Promise.all(
      this.crew.members.filter((member) => member.name === name).map((member) => this.crew.dismiss(member, word)),
    );
  }

  /** Replays the journal in a process of its own. */
  async #replay(tell: (line: string) => void): Promise<Hashes | undefined> {
    tell('replaying the journal');
    try {
      const args = ['replay', this.#place.dir, '--hash'];
      const { stdout } = await run(program(), args, { maxBuffer: REPLAY_OUTPUT_BYTES });
      const { sequence, state_hash, output_hash, market_sequence } = JSON.parse(stdout) as Replayed;
      return { sequence, stateHash: state_hash, outputHash: output_hash, marketSequence: market_sequence };
    } catch (error) {
      this.stop(`the journal cannot be replayed: ${(error as Error).message}`);
      return undefined;
    }
  }

  async #audit(tell: (line: string) => void): Promise<LogFindings | undefined> {
    tell('reading the logs back');
    try {
      return await audit(this.#place.dir, this.#flow.testimonies);
    } catch (error) {
      this.stop(`the logs cannot be read back: ${(error as Error).message}`);
      return undefined;
    }
  }

  #outcome(seconds: number, ends: Pick<Outcome, 'snapshot' | 'live' | 'replayed' | 'log'>): Outcome {
    const { requested, snapshots } = this.#feed;
    return {
      ...{ seconds, requested, snapshots, ...ends },
      flow: this.#flow,
      readers: [this.#view, this.#analytics, this.#feed],
      day: this.#day,
      kills: this.crew.deaths,
      isChaos: this.#options.isChaos,
      isResumed: this.#options.isResumed,
      failure: this.#failure,
    };
  }
}

/** Waits for `condition`, at most as long as a drain may take. */
async function until(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + DRAIN_MS;
  while (!condition() && performance.now() < endMs) await sleep(LOOK_MS);
}

async function waited(ms: number | undefined, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  if (ms === undefined)
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  else await sleep(ms, undefined, { signal }).catch(() => {});
}
