/**
 * Given: what a page hands to a worker or to another page, and the messages that they exchange.
 */
import type { SharedRegion } from '../../../sdk/browser.ts';

/** What a thread of a page is told to do. */
export interface Given {
  shared: SharedRegion;
  /**
   * 'echo': sends back what it reads. 'hold': claims and never releases, while it writes without end. 'host': starts a
   * worker that stops.
   */
  does: 'echo' | 'hold' | 'host';
  /** What that worker is told, which is handed its region by who starts it. */
  inner?: Omit<Stopping, 'shared'>;
}

/** What a worker is told that stops at a step of the protocol. */
export interface Stopping {
  shared: SharedRegion;
  step: string;
  does: 'join' | 'take' | 'write';
}

/** What is used of a page's globals, and of a worker's. */
interface Around {
  addEventListener(name: 'message', hear: (event: { data: unknown; source?: Caller | null }) => void): void;
  postMessage(words: unknown): void;
  /** Of a page that another has opened: that one. */
  opener?: Caller | null;
  Worker: new (address: URL, options: { type: 'module' }) => Worker;
}

/** What is used of a Worker. */
export interface Worker extends Caller {
  terminate(): void;
  onmessage: ((event: { data: unknown }) => void) | null;
}

/** Who can be told something. */
export interface Caller {
  postMessage(words: unknown): void;
}

export const around = globalThis as unknown as Around;

/** Starts a worker with one of the scripts beside this one. */
export function newWorker(script: string): Worker {
  return new around.Worker(new URL(`./${script}.js`, import.meta.url), { type: 'module' });
}

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
