/**
 * Content: what record `index` of run `run` holds, so that whoever reads it can check every byte.
 */

/** Runs from here on have no long records. */
const SHORT_RUN = 1 << 16;
const LONGEST = 16 + 701 + 20_000;
const pattern = Buffer.from(Array.from({ length: LONGEST + 251 }, (_, i) => i % 251));

/** Bytes that a record has. */
function sizeOf(run: number, index: number): number {
  const isLong = run < SHORT_RUN && index % 64 === 63;
  return 16 + ((run * 31 + index * 97) % 701) + (isLong ? 20_000 : 0);
}

function filling(run: number, index: number): Buffer {
  const start = (run + index) % 251;
  return pattern.subarray(start, start + sizeOf(run, index) - 8);
}

/** The bytes of a record. */
export function content(run: number, index: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(run, 0);
  head.writeUInt32LE(index, 4);
  return Buffer.concat([head, filling(run, index)]);
}

/** Which record these bytes are, `run` and `index`; undefined when they are none. */
export function recognised(payload: Buffer): [run: number, index: number] | undefined {
  if (payload.length < 16) return undefined;
  const [run, index] = [payload.readUInt32LE(0), payload.readUInt32LE(4)];
  if (payload.length !== sizeOf(run, index)) return undefined;
  return filling(run, index).equals(payload.subarray(8)) ? [run, index] : undefined;
}

/** A number that looks like one by chance, the same each time. */
export function scattered(run: number, index: number): number {
  return Math.imul(Math.imul(run, 0x9e3779b9) ^ Math.imul(index, 0x85ebca6b), 0xc2b2ae35) >>> 8;
}
