/**
 * Frames: the records of a log as the module writes and sees them in a page; bundled with the package's sources, because
 * a page has no logs, and the package there shows none of this.
 */
import { ready } from '../../../sdk/browser.ts';
import { checkFrame, encodeFrame } from '../../../sdk/wasm/frames.ts';

const around = globalThis as unknown as { trials: Record<string, () => Promise<unknown>> };

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** Checks of what was written for each of the vectors, by the very bytes; what was seen; and what of a wrong one. */
async function frames(): Promise<unknown> {
  await ready();
  // biome-ignore lint/suspicious/noExplicitAny: the file is data, and the test says what it expects of it
  const vector: any = await (await fetch('/vectors/log.json')).json();
  const differing: string[] = [];
  for (const { prefix, start, count, bytes, total_bytes, sequence, timestamp_ns, ...rest } of vector.frames) {
    const before = bytesOf(prefix);
    const payload = new Uint8Array(before.length + count);
    payload.set(before);
    for (let index = 0; index < count; index += 1) payload[before.length + index] = (start + index) % 251;
    const wanted = new Uint8Array(total_bytes);
    for (const [offset, hex] of bytes) wanted.set(bytesOf(hex), offset);
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

around.trials = { ...around.trials, frames };
