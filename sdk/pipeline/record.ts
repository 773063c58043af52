/**
 * Record: one message of order flow in 40 bytes, as it lies in a slot of the stream `orders`.
 *
 *     0 time_ns u64 · 8 order_id u64 · 16 price i64 · 24 size u32 · 28 type u8 · 29 side i8 · 30 lap u16
 *     32 run u32 · 36 counter u32                                                      all little-endian
 *
 * - `time_ns` is the exchange's own time, nanoseconds after midnight; the time of the write stands in the slot.
 * - `price` is in dollars times 10,000, `type` and `side` are LOBSTER's (side: of the resting order, 1 buy, -1 sell).
 * - `lap` counts how often the input file has begun anew, modulo 65,536. It is added to the id in units of `LAP_STRIDE`,
 *   so that orders of different laps are different orders.
 * - `run` counts the starts of the gateway. `counter` counts records, modulo 2 ** 32, from 0 at the beginning of the log,
 *   over all runs: position - counter is one constant per run, and a run goes on where the one before has ended.
 *
 * Every 64-bit field stays below 2 ** 53, so a JavaScript number holds it; the words are written as two halves, because
 * a BigInt for each field would cost more than the rest of the gateway. `size` of 40 bytes leaves no room for a
 * checksum: readers and the gateway sum `digestRecord` over blocks of `BLOCK_RECORDS` and the parent compares the sums.
 */

/** Bytes of one record. */
export const RECORD_BYTES = 40;

/** Distance between the ids of one order in two laps. Ids of the input are below it. */
export const LAP_STRIDE = 2 ** 36;

/** Records whose digests are summed before they are compared. */
export const BLOCK_RECORDS = 4096;

/** LOBSTER's types of event. */
export const EventType = {
  ADD: 1,
  REDUCE: 2,
  DELETE: 3,
  EXECUTE: 4,
  HIDDEN: 5,
  CROSS: 6,
  HALT: 7,
} as const;

/** One record, decoded. Price in dollars times 10,000. */
export interface OrderRecord {
  timeNs: number;
  orderId: number;
  price: number;
  size: number;
  type: number;
  side: number;
  lap: number;
  run: number;
  counter: number;
}

/** Where order flow comes from. */
export interface Source {
  /** Fills in the next message, all fields but `run` and `counter`. */
  next(into: OrderRecord): void;
  /** Goes on with the message that has this index, counted from the beginning; that takes a second at most. */
  seek(index: number): void;
}

const WORD = 2 ** 32;

/** An empty record, to be filled. */
export function emptyRecord(): OrderRecord {
  return { timeNs: 0, orderId: 0, price: 0, size: 0, type: 0, side: 0, lap: 0, run: 0, counter: 0 };
}

/** Writes `record` as 40 bytes at `offset`. */
export function encodeRecord(view: DataView, offset: number, record: OrderRecord): void {
  view.setUint32(offset, record.timeNs, true);
  view.setUint32(offset + 4, record.timeNs / WORD, true);
  view.setUint32(offset + 8, record.orderId, true);
  view.setUint32(offset + 12, record.orderId / WORD, true);
  view.setUint32(offset + 16, record.price, true);
  view.setInt32(offset + 20, Math.floor(record.price / WORD), true);
  view.setUint32(offset + 24, record.size, true);
  view.setUint8(offset + 28, record.type);
  view.setInt8(offset + 29, record.side);
  view.setUint16(offset + 30, record.lap, true);
  view.setUint32(offset + 32, record.run, true);
  view.setUint32(offset + 36, record.counter, true);
}

/** Reads the 40 bytes at `offset` into `record`. */
export function decodeRecord(view: DataView, offset: number, record: OrderRecord): void {
  record.timeNs = view.getUint32(offset + 4, true) * WORD + view.getUint32(offset, true);
  record.orderId = view.getUint32(offset + 12, true) * WORD + view.getUint32(offset + 8, true);
  record.price = view.getInt32(offset + 20, true) * WORD + view.getUint32(offset + 16, true);
  record.size = view.getUint32(offset + 24, true);
  record.type = view.getUint8(offset + 28);
  record.side = view.getInt8(offset + 29);
  record.lap = view.getUint16(offset + 30, true);
  record.run = view.getUint32(offset + 32, true);
  record.counter = view.getUint32(offset + 36, true);
}

/**
 * A number that depends on all 40 bytes: the sum of each 32-bit word times an odd factor of its place, modulo 2 ** 32.
 * A word that is left from another record changes it. Cheap in numpy too: one product of matrices.
 */
export function digestRecord(view: DataView, offset: number): number {
  let sum = 0;
  let factor = DIGEST_FACTOR;
  for (let at = offset; at < offset + RECORD_BYTES; at += 4) {
    sum = (sum + Math.imul(view.getUint32(at, true), factor)) | 0;
    factor = Math.imul(factor, DIGEST_FACTOR);
  }
  return sum >>> 0;
}

/** Factor of the first word; each next word has the next power of it, modulo 2 ** 32. */
export const DIGEST_FACTOR = 0x9e3779b1;

const RUN_FACTOR = Array.from({ length: 9 }).reduce<number>((power) => Math.imul(power, DIGEST_FACTOR), 1);

/** A record's digest without its run: the same flow has the same one, however often its gateway was started. */
export function flowDigest(digest: number, run: number): number {
  return (digest - Math.imul(run, RUN_FACTOR)) >>> 0;
}
