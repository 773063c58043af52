/**
 * Packing: several payloads in one buffer, so that one call takes them all.
 *
 * ```text
 * lengths u32 × count · zeros to a multiple of 8 · payloads, each beginning at a multiple of 8
 * ```
 *
 * There is one buffer for the whole environment: it is filled and written within one call, so nobody else sees it.
 */
import { isUint8Array } from 'node:util/types';
import { wrongArgument } from './error.ts';

const LEAST_BYTES = 64 * 1024;
/** A larger buffer is given back after the batch that needed it. */
const KEPT_BYTES = 1024 * 1024;
const MOST_BYTES = 1024 * 1024 * 1024;

let bytes = new Uint8Array(LEAST_BYTES);
let lengths = new Uint32Array(bytes.buffer);

function resize(size: number): void {
  const before = bytes;
  bytes = new Uint8Array(size);
  bytes.set(before.subarray(0, size));
  lengths = new Uint32Array(bytes.buffer);
}

function grow(needed: number): void {
  if (needed > MOST_BYTES) {
    throw wrongArgument(`a batch may have ${MOST_BYTES} bytes, and this one has more; write it in parts`);
  }
  resize(2 ** Math.ceil(Math.log2(needed)));
}

/** Packs `payloads`; the answer is valid until the next call. */
export function pack(payloads: readonly Uint8Array[]): Uint8Array {
  const count = payloads.length;
  let at = (count * 4 + 7) & ~7;
  if (bytes.length > KEPT_BYTES) resize(LEAST_BYTES);
  if (at > bytes.length) grow(at);
  for (let index = 0; index < count; index += 1) {
    const payload = payloads[index];
    // An array of another realm (a test runner's, say) is one too, but asking that costs a call.
    if (!(payload instanceof Uint8Array || isUint8Array(payload))) {
      throw wrongArgument(`payload ${index} of the batch is ${describe(payload)}; a payload must be a Uint8Array`);
    }
    const length = payload.length;
    if (at + length > bytes.length) grow(at + length);
    bytes.set(payload, at);
    lengths[index] = length;
    at = (at + length + 7) & ~7;
  }
  return bytes;
}

function describe(value: unknown): string {
  return value === null ? 'null' : typeof value === 'object' ? value.constructor.name : `a ${typeof value}`;
}
