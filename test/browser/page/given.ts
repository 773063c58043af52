/**
 * Given: what a page hands to a worker or to another page, and the messages that they exchange.
 */
import type { SharedRegion } from '../../../sdk/browser.ts';

/** What a thread of a page is told to do. */
export interface Given {
  shared: SharedRegion;
  /** 'echo': sends back what it reads. 'hold': claims and never releases, while it writes without end. */
  does: 'echo' | 'hold';
}

/** What is used of a page's globals, and of a worker's. */
interface Around {
  addEventListener(name: 'message', hear: (event: { data: unknown; source?: Caller | null }) => void): void;
  postMessage(words: unknown): void;
}

/** Who can be told something. */
export interface Caller {
  postMessage(words: unknown): void;
}

export const around = globalThis as unknown as Around;

/** A message with a number, and bytes that follow from it. */
export function messageOf(index: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size).fill(index % 251);
  new DataView(bytes.buffer).setUint32(0, index, true);
  return bytes;
}

/** The number of a message. Throws when it is torn. */
export function indexOf(bytes: Uint8Array): number {
  const index = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (bytes.subarray(4).some((byte) => byte !== index % 251)) throw new Error(`message ${index} is torn`);
  return index;
}
