/**
 * Feed sockets: one that hears the feed, and one that asks for what was lost and hears the answers.
 *
 * The second one is connected, so that the system itself drops what does not come from the publisher. Its errors (nobody
 * listens there) say no more than a request without an answer does.
 */
import { createSocket, type Socket } from 'node:dgram';
import { failure } from '../../error.ts';
import { type Address, isMulticast } from './address.ts';

/** Asked of the system, which may have a lower limit. */
const RECEIVE_BYTES = 8 << 20;

/** Where a feed is heard. */
export interface FeedPlace {
  /** A group, or an own address. */
  feed: Address;
  requests: Address;
  /** Address of the interface that a group is heard on. */
  interface?: string | undefined;
}

/** Hears a datagram; `isLive`: of the feed, not an answer. */
export type HearDatagram = (bytes: Uint8Array, isLive: boolean) => void;

const typeOf = ({ host }: Address) => (host.includes(':') ? 'udp6' : 'udp4');

function settled(socket: Socket, what: string, begin: (done: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: Error) => reject(failure('ERR_IO', `${what}: ${cause.message}`, cause));
    socket.once('error', refuse);
    begin(() => {
      socket.removeListener('error', refuse);
      resolve();
    });
  });
}

/** Both sockets. */
export class FeedSockets {
  readonly #feed: Socket;
  readonly #requests: Socket;

  private constructor(feed: Socket, requests: Socket) {
    this.#feed = feed;
    this.#requests = requests;
  }

  /** Opens them. Rejects with ERR_IO when the system refuses; later `fail` hears what the feed's socket says. */
  static async open(place: FeedPlace, hear: HearDatagram, fail: (error: Error) => void): Promise<FeedSockets> {
    const { feed, requests } = place;
    const isGroup = isMulticast(feed.host);
    const heard = createSocket({ type: typeOf(feed), reuseAddr: isGroup });
    const asked = createSocket(typeOf(requests));
    const both = new FeedSockets(heard, asked);
    try {
      await settled(heard, `hearing ${feed.host}:${feed.port}`, (done) => heard.bind(feed.port, feed.host, done));
      if (isGroup) heard.addMembership(feed.host, place.interface);
      heard.setRecvBufferSize(RECEIVE_BYTES);
      await settled(asked, `asking ${requests.host}:${requests.port}`, (done) =>
        asked.connect(requests.port, requests.host, done),
      );
      asked.setRecvBufferSize(RECEIVE_BYTES);
    } catch (error) {
      both.close();
      throw error;
    }
    heard.on('error', (cause) => fail(failure('ERR_IO', `hearing the feed: ${cause.message}`, cause)));
    heard.on('message', (bytes) => hear(bytes, true));
    asked.on('error', () => {});
    asked.on('message', (bytes) => hear(bytes, false));
    return both;
  }

  /** Where the feed is heard; tells the port that 0 became. */
  get address(): Address {
    const { address, port } = this.#feed.address();
    return { host: address, port };
  }

  /** Sends a request. Whether it arrives shows in the answer. */
  ask(request: Uint8Array): void {
    this.#requests.send(request, () => {});
  }

  close(): void {
    this.#feed.close();
    this.#requests.close();
  }
}
