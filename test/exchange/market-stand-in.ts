/**
 * Market stand-in: publisher, retransmission and snapshot service over an engine, in this process, on real sockets.
 * It does what the publisher and the shadow do, and a few things that they would not: it lies, and it stays silent.
 */
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { wire } from '../../sdk/index.ts';
import { encodeMold, encodeMoldRequest, MOLD_END, moldSession } from '../../sdk/mold.ts';
import { type Engine, LENGTH_BYTES, type Said } from './engine.ts';

const DATAGRAM_BYTES = 1_400;
const HEADER_BYTES = 20;
/** Bytes of messages that a datagram has room for. */
export const ROOM_BYTES = DATAGRAM_BYTES - HEADER_BYTES;

/** Ten characters of a session. */
export const sessionOf = (epoch: number) => String(epoch).padStart(10);

/** What a snapshot service does. */
export type Manner = 'honest' | 'wrong checksum' | 'half' | 'silent';

/** An exchange's market data, in this process. */
export class MarketStandIn {
  engine: Engine;
  session: string;
  /** Where datagrams go. */
  readonly feed: { port: number }[] = [];
  /** Whether requests are answered. */
  isAnswering = true;
  manner: Manner = 'honest';
  /** How many requests came. */
  requests = 0;
  /** How many snapshots were sent. */
  snapshots = 0;
  readonly #out = createSocket('udp4');
  readonly #asked = createSocket('udp4');
  readonly #service: Server;
  readonly #sockets = new Set<Socket>();
  #heartbeat: NodeJS.Timeout | undefined;

  private constructor(engine: Engine, epoch: number) {
    this.engine = engine;
    this.session = sessionOf(epoch);
    this.#service = createServer((socket) => this.#serve(socket));
  }

  static async start(engine: Engine, epoch: number): Promise<MarketStandIn> {
    const standIn = new MarketStandIn(engine, epoch);
    standIn.#asked.on('message', (bytes, { port }) => standIn.#answer(bytes, port));
    await bound(standIn.#out);
    await bound(standIn.#asked);
    standIn.#service.listen(0, '127.0.0.1');
    await once(standIn.#service, 'listening');
    return standIn;
  }

  /** Port on which requests are heard. */
  get asked(): number {
    return this.#asked.address().port;
  }

  /** Address of the snapshot service. */
  get snapshotAddress(): string {
    return `127.0.0.1:${(this.#service.address() as { port: number }).port}`;
  }

  send(bytes: Uint8Array): void {
    for (const { port } of this.feed) this.#out.send(bytes, port, '127.0.0.1');
  }

  /** Sends messages in as few datagrams as hold them, none of which ends within a command that would fit. */
  publish(said: readonly Said[]): void {
    let datagram: Said[] = [];
    let command: Said[] = [];
    const bytesOf = (messages: readonly Said[]) =>
      messages.reduce((sum, { payload }) => sum + LENGTH_BYTES + payload.length, HEADER_BYTES);
    const flush = () => {
      if (datagram.length === 0) return;
      this.send(
        encodeMold(
          this.session,
          datagram[0]!.sequence,
          datagram.map(({ payload }) => payload),
        ),
      );
      datagram = [];
    };
    for (const message of said) {
      command.push(message);
      if (!message.isLast) continue;
      if (bytesOf([...datagram, ...command]) > DATAGRAM_BYTES) flush();
      for (const part of command) {
        if (bytesOf([...datagram, part]) > DATAGRAM_BYTES) flush();
        datagram.push(part);
      }
      command = [];
    }
    flush();
  }

  /** The sequence that comes next. */
  get next(): bigint {
    return BigInt(this.engine.market.length + 1);
  }

  beat(): void {
    this.send(encodeMoldRequest(this.session, this.next, 0));
  }

  /** Says so often what comes next, or that nothing will. */
  beatEvery(ms: number, count: 0 | typeof MOLD_END = 0): void {
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => this.send(encodeMoldRequest(this.session, this.next, count)), ms);
  }

  /** Ends the session, and goes on saying so. */
  end(): void {
    this.beatEvery(5, MOLD_END);
  }

  #answer(bytes: Uint8Array, port: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const [session, sequence, wanted] = [moldSession(bytes), view.getBigUint64(10), view.getUint16(18)];
    this.requests += 1;
    if (!this.isAnswering || session !== this.session) return;
    const messages: Uint8Array[] = [];
    let room = ROOM_BYTES;
    for (let index = Number(sequence) - 1; messages.length < wanted; index += 1) {
      const payload = this.engine.market[index]?.payload;
      if (payload === undefined || room < payload.length + LENGTH_BYTES) break;
      messages.push(payload);
      room -= payload.length + LENGTH_BYTES;
    }
    if (messages.length > 0) this.#asked.send(encodeMold(session, sequence, messages), port, '127.0.0.1');
  }

  /** The bytes of a snapshot, as the service sends them. */
  snapshot(): Buffer {
    const orders = this.engine.image();
    const head = wire.encodeAs('SnapshotHead', {
      kind: wire.SNAPSHOT_HEAD,
      session: Buffer.from(this.session, 'latin1'),
      sequence: this.next - 1n,
      count: orders.length / wire.MESSAGES.SnapshotOrder.size,
      stateHash: this.engine.book.stateHash,
    });
    const body = Buffer.concat([head, orders]);
    const checksum = Buffer.alloc(4);
    checksum.writeUInt32LE((crc32(body) ^ (this.manner === 'wrong checksum' ? 1 : 0)) >>> 0);
    return Buffer.concat([body, checksum]);
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    socket.once('data', () => {
      this.snapshots += 1;
      const bytes = this.snapshot();
      if (this.manner === 'silent') return;
      if (this.manner === 'half') socket.end(bytes.subarray(0, bytes.length / 2));
      else socket.end(bytes);
    });
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.#out.close();
    this.#asked.close();
    this.#service.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function bound(socket: Datagrams): Promise<void> {
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  socket.setRecvBufferSize(8 << 20);
}
