/**
 * Bad: regions with something wrong in them, built from `test/vectors/bad.json` and the printed layout.
 */
import { readFileSync } from 'node:fs';
import { type Inputs, Plain } from './plain.ts';
import type { Data, Run } from './wasm/bytes.ts';

/** The vectors. */
export const bad: { inputs: Inputs; channels: Data[]; cases: Data[] } = JSON.parse(
  readFileSync(new URL('vectors/bad.json', import.meta.url), 'utf8'),
);

/** What linear memory has not: an end of the file before the limit, and recorded channels. */
const ABOUT_FILES = ['band at the end of the file', 'a file of 102400 bytes', 'a recorded queue'];

/** Whether a case is about what only files have. */
export function isAboutFiles({ name }: Data): boolean {
  return ABOUT_FILES.includes(name);
}

/** The bytes of a bad region. */
export function badBytes(vector: Data, bootId = bad.inputs.boot_id): Uint8Array {
  const plain = new Plain({ ...bad.inputs, boot_id: bootId });
  for (const [index, { name, flags, capacity }] of bad.channels.entries()) {
    plain.addChannel(name, flags, capacity);
    for (const [position, length] of [5, 6, 7].slice(0, capacity).entries()) {
      plain.publish(index, BigInt(position), { at_ns: 1_700_000_000_000_000_000n, type: 7 }, length);
      plain.put('ChannelEntry.tail', index, position + 1);
    }
  }
  for (const [field, index, value, channel] of vector.patches) {
    if (channel) plain.putSlot(plain.channel(channel), BigInt(index), field.split('.')[1], BigInt(value));
    else plain.put(field, index, BigInt(value));
  }
  return plain.bytes.subarray(0, vector.total_bytes);
}

/** The stretches of bytes that are not zero. */
function runsOf(bytes: Uint8Array): Run[] {
  const step = 64;
  const starts = Array.from({ length: Math.ceil(bytes.length / step) }, (_, index) => index * step);
  const full = starts.filter((start) => bytes.subarray(start, start + step).some((byte) => byte !== 0));
  return full.map((start) => [start, Buffer.from(bytes.subarray(start, start + step)).toString('hex')]);
}

/** All of them that linear memory can have, for a page. */
export function badRegions() {
  const roomBytes = bad.inputs.limit_bytes;
  const cases = bad.cases.filter((vector) => !isAboutFiles(vector));
  return cases.map((vector) => {
    const bytes = badBytes(vector);
    const limitBytes: number = vector.total_bytes ?? roomBytes;
    return { vector, runs: runsOf(bytes), bytes: bytes.length, limitBytes, roomBytes };
  });
}
