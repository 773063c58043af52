/**
 * Room: the memory of one kernel that runs, and who has which part of it.
 *
 * ```text
 * 0              the kernel's own: statics, heap, `pages` of them
 * pages          staging: records of a batch, as a consumer's native call leaves them
 * behind it      out: what the kernel says; it ends where the memory does
 * ```
 *
 * The memory has its size from the start. The kernel believes that it ends where its own part does; what it writes
 * elsewhere is its own loss, and behind the end there is nothing to write to.
 */
import { RECORD_HEADER_BYTES } from '../generated/layout.ts';
import { Chunk } from '../message.ts';
import { type About, PAGE_BYTES, pagesOf } from './artefact.ts';

const ADDRESS_BYTES = 4;

/** The engine, as far as it is used here: its types are the browser's, which not everybody compiles with. */
const engine = globalThis as unknown as {
  WebAssembly: { Memory: new (limits: { initial: number; maximum: number }) => Memory };
};

/** A memory of the engine. */
export interface Memory {
  readonly buffer: ArrayBuffer;
}

/** A memory of so many pages, which never grows. */
export function newMemory(pages: number): Memory {
  return new engine.WebAssembly.Memory({ initial: pages, maximum: pages });
}

/** The memory of a kernel. */
export class Room {
  readonly memory: Memory;
  /** Where a consumer's records go. */
  readonly chunk: Chunk;
  /** Where the kernel's answers begin. */
  readonly out: number;
  /** Most records of a batch. */
  readonly capacity: number;
  readonly view: DataView;
  readonly #bytes: Uint8Array;

  constructor({ pages, record, output }: Pick<About, 'pages' | 'record' | 'output'>, stagingBytes: number) {
    const staging = pagesOf(stagingBytes);
    this.capacity = Math.floor((staging * PAGE_BYTES) / record.size);
    const answers = pagesOf(this.capacity * (output?.size ?? ADDRESS_BYTES));
    this.memory = newMemory(pages + staging + answers);
    this.out = (pages + staging) * PAGE_BYTES;
    this.chunk = new Chunk(this.out, this.memory.buffer, pages * PAGE_BYTES);
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
  }

  /** Whether the records fit; they are copied to where a consumer would have put them. */
  take(records: Uint8Array): boolean {
    const { chunk } = this;
    chunk.at = chunk.start;
    if (records.length > chunk.room) return false;
    chunk.bytes.set(records, chunk.start);
    return true;
  }

  /** Zeros where answers are expected. */
  clear(start: number, bytes: number): void {
    this.#bytes.fill(0, start, start + bytes);
  }
}

/** Bytes that a message with such a payload takes in staging. */
export function stagedBytes(payloadBytes: number): number {
  return RECORD_HEADER_BYTES + ((payloadBytes + 7) & ~7);
}
