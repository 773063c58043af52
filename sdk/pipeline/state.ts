/**
 * State: what the view has made of the records of `orders` so far; with the log after it, it can be brought up to date.
 *
 * Everything in it is decided by the records alone, not by when they came or how often somebody was killed: two runs of
 * the same flow end with the same one.
 */
import { Book, type Kept } from './book.ts';
import { EventType, flowDigest, type OrderRecord } from './record.ts';

/** What is counted over all records of a log. */
export interface Counts {
  records: number;
  trades: number;
  /** Shares traded. */
  volume: number;
  /** Sum of the digests of all records without their run, modulo 2 ** 32. */
  digest: number;
}

/** Whether shares changed hands. */
export function isTrade(type: number): boolean {
  return type >= EventType.EXECUTE && type <= EventType.CROSS;
}

/** Takes one record into account. */
export function count(counts: Counts, record: OrderRecord, digest: number): void {
  counts.records += 1;
  counts.digest = (counts.digest + flowDigest(digest, record.run)) >>> 0;
  if (!isTrade(record.type)) return;
  counts.trades += 1;
  counts.volume += record.size;
}

/** Nothing counted yet. */
export function noCounts(): Counts {
  return { records: 0, trades: 0, volume: 0, digest: 0 };
}

/** What a run has added up to, in words that scripts read. */
export interface Totals extends Counts {
  book: { hash: number; bid: number; bid_size: number; ask: number; ask_size: number; live: number };
}

/** Book and counts. */
export class State {
  readonly counts: Counts;
  readonly book: Book;

  constructor(counts: Counts = noCounts(), book: Book = new Book()) {
    this.counts = counts;
    this.book = book;
  }

  /** Takes one record into account. */
  apply(record: OrderRecord, digest: number): void {
    count(this.counts, record, digest);
    this.book.apply(record);
  }

  totals(): Totals {
    const { book } = this;
    const [bid, ask] = [book.bids.level(0), book.asks.level(0)];
    const top = { bid: bid?.price ?? 0, bid_size: bid?.size ?? 0, ask: ask?.price ?? 0, ask_size: ask?.size ?? 0 };
    return { ...this.counts, book: { hash: book.hash(), ...top, live: book.live } };
  }

  /** The bytes of a checkpoint, which has a checksum of its own. */
  encode(): Uint8Array {
    return Buffer.from(JSON.stringify({ counts: this.counts, book: this.book.keep() }));
  }

  static decode(bytes: Uint8Array): State {
    const { counts, book } = JSON.parse(Buffer.from(bytes).toString()) as { counts: Counts; book: Kept };
    return new State(counts, Book.of(book));
  }
}
