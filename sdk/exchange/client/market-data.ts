/**
 * Market data: the exchange's feed, without holes.
 *
 * ```text
 *  feed (UDP) ──► line ──► inbox ──► for await        what is missing is asked for again, a datagram at a time;
 *                  ▲ ▲                                what cannot be had again is jumped over with a snapshot
 *   requests (UDP) ┘ └── snapshots (TCP)
 * ```
 *
 * The feed is joined first and kept; then a snapshot is fetched, and what it holds already is dropped. A reader that is
 * slow costs no memory without end: when the inbox is full, datagrams are dropped, and asked for again once there is
 * room. A newer session begins everything anew; datagrams of an older one are ignored.
 *
 * Nothing here believes a datagram further than it must: a message that is not what it calls itself never gets to the
 * line, and a claim that nobody can fulfil is forgotten with the next snapshot.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TailraceError } from '../../error.ts';
import { decodeMold, encodeMoldRequest, MOLD_END, MOLD_HEARTBEAT, type MoldDatagram } from '../../mold.ts';
import { type Address, addressOf } from './address.ts';
import { FeedSockets } from './feed-sockets.ts';
import { Inbox } from './inbox.ts';
import { Line } from './line.ts';
import { checkMessage, MarketBatch, type Snapshot } from './market-batch.ts';
import { atLeast } from './numbers.ts';
import { fetchSnapshot } from './snapshot.ts';

/** Where the exchange's market data are, and how hard to try. Addresses are `host:port`. */
export interface MarketDataOptions {
  /** A multicast group, or an own address to which the publisher sends; port 0 takes any. */
  feed: string;
  /** Where the publisher hears requests for what was lost. */
  requests: string;
  /** Where snapshots are to be had. */
  snapshots: string;
  /** Address of the interface that a group is heard on; default the system's choice. */
  interface?: string | undefined;
  /** Ends it: the loop throws the signal's reason. */
  signal?: AbortSignal | undefined;
  /** How long a message may be late before it is asked for, milliseconds; default 1. */
  patienceMs?: number | undefined;
  /** How long to wait for the answer to a request, milliseconds; default 50. */
  timeoutMs?: number | undefined;
  /** Requests without an answer before a snapshot is fetched; default 5. */
  attempts?: number | undefined;
  /** More missing messages than this are rather jumped over, with a snapshot; default 50,000. */
  gapMax?: number | undefined;
  /** Messages that may wait for those before them, and as many for the reader; default 65,536. */
  backlog?: number | undefined;
}

/** What has happened so far. */
export interface MarketDataCounters {
  /** Datagrams of the feed, heartbeats among them. */
  datagrams: number;
  /** Messages handed to the reader. */
  messages: number;
  heartbeats: number;
  /** How often the feed went on further than it was known. */
  gaps: number;
  /** Requests for what was lost. */
  requested: number;
  /** Messages that requests brought back. */
  retransmitted: number;
  /** Datagrams that brought nothing new. */
  duplicates: number;
  /** Datagrams that came after later ones. */
  reordered: number;
  /** Messages dropped for want of room; they are asked for again. */
  dropped: number;
  /** Datagrams that were none, or of an older session. */
  refused: number;
  /** Snapshots that replaced the book. */
  snapshots: number;
}

const SNAPSHOT_TIMEOUT_MS = 2_000;
const PAUSE_MS = 20;
const PAUSE_MAX_MS = 1_000;
const SESSION = /^ *\d+$/;

/** The numbers of the options. */
interface Limits {
  patienceMs: number;
  timeoutMs: number;
  attempts: number;
  gapMax: number;
  backlog: number;
}

/** Why a snapshot is wanted: to begin; instead of many messages; because nobody answers. */
type Need = 'begin' | 'many' | 'silence';

/** The exchange's feed, without holes. */
export class MarketData implements AsyncIterable<MarketBatch> {
  readonly #options: Limits;
  readonly #snapshots: Address;
  readonly #signal: AbortSignal | undefined;
  readonly #line: Line;
  readonly #inbox: Inbox<MarketBatch>;
  readonly #counters: MarketDataCounters = {
    datagrams: 0,
    messages: 0,
    heartbeats: 0,
    gaps: 0,
    requested: 0,
    retransmitted: 0,
    duplicates: 0,
    reordered: 0,
    dropped: 0,
    refused: 0,
    snapshots: 0,
  };
  #sockets: FeedSockets | undefined;
  /** Of the feed; '' as long as nobody has said. */
  #session = '';
  /** The message after the session's last one. */
  #endsAt: bigint | undefined;
  /** Runs until a missing message is asked for, or asked for again. */
  #timer: NodeJS.Timeout | undefined;
  /** The first message that was asked for, and how often in vain. */
  #asked: { sequence: bigint; attempts: number } | undefined;
  /** A snapshot did not help over the present gap, so it is mended however large it is. */
  #isMending = false;
  #rescue: AbortController | undefined;
  #trouble: unknown;

  private constructor(options: MarketDataOptions) {
    this.#options = {
      patienceMs: atLeast(0, options.patienceMs ?? 1, 'patienceMs'),
      timeoutMs: atLeast(1, options.timeoutMs ?? 50, 'timeoutMs'),
      attempts: atLeast(1, options.attempts ?? 5, 'attempts'),
      gapMax: atLeast(1, options.gapMax ?? 50_000, 'gapMax'),
      backlog: atLeast(1, options.backlog ?? 65_536, 'backlog'),
    };
    this.#snapshots = addressOf(options.snapshots, 'snapshots');
    this.#signal = options.signal;
    this.#line = new Line(this.#options.backlog);
    this.#inbox = new Inbox(this.#options.backlog, () => this.#mend());
  }

  /**
   * Joins the feed; the first batch of the loop is a snapshot. Rejects with ERR_ARGUMENT, with ERR_IO when a socket
   * cannot be opened, or with the signal's reason.
   */
  static async join(options: MarketDataOptions): Promise<MarketData> {
    const data = new MarketData(options);
    const place = {
      feed: addressOf(options.feed, 'feed'),
      requests: addressOf(options.requests, 'requests'),
      interface: options.interface,
    };
    options.signal?.throwIfAborted();
    data.#sockets = await FeedSockets.open(
      place,
      (bytes, isLive) => data.#hear(bytes, isLive),
      (error) => data.#fail(error),
    );
    options.signal?.addEventListener('abort', data.#abort, { once: true });
    if (options.signal?.aborted) data.#abort();
    else data.#fetch('begin');
    return data;
  }

  readonly #abort = () => this.#fail(this.#signal?.reason, { now: true });

  /** Where the feed is heard; tells the port that 0 became. Only while it is open. */
  get address(): Address | undefined {
    return this.#sockets?.address;
  }

  /** Ten characters: the exchange's epoch in digits, right-justified; '' as long as nobody has said. */
  get session(): string {
    return this.#session;
  }

  /** What has happened so far. */
  get counters(): MarketDataCounters {
    return { ...this.#counters };
  }

  /** Why the last snapshot could not be had; undefined when it could. */
  get trouble(): unknown {
    return this.#trouble;
  }

  #hear(bytes: Uint8Array, isLive: boolean): void {
    if (this.#inbox.isEnded) return;
    let datagram: MoldDatagram;
    let payloads: Uint8Array[] = [];
    try {
      datagram = decodeMold(bytes);
      if (datagram.count !== MOLD_END) payloads = [...datagram.messages];
      for (const [index, payload] of payloads.entries()) checkMessage(payload, datagram.sequence + BigInt(index));
      if (!this.#isOfSession(datagram.session, isLive)) throw undefined;
    } catch {
      this.#counters.refused += 1;
      return;
    }
    if (isLive) {
      this.#counters.datagrams += 1;
      if (payloads.length === 0) this.#hearEnd(datagram);
    }
    if (payloads.length > 0) this.#take(datagram.sequence, payloads, isLive);
    this.#deliver();
    this.#mend(!isLive);
  }

  /** Whether a datagram is of the session; a newer one begins everything anew. */
  #isOfSession(session: string, isLive: boolean): boolean {
    if (session === this.#session) return true;
    if (!isLive || session < this.#session || !SESSION.test(session)) return false;
    const isFirst = this.#session === '';
    this.#session = session;
    if (!isFirst) {
      this.#line.clear();
      this.#endsAt = undefined;
      this.#fetch('begin');
    }
    return true;
  }

  #hearEnd({ sequence, count }: MoldDatagram): void {
    if (count === MOLD_HEARTBEAT) this.#counters.heartbeats += 1;
    else this.#endsAt = sequence;
    if (this.#line.hear(sequence) && this.#line.isPlaced) this.#counters.gaps += 1;
  }

  #take(sequence: bigint, payloads: readonly Uint8Array[], isLive: boolean): void {
    const counters = this.#counters;
    if (!this.#inbox.hasRoom) {
      counters.dropped += payloads.length;
      if (isLive) this.#line.hear(sequence + BigInt(payloads.length));
      return;
    }
    if (isLive && this.#line.isPlaced && sequence > this.#line.end) counters.gaps += 1;
    const arrival = this.#line.take(sequence, payloads, isLive);
    if (arrival === 'refused') counters.dropped += payloads.length;
    else if (arrival === 'known') counters.duplicates += 1;
    else if (!isLive) counters.retransmitted += payloads.length;
    else if (arrival === 'late') counters.reordered += 1;
  }

  /** Hands out what is in order. */
  #deliver(): void {
    for (const { sequence, payloads } of this.#line.release()) {
      this.#counters.messages += payloads.length;
      this.#inbox.put(new MarketBatch(this.#session, sequence, payloads), payloads.length);
    }
    if (this.#endsAt !== undefined && this.#line.isPlaced && this.#line.expected >= this.#endsAt) {
      this.#inbox.finish();
      this.#leave();
    }
  }

  /** Sees to it that what is missing comes; `isAnswer`: an answer has just come. */
  #mend(isAnswer = false): void {
    if (this.#inbox.isEnded) return;
    const { gapMax, patienceMs } = this.#options;
    const gap = this.#inbox.hasRoom ? this.#line.gap(gapMax + 1) : undefined;
    if (gap === undefined) {
      clearTimeout(this.#timer);
      this.#timer = this.#asked = undefined;
      this.#isMending = false;
      if (this.#line.isPlaced) this.#rescue?.abort();
    } else if (this.#rescue !== undefined && !isAnswer) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    } else if (gap.count > gapMax && !this.#isMending) {
      this.#fetch('many');
    } else if (this.#asked !== undefined && gap.sequence > this.#asked.sequence) {
      this.#asked = undefined;
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#rescue?.abort();
      if (isAnswer) this.#ask();
      else this.#timer = setTimeout(() => this.#ask(), patienceMs);
    } else if (this.#rescue === undefined) {
      this.#timer ??= setTimeout(() => this.#ask(), patienceMs);
    }
  }

  /** Asks for what is missing first, and waits for an answer. */
  #ask(): void {
    this.#timer = undefined;
    const { timeoutMs, attempts } = this.#options;
    const sequence = this.#request();
    if (sequence === undefined) return;
    this.#asked = { sequence, attempts: this.#asked?.sequence === sequence ? this.#asked.attempts + 1 : 1 };
    const isLast = this.#asked.attempts >= attempts;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (isLast) this.#fetch('silence');
      else this.#ask();
    }, timeoutMs);
  }

  #request(): bigint | undefined {
    const gap = this.#line.gap(Math.min(this.#options.gapMax, this.#options.backlog, MOLD_END - 1));
    if (gap === undefined) return undefined;
    this.#counters.requested += 1;
    this.#sockets?.ask(encodeMoldRequest(this.#session, gap.sequence, gap.count));
    return gap.sequence;
  }

  /** Fetches a snapshot, again and again until one helps; a fetch that is under way is given up. */
  #fetch(need: Need): void {
    this.#rescue?.abort();
    const rescue = new AbortController();
    this.#rescue = rescue;
    this.#tryFetching(need, rescue.signal)
      .catch((error: unknown) => {
        if (!rescue.signal.aborted) this.#fail(error);
      })
      .finally(() => {
        if (this.#rescue !== rescue) return;
        this.#rescue = undefined;
        this.#mend();
      });
  }

  async #tryFetching(need: Need, signal: AbortSignal): Promise<void> {
    for (let round = 1; ; round += 1) {
      try {
        const snapshot = await fetchSnapshot(this.#snapshots, SNAPSHOT_TIMEOUT_MS, signal);
        this.#trouble = undefined;
        if (this.#helps(snapshot, round)) return this.#begin(snapshot);
      } catch (error) {
        signal.throwIfAborted();
        this.#trouble = error;
      }
      this.#isMending = true;
      if (need === 'many') return;
      if (this.#endsAt !== undefined && round >= this.#options.attempts) throw this.#lostEnd();
      this.#request();
      await sleep(Math.min(PAUSE_MS * 2 ** (round - 1), PAUSE_MAX_MS), undefined, { signal });
    }
  }

  #lostEnd(): TailraceError {
    const what = `the session ended before message ${this.#endsAt}, and ${this.#line.expected} could not be had again`;
    const cause = this.#trouble === undefined ? undefined : { cause: this.#trouble };
    return new TailraceError('ERR_TIMED_OUT', `${what}; ask for what is missing elsewhere`, cause);
  }

  /** Whether a snapshot is of the session, and leads over what is missing. */
  #helps({ session, sequence }: Snapshot, round: number): boolean {
    if (this.#session === '' || session > this.#session) return true;
    // Who claimed a newer session has not convinced the exchange's own service.
    if (session < this.#session) return round > this.#options.attempts;
    const gap = this.#line.gap(1);
    return gap === undefined ? !this.#line.isPlaced : sequence >= gap.sequence;
  }

  #begin(snapshot: Snapshot): void {
    if (snapshot.session !== this.#session) {
      if (this.#session !== '') this.#line.clear();
      this.#session = snapshot.session;
      this.#endsAt = undefined;
    }
    this.#counters.snapshots += 1;
    this.#isMending = false;
    this.#inbox.clear();
    this.#inbox.put(new MarketBatch(snapshot.session, snapshot.sequence, [], snapshot), 0);
    this.#line.place(snapshot.sequence + 1n);
    this.#deliver();
  }

  #fail(error: unknown, options: { now?: boolean } = {}): void {
    this.#inbox.fail(error, options);
    this.#leave();
  }

  /** Closes what is open, and lets the reader read what has come. */
  #leave(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#rescue?.abort();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sockets?.close();
    this.#sockets = undefined;
  }

  /** Leaves the feed: the loop ends. A second time is nothing. */
  close(): void {
    this.#inbox.clear();
    this.#inbox.finish();
    this.#leave();
  }

  /**
   * The batches, one loop at a time; leaving the loop does not leave the feed. It ends with the session, and throws the
   * signal's reason, ERR_IO when the socket breaks, or ERR_TIMED_OUT when a session ended and its last messages are lost.
   */
  [Symbol.asyncIterator](): AsyncIterator<MarketBatch, undefined> {
    return { next: () => this.#inbox.next(), return: async () => ({ done: true, value: undefined }) };
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
