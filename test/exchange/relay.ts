/**
 * Relay: stands between a publisher and a client, on real sockets, and treats datagrams as a bad network does: loses
 * some, loses many in a row, sends some twice, and some later than those that came after them. A seed repeats it.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { below, type Dice } from '../dice.ts';

/** How bad a network is: chances from 0 to 1. */
export interface Weather {
  loss: number;
  /** Chance that a burst of losses begins, of up to `burstLength` datagrams. */
  burst: number;
  burstLength: number;
  twice: number;
  late: number;
}

export const FAIR: Weather = { loss: 0, burst: 0, burstLength: 0, twice: 0, late: 0 };
export const FOUL: Weather = { loss: 0.01, burst: 0.003, burstLength: 30, twice: 0.01, late: 0.02 };

/** How long what is late stays at most. */
const LATE_MS = 4;

/** What a relay has done. */
export interface Damage {
  lost: number;
  twice: number;
  late: number;
}

/** A bad network. */
export class Relay {
  #weather: Weather;
  readonly damage: Damage = { lost: 0, twice: 0, late: 0 };
  readonly #roll: Dice;
  readonly #feed = createSocket('udp4');
  readonly #requests = createSocket('udp4');
  readonly #answers = createSocket('udp4');
  readonly #timers = new Set<NodeJS.Timeout>();
  #burst = 0;
  #client = 0;
  #asker = 0;
  /** Where the publisher hears requests. */
  asked = 0;

  private constructor(roll: Dice, weather: Weather) {
    this.#roll = roll;
    this.#weather = weather;
  }

  /** Stands before a publisher that hears requests on this port. */
  static async start(asked: number, roll: Dice, weather: Weather): Promise<Relay> {
    const relay = new Relay(roll, weather);
    for (const socket of [relay.#feed, relay.#requests, relay.#answers]) {
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      socket.setRecvBufferSize(8 << 20);
    }
    relay.asked = asked;
    relay.#feed.on('message', (bytes) => relay.#pass(relay.#feed, bytes, () => relay.#client));
    relay.#requests.on('message', (bytes, { port }) => {
      relay.#asker = port;
      relay.#pass(relay.#answers, bytes, () => relay.asked);
    });
    relay.#answers.on('message', (bytes) => relay.#pass(relay.#requests, bytes, () => relay.#asker));
    return relay;
  }

  /** Where the publisher sends. */
  get feed(): number {
    return this.#feed.address().port;
  }

  /** Where the client asks. */
  get requests(): number {
    return this.#requests.address().port;
  }

  /** From now on datagrams go there; until then they are lost. */
  set client(port: number) {
    this.#client = port;
  }

  /** From now on the network is like this. */
  set weather(weather: Weather) {
    this.#weather = weather;
    this.#burst = 0;
  }

  #pass(socket: Socket, bytes: Uint8Array, to: () => number): void {
    const send = () => {
      if (to() > 0) socket.send(bytes, to(), '127.0.0.1');
    };
    const { loss, burst, burstLength, twice, late } = this.#weather;
    const roll = this.#roll;
    if (this.#burst > 0) {
      this.#burst -= 1;
      this.damage.lost += 1;
      return;
    }
    if (roll() < burst) this.#burst = below(roll, burstLength);
    if (roll() < loss) {
      this.damage.lost += 1;
      return;
    }
    if (roll() < late) {
      this.damage.late += 1;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        send();
      }, 1 + below(roll, LATE_MS));
      this.#timers.add(timer);
      return;
    }
    send();
    if (roll() >= twice) return;
    this.damage.twice += 1;
    send();
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#feed.close();
    this.#requests.close();
    this.#answers.close();
  }
}
