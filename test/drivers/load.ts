/**
 * Load: messages that tell by themselves whether they are whole (README.md has their form).
 */

/** Shortest message of the load, bytes. */
export const LOAD_BYTES_MIN = 16;

const FACTOR = 0x9e3779b97f4a7c15n;

function checkOf(run: number, index: number): bigint {
  return BigInt.asUintN(64, ((BigInt(run) << 32n) | BigInt(index)) * FACTOR);
}

/** A message of `size` bytes. */
export function makeLoad(run: number, index: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, run, true);
  view.setUint32(4, index, true);
  view.setBigUint64(8, checkOf(run, index), true);
  for (let at = LOAD_BYTES_MIN; at < size; at += 1) bytes[at] = (run + index + at - LOAD_BYTES_MIN) % 251;
  return bytes;
}

/** Which message it is, and whether every byte of it is what was written. */
export function checkLoad(bytes: Uint8Array): { run: number; index: number; isWhole: boolean } {
  if (bytes.length < LOAD_BYTES_MIN) return { run: 0, index: 0, isWhole: false };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const run = view.getUint32(0, true);
  const index = view.getUint32(4, true);
  let isWhole = view.getBigUint64(8, true) === checkOf(run, index);
  for (let at = LOAD_BYTES_MIN; at < bytes.length; at += 1) {
    if (bytes[at] !== (run + index + at - LOAD_BYTES_MIN) % 251) isWhole = false;
  }
  return { run, index, isWhole };
}
