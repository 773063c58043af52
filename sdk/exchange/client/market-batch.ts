/**
 * Market batch: what the feed says at once. Whoever applies whole batches never shows half a command.
 *
 * The first batch of a session holds a snapshot, and so does the one after a loss that could not be mended: it replaces
 * whatever came before. All others hold messages that follow each other without a hole.
 */
import { TailraceError } from '../../error.ts';
import { type Decoded, decode, MESSAGES } from '../../wire.ts';

/** A message of the feed, by its name. */
export type MarketMessage = Decoded<'Added' | 'Executed' | 'Reduced' | 'Deleted' | 'Replaced' | 'StateChanged'>;

/** All resting orders at one moment. */
export interface Snapshot {
  /** Of the feed: ten characters, the exchange's epoch in digits, right-justified. */
  session: string;
  /** The last market message that is in it; 0: none. */
  sequence: bigint;
  /** Of the exchange's book, accounts included; a client cannot compute it. */
  stateHash: bigint;
  /** Bids best first, then asks, in order of time within a price: `SnapshotOrder`, 40 bytes each. */
  orders: Uint8Array;
}

/** Bytes of each type of message that the feed may bring, by its number. */
const SIZES = new Map<number, number>(
  [MESSAGES.Added, MESSAGES.Executed, MESSAGES.Reduced, MESSAGES.Deleted, MESSAGES.Replaced, MESSAGES.StateChanged].map(
    ({ type, size }) => [type, size],
  ),
);
const SEQUENCE = MESSAGES.Added.fields.sequence.offset;

/** The wrong bytes of a feed. */
export function corruptFeed(message: string): TailraceError {
  return new TailraceError('ERR_CORRUPT', `${message}; load a snapshot, and find out who sends this`);
}

/** Throws ERR_CORRUPT unless `payload` is a market message with this sequence. */
export function checkMessage(payload: Uint8Array, sequence: bigint): void {
  const size = SIZES.get(payload[0] ?? -1);
  if (size !== payload.length) {
    throw corruptFeed(
      `message ${sequence} has type ${payload[0]} and ${payload.length} bytes, as no market message has`,
    );
  }
  const own = new DataView(payload.buffer, payload.byteOffset).getBigUint64(SEQUENCE, true);
  if (own !== sequence) throw corruptFeed(`message ${sequence} calls itself ${own}`);
}

/** What the feed says at once. */
export class MarketBatch implements Iterable<MarketMessage> {
  /** Ten characters: the exchange's epoch in digits, right-justified. */
  readonly session: string;
  /** Of the first message; in a batch with a snapshot, the last that is in that. */
  readonly sequence: bigint;
  /** The bytes of each message. */
  readonly payloads: readonly Uint8Array[];
  /** Replaces everything that came before. */
  readonly snapshot: Snapshot | undefined;

  constructor(session: string, sequence: bigint, payloads: readonly Uint8Array[], snapshot?: Snapshot) {
    this.session = session;
    this.sequence = sequence;
    this.payloads = payloads;
    this.snapshot = snapshot;
  }

  /** How many messages. */
  get length(): number {
    return this.payloads.length;
  }

  /** The messages as objects. Throws ERR_CORRUPT at one that is none. */
  *[Symbol.iterator](): IterableIterator<MarketMessage> {
    for (const [index, payload] of this.payloads.entries()) {
      checkMessage(payload, this.sequence + BigInt(index));
      yield decode(payload) as MarketMessage;
    }
  }
}
