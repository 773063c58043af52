/**
 * Connection: one session with a gateway, from its login to its end, which is told once.
 *
 * What is sent within one turn of the event loop leaves in one write. Each side says that it is there when it has said
 * nothing else for a heartbeat, and who has been silent for three is gone; while this side does not read, it does not
 * complain of silence either.
 */
import { connect, type Socket } from 'node:net';
import { failure, TailraceError } from '../../error.ts';
import { reasonOf } from '../../events.ts';
import { decodeAs, encode, type Fields, MESSAGES } from '../../wire.ts';
import type { Address } from './address.ts';
import { ExchangeError } from './exchange-error.ts';
import { FrameReader, frameOf } from './frames.ts';

/** Heartbeats of silence until the other side counts as gone. */
const SILENT_BEATS = 3;
/** How long an end in good order may take. */
const LEAVE_MS = 1_000;

const HEARTBEAT = frameOf(encode({ message: 'Heartbeat' }));
const LOGOUT = frameOf(encode({ message: 'Logout' }));

/** What a connection tells. */
export interface Hearing {
  /** The login was accepted. */
  welcomed(reply: Fields<'LoginReply'>): void;
  /** A report came: its bytes, as long as the call lasts. */
  reported(bytes: Uint8Array): void;
  /** The connection is over, and why: an ExchangeError when the login was refused, undefined when it was asked to end. */
  ended(error: TailraceError | undefined): void;
}

/** One session with a gateway. */
export class Connection {
  readonly #socket: Socket;
  readonly #name: string;
  readonly #heartbeatMs: number;
  readonly #hearing: Hearing;
  readonly #frames = new FrameReader();
  readonly #timer: NodeJS.Timeout;
  #stage: 'opening' | 'live' | 'leaving' | 'over' = 'opening';
  #outgoing: Uint8Array[] = [];
  #heardAt = performance.now();
  #saidAt = performance.now();
  #tickedAt = performance.now();
  #cause: Error | undefined;

  /** Connects and logs in. */
  constructor(gateway: Address, login: Uint8Array, heartbeatMs: number, hearing: Hearing) {
    this.#name = `the gateway at ${gateway.host}:${gateway.port}`;
    this.#heartbeatMs = heartbeatMs;
    this.#hearing = hearing;
    this.#socket = connect(gateway);
    this.#socket.setNoDelay(true);
    this.#socket.on('connect', () => this.send(frameOf(login)));
    this.#socket.on('data', (bytes: Buffer) => this.#hear(bytes));
    this.#socket.on('error', (cause) => {
      this.#cause = cause;
    });
    this.#socket.on('close', () => this.#closed());
    this.#timer = setInterval(() => this.#tick(), heartbeatMs / 2);
  }

  /** Sends a frame, at the end of this turn. */
  send(frame: Uint8Array): void {
    if (this.#outgoing.length === 0) process.nextTick(() => this.#flush());
    this.#outgoing.push(frame);
  }

  #flush(): void {
    const frames = this.#outgoing;
    this.#outgoing = [];
    if (frames.length === 0 || this.#stage === 'over') return;
    this.#saidAt = performance.now();
    this.#socket.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
  }

  /** Whether the other side takes what it is sent. */
  get isDrained(): boolean {
    return !this.#socket.writableNeedDrain;
  }

  /** Calls once, when the other side has taken what it was sent. */
  onceDrained(call: () => void): void {
    this.#socket.once('drain', call);
  }

  /** Reads no more for now. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  #hear(bytes: Buffer): void {
    this.#heardAt = performance.now();
    try {
      for (const message of this.#frames.take(bytes)) {
        if (this.#stage === 'over') return;
        this.#take(message);
      }
    } catch (error) {
      this.#end(error as TailraceError);
    }
  }

  #take(message: Uint8Array): void {
    const type = message[0];
    if (this.#stage === 'opening') {
      const reply = decodeAs('LoginReply', message);
      if (reply.reason !== 0) throw new ExchangeError(`${this.#name} refused the login`, reasonOf(reply.reason));
      this.#stage = 'live';
      this.#hearing.welcomed(reply);
    } else if (type === MESSAGES.ExecutionReport.type) this.#hearing.reported(message);
    else if (type === MESSAGES.Logout.type) {
      decodeAs('Logout', message);
      throw new TailraceError('ERR_GONE', `${this.#name} ended the session: the account has logged in elsewhere`);
    } else if (type !== MESSAGES.Heartbeat.type) {
      throw new TailraceError('ERR_CORRUPT', `${this.#name} sent a message of type ${type}, which no gateway sends`);
    } else decodeAs('Heartbeat', message);
  }

  #tick(): void {
    const now = performance.now();
    // After a stall nobody has had a chance to be heard.
    const isLate = now - this.#tickedAt > this.#heartbeatMs;
    this.#tickedAt = now;
    if (isLate || this.#socket.isPaused()) this.#heardAt = now;
    const silence = now - this.#heardAt;
    if (silence > SILENT_BEATS * this.#heartbeatMs) {
      this.#end(failure('ERR_TIMED_OUT', `${this.#name} was silent for ${Math.round(silence)} ms`));
    } else if (this.#stage === 'live' && now - this.#saidAt >= this.#heartbeatMs / 2) this.send(HEARTBEAT);
  }

  #closed(): void {
    const cause = this.#cause;
    const what = cause === undefined ? 'closed the connection' : cause.message;
    this.#end(this.#stage === 'leaving' ? undefined : failure('ERR_IO', `${this.#name}: ${what}`, cause));
  }

  #end(error: TailraceError | undefined): void {
    if (this.#stage === 'over') return;
    this.#stage = 'over';
    clearInterval(this.#timer);
    this.#socket.destroy();
    this.#hearing.ended(error);
  }

  /** Logs out; the end is told when the gateway has closed, or after a second. */
  leave(): void {
    if (this.#stage !== 'live') {
      this.cut();
      return;
    }
    this.#stage = 'leaving';
    this.#outgoing.push(LOGOUT);
    this.#flush();
    this.#socket.end();
    this.#socket.resume();
    setTimeout(() => this.#end(undefined), LEAVE_MS).unref();
  }

  /** Ends at once. */
  cut(): void {
    this.#end(undefined);
  }
}
