/**
 * Gateway stand-in: order entry over an engine, in this process, on a real socket. It does what the gateway does, and can
 * be told to fail where a gateway, a network or a thief of accounts would.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { FrameReader, frameOf } from '../../sdk/exchange/client/frames.ts';
import { type Command, wire } from '../../sdk/index.ts';
import type { Engine, Told } from './engine.ts';

const { REASONS } = wire;
const SEQUENCE = wire.MESSAGES.ExecutionReport.fields.sequence.offset;
const FLAGS = wire.MESSAGES.ExecutionReport.fields.flags.offset;

/** Who may trade. */
export interface StandInUser {
  user: string;
  token: string;
  account: number;
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString().replace(/\0+$/, '');

/** One connection. */
class Session {
  readonly frames = new FrameReader();
  account = -1;
  flags = 0;

  constructor(
    readonly socket: Socket,
    readonly gateway: GatewayStandIn,
  ) {}

  send(message: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(this.gateway.spoil(frameOf(message)));
  }
}

/** A gateway, in this process. */
export class GatewayStandIn {
  readonly users: readonly StandInUser[];
  /** Logins that came. */
  readonly logins: wire.Fields<'Login'>[] = [];
  /** Commands that came. */
  commands = 0;
  heartbeats = 0;
  logouts = 0;
  /** Refuses every login with this reason. */
  refusal = 0;
  /** Looks at a command before it is carried out; 'lose': it is not; 'silent': it is, and nobody is told. */
  fate: (command: Command, session: { cut(): void }) => 'lose' | 'silent' | 'tell' = () => 'tell';
  /** Refuses so many commands for their rate. */
  rateRefusals = 0;
  /** Reports below are not kept any more. */
  firstKept = 1n;
  /** Looks at a report before it is sent; without an answer it is not. */
  change: (payload: Uint8Array) => Uint8Array | undefined = (payload) => payload;
  /** Looks at a frame before it is sent. */
  spoil: (frame: Uint8Array) => Uint8Array = (frame) => frame;
  /** Says nothing at all any more. */
  isMute = false;
  readonly #engine: Engine;
  readonly #server: Server;
  readonly #sessions = new Set<Session>();
  /** Answers by account and id, rejections too. */
  readonly #answers = new Map<string, Told>();
  readonly #last = new Map<number, bigint>();
  /** The highest id that came, by account: it counts as known, whatever became of it. */
  readonly #sent = new Map<number, bigint>();
  #port = 0;

  private constructor(engine: Engine, users: readonly StandInUser[]) {
    this.#engine = engine;
    this.users = users;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(engine: Engine, users: readonly StandInUser[]): Promise<GatewayStandIn> {
    const gateway = new GatewayStandIn(engine, users);
    await gateway.listen();
    return gateway;
  }

  /** Listens, again where it did before. */
  async listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as { port: number }).port;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  #accept(socket: Socket): void {
    const session = new Session(socket, this);
    this.#sessions.add(session);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sessions.delete(session);
      const isPromised = (session.flags & wire.LOGIN_CANCEL_ON_DISCONNECT) !== 0;
      if (isPromised) this.apply([{ message: 'MassCancel', account: session.account }]);
    });
    socket.on('data', (bytes: Buffer) => {
      for (const message of session.frames.take(bytes)) if (!socket.destroyed) this.#hear(session, message);
    });
  }

  #hear(session: Session, bytes: Uint8Array): void {
    const message = wire.decode(bytes);
    if (this.isMute) return;
    if (message.message === 'Login') this.#logIn(session, message);
    else if (message.message === 'Heartbeat') {
      this.heartbeats += 1;
      session.send(wire.encode({ message: 'Heartbeat' }));
    } else if (message.message === 'Logout') {
      this.logouts += 1;
      session.socket.end();
    } else this.#command(session, message as Command);
  }

  #logIn(session: Session, login: wire.Fields<'Login'>): void {
    this.logins.push(login);
    const found = this.users.find(({ user, token }) => user === text(login.user) && token === text(login.token));
    const reason = this.refusal || (found === undefined ? REASONS.LOGIN : 0);
    if (found === undefined || reason !== 0) {
      session.send(wire.encode({ message: 'LoginReply', reason }));
      session.socket.end();
      return;
    }
    const { account } = found;
    for (const other of this.#sessions) {
      if (other.account !== account) continue;
      other.account = -1;
      other.send(wire.encode({ message: 'Logout' }));
      other.socket.end();
    }
    session.account = account;
    session.flags = login.flags;
    const kept = this.#engine.reports.get(account) ?? [];
    const next = BigInt(kept.length + 1);
    const wanted = login.nextReport === 0n || login.nextReport > next ? next : login.nextReport;
    const first = wanted > this.firstKept ? wanted : this.firstKept;
    const lastClientOrderId = this.#sent.get(account) ?? 0n;
    session.send(wire.encode({ message: 'LoginReply', account, lastClientOrderId, nextReport: first }));
    for (const { payload } of kept.slice(Number(first) - 1)) this.#tell(session, payload);
  }

  #tell(session: Session, payload: Uint8Array): void {
    const changed = this.change(payload);
    if (changed !== undefined) session.send(changed);
  }

  #command(session: Session, command: Command): void {
    this.commands += 1;
    const { account } = command as { account: number };
    const id = ownId(command);
    if (this.rateRefusals > 0) {
      this.rateRefusals -= 1;
      const fields = { account, clientOrderId: id ?? 0n, execType: wire.EXEC_REJECTED, reason: REASONS.RATE };
      session.send(wire.encodeAs('ExecutionReport', fields));
      return;
    }
    if (id !== undefined && id <= (this.#last.get(account) ?? 0n)) {
      this.#repeat(session, account, id);
      return;
    }
    const fate = this.fate(command, { cut: () => session.socket.destroy() });
    if (fate === 'lose') return;
    if (id !== undefined && id > (this.#sent.get(account) ?? 0n)) this.#sent.set(account, id);
    this.apply([command], fate === 'tell');
  }

  #repeat(session: Session, account: number, id: bigint): void {
    const known = this.#answers.get(`${account} ${id}`);
    if (known === undefined) {
      const fields = { account, clientOrderId: id, execType: wire.EXEC_REJECTED, reason: REASONS.DUPLICATE };
      session.send(wire.encodeAs('ExecutionReport', fields));
      return;
    }
    const payload = known.payload.slice();
    payload[FLAGS]! |= wire.REPORT_REPEAT;
    session.send(payload);
  }

  /** Carries commands out, and tells those whom it concerns. */
  apply(commands: readonly Command[], isTold = true): void {
    for (const command of commands) {
      const { reports } = this.#engine.apply([command]);
      const id = ownId(command);
      for (const report of reports) {
        const { account, clientOrderId, sequence } = report;
        const key = `${account} ${clientOrderId}`;
        if (!this.#answers.has(key)) this.#answers.set(key, report);
        if (id === clientOrderId && sequence > 0n && id > (this.#last.get(account) ?? 0n)) {
          this.#last.set(account, id);
          if (id > (this.#sent.get(account) ?? 0n)) this.#sent.set(account, id);
        }
        if (!isTold) continue;
        for (const session of this.#sessions) if (session.account === account) this.#tell(session, report.payload);
      }
    }
  }

  /** Ends all connections as a network does. */
  cut(): void {
    for (const { socket } of this.#sessions) socket.destroy();
  }

  /** Listens no more, and ends all connections. */
  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
    while (this.#sessions.size > 0) await turn();
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.stop();
  }
}

/** The number of a report's bytes. */
export function sequenceOf(payload: Uint8Array): bigint {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length).readBigUInt64LE(SEQUENCE);
}

function ownId(command: Command): bigint | undefined {
  if (command.message === 'NewOrder' || command.message === 'MassCancel') return BigInt(command.clientOrderId ?? 0);
  return command.message === 'Replace' ? BigInt(command.newClientOrderId ?? 0) : undefined;
}
