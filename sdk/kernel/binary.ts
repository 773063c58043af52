/**
 * Binary: the bytes of a WebAssembly module, as far as a kernel needs them read and written.
 *
 * ```text
 * module   00 61 73 6D 01 00 00 00, then sections: id u8 · bytes leb · content; custom ones (id 0) begin with a name
 * ```
 *
 * Numbers are LEB128. Bytes that end too early or say what no module says are an ERR_ARGUMENT; whatever is not looked at
 * here is judged by the engine, which validates the whole module before it runs.
 */
import { wrongArgument } from '../error.ts';

/** Numbers of the sections. */
export const SECTION = {
  CUSTOM: 0,
  TYPE: 1,
  IMPORT: 2,
  FUNCTION: 3,
  TABLE: 4,
  MEMORY: 5,
  GLOBAL: 6,
  EXPORT: 7,
  START: 8,
  ELEMENT: 9,
  CODE: 10,
  DATA: 11,
  DATA_COUNT: 12,
} as const;

/** What imports and exports are. */
export const KIND = { FUNCTION: 0, TABLE: 1, MEMORY: 2, GLOBAL: 3 } as const;

/** The type of a 32-bit integer. */
export const I32 = 0x7f;
/** The type of a block without a result. */
export const EMPTY = 0x40;

const HEADER = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
/** The place of each section in a module; custom ones may stand anywhere. */
const ORDER = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11];

/** One section: its number, and where its content begins and ends. */
export interface Section {
  id: number;
  start: number;
  end: number;
}

/** Reads bytes from front to back. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  byte(): number {
    if (this.at >= this.end) throw malformed('it ends too early');
    return this.bytes[this.at++]!;
  }

  /** An unsigned number of at most 32 bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw malformed('a number is too long');
  }

  /** Goes past a number of any sign and size. */
  skipNumber(): void {
    for (let length = 1; length <= 10; length += 1) if (this.byte() < 0x80) return;
    throw malformed('a number is too long');
  }

  skip(count: number): void {
    if (count > this.end - this.at) throw malformed('it ends too early');
    this.at += count;
  }

  name(): string {
    const length = this.u32();
    this.skip(length);
    return new TextDecoder().decode(this.bytes.subarray(this.at - length, this.at));
  }
}

/** Puts bytes together. */
export class Writer {
  #bytes = new Uint8Array(1_024);
  #length = 0;

  /** How many bytes there are. */
  get length(): number {
    return this.#length;
  }

  put(...bytes: number[]): this {
    return this.copy(Uint8Array.from(bytes));
  }

  copy(bytes: Uint8Array): this {
    const length = this.#length + bytes.length;
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      larger.set(this.done());
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = length;
    return this;
  }

  u32(value: number): this {
    let left = value;
    const bytes: number[] = [];
    for (; left >= 0x80; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80);
    return this.put(...bytes, left);
  }

  /** A signed number of 32 bits. */
  s32(value: number): this {
    let left = value | 0;
    const bytes: number[] = [];
    for (; left < -64 || left > 63; left >>= 7) bytes.push((left & 0x7f) | 0x80);
    return this.put(...bytes, left & 0x7f);
  }

  name(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u32(bytes.length).copy(bytes);
  }

  /** A section around what another writer has. */
  section(id: number, content: Uint8Array): this {
    return this.put(id).u32(content.length).copy(content);
  }

  /** What was put. */
  done(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}

/** A writer of a module's first bytes. */
export function beginModule(): Writer {
  return new Writer().copy(HEADER);
}

/** The sections of a module, in their order. */
export function sections(bytes: Uint8Array): Section[] {
  if (!HEADER.every((byte, index) => bytes[index] === byte)) throw malformed('it does not begin as modules do');
  const reader = new Reader(bytes, HEADER.length);
  const found: Section[] = [];
  let place = -1;
  while (reader.at < reader.end) {
    const id = reader.byte();
    const length = reader.u32();
    const start = reader.at;
    reader.skip(length);
    if (id !== SECTION.CUSTOM) {
      const next = ORDER.indexOf(id);
      if (next <= place)
        throw malformed(`section ${id} stands in the wrong place, or is one that kernels may not have`);
      place = next;
    }
    found.push({ id, start, end: reader.at });
  }
  return found;
}

/** Whether a section stands before another in every module. */
export function isBefore(id: number, other: number): boolean {
  return ORDER.indexOf(id) < ORDER.indexOf(other);
}

/** The content of the custom section with this name. */
export function customSection(bytes: Uint8Array, name: string): Uint8Array | undefined {
  for (const { id, start, end } of sections(bytes)) {
    if (id !== SECTION.CUSTOM) continue;
    const reader = new Reader(bytes, start, end);
    if (reader.name() === name) return bytes.subarray(reader.at, end);
  }
  return undefined;
}

/** The module without its custom sections with these names, and then those. */
export function withCustomSections(bytes: Uint8Array, custom: Record<string, Uint8Array>): Uint8Array<ArrayBuffer> {
  const writer = beginModule();
  for (const { id, start, end } of sections(bytes)) {
    if (id === SECTION.CUSTOM && Object.hasOwn(custom, new Reader(bytes, start, end).name())) continue;
    writer.section(id, bytes.subarray(start, end));
  }
  for (const [name, content] of Object.entries(custom)) {
    writer.section(SECTION.CUSTOM, new Writer().name(name).copy(content).done());
  }
  return writer.done();
}

/** The bytes are no module, or one that says what kernels may not. */
export function malformed(why: string): Error {
  return wrongArgument(`this is no WebAssembly module for a kernel: ${why}; build it with tailrace kernel build`);
}
