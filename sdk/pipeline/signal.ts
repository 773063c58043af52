/**
 * Signal: what the analytics process found out about one interval, 64 bytes in a slot of the stream `signals`.
 *
 *     0 from_ns u64 · 8 to_ns u64 · 16 first_position u64 · 24 last_position u64 · 32 volume u64
 *     40 trades u32 · 44 events u32 · 48 vwap f64 · 56 imbalance f64                     all little-endian
 *
 * - The interval `[from_ns, to_ns)` is one of write times, of the clock of the slots; the positions are those of its
 *   first and last record in `orders`.
 * - `volume` is in shares; `vwap` in dollars times 10,000, 0 when nothing was traded.
 * - `imbalance` is (bought - sold) / (bought + sold) of the shares that were added to the two sides, -1 to 1.
 *
 * Written by `analytics.py`, read here and by the crate in `sink/`.
 */

/** Bytes of one signal. */
export const SIGNAL_BYTES = 64;

/** The message type of a record, and of a signal. */
export const MESSAGE_TYPE = { record: 1, signal: 2 } as const;

/** One interval. */
export interface Signal {
  fromNs: bigint;
  toNs: bigint;
  firstPosition: bigint;
  lastPosition: bigint;
  volume: bigint;
  trades: number;
  events: number;
  vwap: number;
  imbalance: number;
}

/** Reads 64 bytes; `undefined` when they cannot be what the analytics process wrote. */
export function decodeSignal(bytes: Uint8Array): Signal | undefined {
  if (bytes.byteLength !== SIGNAL_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const signal = {
    fromNs: view.getBigUint64(0, true),
    toNs: view.getBigUint64(8, true),
    firstPosition: view.getBigUint64(16, true),
    lastPosition: view.getBigUint64(24, true),
    volume: view.getBigUint64(32, true),
    trades: view.getUint32(40, true),
    events: view.getUint32(44, true),
    vwap: view.getFloat64(48, true),
    imbalance: view.getFloat64(56, true),
  };
  return isWhole(signal) ? signal : undefined;
}

function isWhole(signal: Signal): boolean {
  return (
    signal.fromNs < signal.toNs &&
    signal.firstPosition <= signal.lastPosition &&
    signal.events > 0 &&
    BigInt(signal.events) <= signal.lastPosition - signal.firstPosition + 1n &&
    signal.trades <= signal.events &&
    signal.trades > 0 === signal.volume > 0n &&
    signal.trades > 0 === signal.vwap > 0 &&
    Math.abs(signal.imbalance) <= 1
  );
}
