/**
 * Order entry: commands to the exchange and reports from it, over as many connections as it takes.
 *
 * When a connection breaks, another one is made, after pauses that grow. It asks for the reports from the next one on,
 * and commands that the exchange never got are sent again, in their order and with their ids. An id is never carried out
 * twice: sent again, it is answered with the report of then, marked as a repeat. So nothing is lost or doubled:
 *
 * - Reports of an account are numbered without holes. One that came before is dropped, and so is a repeat of one that came
 *   before. A hole, like anything else that cannot be, ends the connection. The next one asks for what is missing; when
 *   several in a row bring nothing but what cannot be, that is ERR_CORRUPT.
 * - A rejection has no number. Those that were on their way when a connection broke are lost, and are had by sending
 *   their commands again, too: first the last command whose id the exchange knows. The gateway gives repeats after all
 *   that it kept, so once that one is answered, whatever has no answer yet is asked.
 * - A cancel has no id of its own, so it is always sent again; if it was done, the answer is UNKNOWN_ORDER, which nobody
 *   needs to hear.
 * - A command that the exchange never got is carried out later than it was meant. Who does not want that sets a short
 *   life (`lasting: 'ioc'` with a price), or ends the process. With `cancelOnDisconnect` the exchange takes all orders of
 *   the account away when the connection breaks, those that were accepted meanwhile too; those it never got come after.
 *
 * Reports wait for the reader up to a number. Beyond it the connection is not read, the gateway ends it when its own
 * patience is over, and the next one begins with the report that is wanted then. Another login of the same user ends
 * this one for good.
 */
import { TailraceError, wrongArgument } from '../../error.ts';
import { encodeAs, type Fields, LOGIN_VERSION, REASONS } from '../../wire.ts';
import { type Address, addressOf } from './address.ts';
import {
  encodeCancel,
  encodeMassCancel,
  encodeNewOrder,
  encodeReplace,
  type MassCancelOptions,
  type NewOrderOptions,
  type ReplaceOptions,
} from './commands.ts';
import { Connection } from './connection.ts';
import { ExchangeError } from './exchange-error.ts';
import { ExecutionReport } from './execution-report.ts';
import { frameOf } from './frames.ts';
import { Inbox } from './inbox.ts';
import { atLeast } from './numbers.ts';
import { type Credentials, credentialsOf, type OrderEntryCounters, type OrderEntryOptions } from './order-options.ts';
import { isDoing, type Question, Unanswered } from './unanswered.ts';

/** How long after a refusal for its rate a command that was only asked about is asked about again. */
const RATE_PAUSE_MS = 1_000;

/** Commands to the exchange and reports from it. */
export class OrderEntry implements AsyncIterable<ExecutionReport> {
  readonly #gateway: Address;
  readonly #login: Credentials;
  readonly #signal: AbortSignal | undefined;
  readonly #pauseMs: number;
  readonly #pauseMaxMs: number;
  readonly #unansweredMax: number;
  readonly #inbox: Inbox<ExecutionReport>;
  readonly #unanswered = new Unanswered();
  readonly #refusedMax: number;
  readonly #counters: OrderEntryCounters = {
    ...{ sent: 0, resent: 0, reports: 0, repeats: 0, reconnects: 0, refused: 0 },
  };
  #connection: Connection | undefined;
  #isLive = false;
  #isClosing = false;
  #account = 0;
  #lastId = 0n;
  /** The report that this client was given first. */
  #first = 0n;
  /** The report that comes next. */
  #next: bigint;
  /** Ids of commands that were sent again over this connection. */
  readonly #asked = new Set<bigint>();
  /** Commands whose ids the exchange knows; they are asked about when the last of them is answered. */
  #known: Question[] = [];
  #lastKnown: Question | undefined;
  #pauses = 0;
  /** Connections that were refused since the last report that could be. */
  #refused = 0;
  #timer: NodeJS.Timeout | undefined;
  #trouble: TailraceError | undefined;
  /** Who waits for the first welcome, for room, for the end. */
  #opened: ((error: unknown) => void) | undefined;
  #roomed: (() => void)[] = [];
  #left: (() => void) | undefined;

  private constructor(options: OrderEntryOptions) {
    this.#gateway = addressOf(options.gateway, 'gateway');
    this.#login = credentialsOf(options);
    this.#next = options.nextReport ?? 0n;
    this.#signal = options.signal;
    this.#pauseMs = atLeast(1, options.pauseMs ?? 50, 'pauseMs');
    this.#pauseMaxMs = atLeast(1, options.pauseMaxMs ?? 5_000, 'pauseMaxMs');
    this.#unansweredMax = atLeast(1, options.unansweredMax ?? 65_536, 'unansweredMax');
    this.#refusedMax = atLeast(1, options.refusedMax ?? 10, 'refusedMax');
    this.#inbox = new Inbox(atLeast(1, options.backlog ?? 65_536, 'backlog'), () => this.#drained());
  }

  /**
   * Connects and logs in. Rejects with ERR_IO or ERR_TIMED_OUT when there is no gateway, with an {@link ExchangeError}
   * when it refuses (ERR_PERMISSION: user or token are wrong; ERR_VERSION; ERR_BUSY: it takes no more sessions now), with
   * ERR_ARGUMENT, or with the signal's reason.
   */
  static connect(options: OrderEntryOptions): Promise<OrderEntry> {
    return new Promise((resolve, reject) => {
      const entry = new OrderEntry(options);
      options.signal?.throwIfAborted();
      options.signal?.addEventListener('abort', entry.#abort, { once: true });
      entry.#opened = (error) => {
        entry.#opened = undefined;
        if (error === undefined) resolve(entry);
        else reject(error);
      };
      entry.#connect();
    });
  }

  readonly #abort = () => this.#fail(this.#signal?.reason, { now: true });

  #connect(): void {
    this.#timer = undefined;
    const login = encodeAs('Login', { version: LOGIN_VERSION, nextReport: this.#next, ...this.#login });
    this.#connection = new Connection(this.#gateway, login, this.#login.heartbeatMs, {
      welcomed: (reply) => this.#welcomed(reply),
      reported: (bytes) => this.#reported(new ExecutionReport(bytes)),
      ended: (error) => this.#ended(error),
    });
  }

  #welcomed(reply: Fields<'LoginReply'>): void {
    const { account, lastClientOrderId, nextReport } = reply;
    const isFirst = this.#opened !== undefined;
    if (!isFirst && account !== this.#account) {
      throw this.#final(`the user's account was ${this.#account}, and is ${account} now`);
    }
    if (nextReport < this.#next) {
      const what = `report ${this.#next} is wanted, and for the exchange ${nextReport} is next`;
      throw this.#final(`${what}: it has begun anew, or forgotten some`);
    }
    if (nextReport > this.#next && !isFirst) {
      const what = `report ${this.#next} is wanted, and the exchange keeps those from ${nextReport} on`;
      throw new TailraceError('ERR_GONE', `${what}; what happened between is lost here`);
    }
    if (isFirst) this.#first = nextReport;
    else this.#counters.reconnects += 1;
    this.#next = nextReport;
    this.#account = account;
    if (lastClientOrderId > this.#lastId) this.#lastId = lastClientOrderId;
    this.#isLive = true;
    // Who said what cannot be is asked less and less often, until he says something that can.
    if (this.#refused === 0) this.#pauses = 0;
    this.#trouble = undefined;
    this.#asked.clear();
    this.#known = [];
    for (const question of this.#unanswered) {
      question.isKnown = !question.isCancel && question.id <= lastClientOrderId;
      if (question.isKnown) this.#known.push(question);
      else this.#sendAgain(question);
    }
    this.#lastKnown = this.#known.pop();
    if (this.#lastKnown !== undefined) this.#sendAgain(this.#lastKnown);
    this.#opened?.(undefined);
    this.#makeRoom();
  }

  #sendAgain(question: Question): void {
    this.#asked.add(question.id);
    this.#counters.resent += 1;
    this.#connection?.send(question.frame);
  }

  /** An error that another connection cannot help. */
  #final(what: string): TailraceError {
    const error = new TailraceError('ERR_CORRUPT', what);
    this.#fail(error);
    return error;
  }

  #reported(report: ExecutionReport): void {
    if (report.account !== this.#account) {
      const what = `a report of account ${report.account} came, and this is account ${this.#account}`;
      throw new TailraceError('ERR_CORRUPT', what);
    }
    const isWanted = report.sequence === 0n ? this.#hearRejection(report) : this.#hearDone(report);
    if (!isWanted) {
      this.#counters.repeats += 1;
      return;
    }
    this.#refused = this.#pauses = 0;
    this.#counters.reports += 1;
    this.#inbox.put(report, 1);
    if (!this.#inbox.hasRoom) this.#connection?.pause();
  }

  /** Hears a report with a number; whether the reader has not had it. */
  #hearDone(report: ExecutionReport): boolean {
    const { sequence, isRepeat } = report;
    const question = this.#unanswered.doneBy(report);
    if (isRepeat) {
      if (question !== undefined) this.#settle(question);
      // What lies ahead comes by itself; what lies before the first was never given to this client.
      return question !== undefined && sequence < this.#first;
    }
    if (sequence < this.#next) return false;
    if (sequence > this.#next) {
      throw new TailraceError('ERR_CORRUPT', `report ${sequence} came, and ${this.#next} is missing`);
    }
    this.#next += 1n;
    if (isDoing(report) && report.clientOrderId > this.#lastId) this.#lastId = report.clientOrderId;
    if (question !== undefined) this.#settle(question);
    return true;
  }

  /** Hears a rejection; whether the reader has not had the answer. */
  #hearRejection(report: ExecutionReport): boolean {
    const { clientOrderId, reason, isRepeat } = report;
    const question = this.#unanswered.rejectedBy(report);
    if (question === undefined) return !isRepeat && !this.#asked.has(clientOrderId);
    if (reason === 'RATE' && question.isKnown) {
      // It says nothing of what became of the order.
      const connection = this.#connection;
      setTimeout(() => {
        if (this.#connection === connection && this.#unanswered.has(clientOrderId)) this.#sendAgain(question);
      }, RATE_PAUSE_MS).unref();
      return false;
    }
    this.#settle(question);
    return true;
  }

  #settle(question: Question): void {
    this.#unanswered.remove(question);
    if (question === this.#lastKnown) {
      this.#lastKnown = undefined;
      for (const known of this.#known) if (this.#unanswered.has(known.id)) this.#sendAgain(known);
      this.#known = [];
    }
    if (this.#roomed.length > 0) this.#makeRoom();
  }

  #ended(error: TailraceError | undefined): void {
    this.#connection = undefined;
    this.#isLive = false;
    if (this.#isClosing || this.#inbox.isEnded) {
      this.#left?.();
      return;
    }
    if (error?.code === 'ERR_GONE' || isRefusal(error) || this.#opened !== undefined) {
      this.#fail(error);
      return;
    }
    this.#trouble = error;
    if (error?.code === 'ERR_CORRUPT' && this.#refuse()) this.#fail(nonsense(this.#refused, error));
    else this.#reconnect();
  }

  /** What came could not be; whether that is enough. */
  #refuse(): boolean {
    this.#counters.refused += 1;
    this.#refused += 1;
    return this.#refused >= this.#refusedMax;
  }

  /** Connects again, after a pause, and when there is room for what will come. */
  #reconnect(): void {
    if (!this.#inbox.hasRoom || this.#timer !== undefined || this.#connection !== undefined) return;
    const pause = Math.min(this.#pauseMs * 2 ** this.#pauses, this.#pauseMaxMs);
    this.#pauses += 1;
    this.#timer = setTimeout(() => this.#connect(), pause * (0.5 + Math.random() / 2));
  }

  #drained(): void {
    if (this.#connection !== undefined) this.#connection.resume();
    else if (!this.#isClosing && !this.#inbox.isEnded) this.#reconnect();
  }

  #fail(error: unknown, options: { now?: boolean } = {}): void {
    this.#inbox.fail(error, options);
    this.#leave();
    this.#connection?.cut();
    this.#opened?.(error);
  }

  #leave(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#makeRoom();
  }

  /** Lets those go on who wait for room. */
  #makeRoom(): void {
    if (!this.#inbox.isEnded && !this.#hasRoom()) return;
    const waiting = this.#roomed;
    this.#roomed = [];
    for (const call of waiting) call();
  }

  #hasRoom(): boolean {
    return this.#unanswered.count < this.#unansweredMax && this.#isLive && this.#connection?.isDrained === true;
  }

  /**
   * Waits until commands may be sent: there is a connection that takes them, and fewer than `unansweredMax` are without
   * an answer. Rejects with whatever ended this, or with ERR_CLOSED.
   */
  async room(): Promise<void> {
    for (;;) {
      this.#inbox.throwIfEnded();
      if (this.#isClosing) throw closed();
      if (this.#hasRoom()) return;
      const connection = this.#connection;
      if (this.#isLive && connection?.isDrained === false) connection.onceDrained(() => this.#makeRoom());
      await new Promise<void>((resolve) => this.#roomed.push(resolve));
    }
  }

  #nextId(id: bigint | undefined): bigint {
    const chosen = id ?? this.#lastId + 1n;
    if (this.#unanswered.has(chosen)) throw wrongArgument(`clientOrderId ${chosen} waits for its answer already`);
    return chosen;
  }

  /** Who asks for more has to wait; who takes away never does. */
  #needRoom(): void {
    if (this.#unanswered.count < this.#unansweredMax) return;
    const what = `${this.#unanswered.count} commands are without an answer`;
    throw new TailraceError('ERR_NO_SPACE', `${what}; await room(), or give a larger unansweredMax`);
  }

  #send(id: bigint, message: Uint8Array, isCancel: boolean): bigint {
    if (this.#isClosing) throw closed();
    this.#inbox.throwIfEnded();
    const frame = frameOf(message);
    this.#unanswered.add({ id, isCancel, frame, isKnown: false });
    if (!isCancel && id > this.#lastId) this.#lastId = id;
    this.#counters.sent += 1;
    if (this.#isLive) this.#connection?.send(frame);
    return id;
  }

  /**
   * Sends a new order and gives its id; the answer comes with the reports. While there is no connection it waits for one.
   * Throws ERR_ARGUMENT, ERR_CLOSED, and ERR_NO_SPACE when too many commands are without an answer.
   */
  newOrder(options: NewOrderOptions): bigint {
    this.#needRoom();
    const id = this.#nextId(options.clientOrderId);
    return this.#send(id, encodeNewOrder(this.#account, id, options), false);
  }

  /** Takes a live order away; for this there is always room. Throws ERR_ARGUMENT and ERR_CLOSED. */
  cancel(clientOrderId: bigint): void {
    this.#send(clientOrderId, encodeCancel(this.#account, clientOrderId), true);
  }

  /** Gives a live order another total and price, and an id, which it returns. Throws as {@link newOrder} does. */
  replace(clientOrderId: bigint, options: ReplaceOptions): bigint {
    this.#needRoom();
    const id = this.#nextId(options.clientOrderId);
    return this.#send(id, encodeReplace(this.#account, clientOrderId, id, options), false);
  }

  /** Takes all live orders away, and gives the id that the report will have. Throws as {@link cancel} does. */
  massCancel(options: MassCancelOptions = {}): bigint {
    const id = this.#nextId(options.clientOrderId);
    return this.#send(id, encodeMassCancel(this.#account, id, options), false);
  }

  /** The account of the session. */
  get account(): number {
    return this.#account;
  }

  /** The highest id that was used; later ones must be above it. */
  get lastClientOrderId(): bigint {
    return this.#lastId;
  }

  /** The report that comes next. Who begins again gives the one after the last that he has kept. */
  get nextReport(): bigint {
    return this.#next;
  }

  /** Commands that are without an answer. */
  get unanswered(): number {
    return this.#unanswered.count;
  }

  /** Whether there is a session now. */
  get isConnected(): boolean {
    return this.#isLive;
  }

  /** Why there is none. */
  get trouble(): TailraceError | undefined {
    return this.#trouble;
  }

  /** What has happened so far. */
  get counters(): OrderEntryCounters {
    return { ...this.#counters };
  }

  /** Logs out, and ends the loop after the reports that have come. Commands without an answer are forgotten. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const connection = this.#connection;
    if (connection !== undefined) {
      await new Promise<void>((resolve) => {
        this.#left = resolve;
        connection.leave();
      });
    }
    this.#inbox.finish();
    this.#leave();
  }

  /**
   * The reports, one loop at a time; leaving the loop does not end the session. It ends after `close`, and throws
   * ERR_CORRUPT when the exchange has begun anew or only what cannot be is had from it, ERR_GONE when another login took the account or the exchange does not keep what
   * is wanted, an {@link ExchangeError} when a later login is refused, or the signal's reason.
   */
  [Symbol.asyncIterator](): AsyncIterator<ExecutionReport, undefined> {
    return { next: () => this.#inbox.next(), return: async () => ({ done: true, value: undefined }) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Whether the exchange will not have this user; that it has no room now passes. */
function isRefusal(error: TailraceError | undefined): boolean {
  return error instanceof ExchangeError && REASONS[error.reason] !== REASONS.UNAVAILABLE;
}

function nonsense(count: number, cause: TailraceError): TailraceError {
  const what = `${count} connections in a row brought what cannot be, the last one: ${cause.message}`;
  return new TailraceError('ERR_CORRUPT', what, { cause });
}

function closed(): TailraceError {
  return new TailraceError('ERR_CLOSED', 'this order entry was closed; connect anew');
}
