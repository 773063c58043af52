/**
 * Inside: what the module itself writes and reads in a page: slots, records, regions, and the frames of a log. Bundled
 * with the package's sources, because the package shows none of this.
 */
import { ready } from '../../../sdk/browser.ts';
import { checkFrame, encodeFrame } from '../../../sdk/wasm/frames.ts';
import {
  bytesOf,
  compareRecords,
  compareSlots,
  type Data,
  dense,
  openMemory,
  type Run,
  seenOf,
} from '../../wasm/bytes.ts';

const around = globalThis as unknown as { trials: Record<string, (...given: never[]) => Promise<unknown>> };

async function read(name: string): Promise<Data> {
  return (await fetch(`/vectors/${name}.json`)).json();
}

/** Checks of what was written for each of the vectors, by the very bytes; what was seen; and what of a wrong one. */
async function frames(): Promise<unknown> {
  await ready();
  const vector = await read('log');
  const differing: string[] = [];
  for (const { prefix, start, count, bytes, total_bytes, sequence, timestamp_ns, ...rest } of vector.frames) {
    const before = bytesOf(prefix);
    const payload = new Uint8Array(before.length + count);
    payload.set(before);
    for (let index = 0; index < count; index += 1) payload[before.length + index] = (start + index) % 251;
    const wanted = dense(bytes, total_bytes);
    const { type, pid, runtime, flags } = rest;
    const head = { sequence: BigInt(sequence), timestamp: BigInt(timestamp_ns), type, pid, runtime, flags };
    const written = encodeFrame(head, payload);
    if (String(written) !== String(wanted)) differing.push(`${sequence}/${count}: written`);
    const seen = checkFrame(wanted);
    if (seen.seen !== 'frame' || String(seen.payload) !== String(payload)) differing.push(`${sequence}/${count}: seen`);
    wanted[17] = wanted[17]! ^ 1;
    if (checkFrame(wanted).seen !== 'bad') differing.push(`${sequence}/${count}: wrong, and not seen`);
  }
  return { differing, count: vector.frames.length };
}

/** Messages in slots, and as they are handed out. */
async function slots(): Promise<unknown> {
  await ready();
  return { slots: compareSlots(await read('slots')), records: compareRecords(await read('records')) };
}

/** What is to be seen of a region with these bytes that has something wrong with it. */
async function bad(vector: Data, runs: Run[], bytes: number, limitBytes: number, roomBytes: number): Promise<unknown> {
  await ready();
  return seenOf(vector, () => openMemory(dense(runs, bytes), limitBytes, roomBytes));
}

around.trials = { ...around.trials, frames, slots, bad };
