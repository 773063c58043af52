/**
 * Artefact: a compiled kernel as one file, which runs without a compiler, here and from Python.
 *
 * ```text
 * the module with its limits in it      what Python runs
 * custom section "tailrace.kernel"      JSON: version, name, kind, record, output, pages
 * custom section "tailrace.plain"       the module before the limits
 * ```
 *
 * Whoever says that its limits are in it may be wrong, so here they are put in again, into the plain module.
 */
import { wrongArgument } from '../error.ts';
import { parseStruct, type Struct } from '../struct.ts';
import { customSection, withCustomSections } from './binary.ts';
import type { KernelKind } from './compile.ts';
import { instrument } from './instrument.ts';

/** Names of the sections. */
export const ABOUT = 'tailrace.kernel';
export const PLAIN = 'tailrace.plain';
const VERSION = 1;
const PAGE_BYTES = 65_536;
const KINDS: readonly string[] = ['filter', 'map', 'aggregate'];

/** What a compiled kernel says of itself. */
export interface About {
  name: string;
  kind: KernelKind;
  record: Struct;
  output: Struct | undefined;
  /** Pages of 64 KiB that the kernel has for itself. */
  pages: number;
}

/** The file of a kernel. */
export function bind(plain: Uint8Array, about: About): Uint8Array<ArrayBuffer> {
  const { name, kind, record, output = null, pages } = about;
  const words = new TextEncoder().encode(JSON.stringify({ version: VERSION, name, kind, record, output, pages }));
  return withCustomSections(instrument(plain, about.pages), { [ABOUT]: words, [PLAIN]: plain });
}

/** What the file says, and the plain module in it; undefined for a module that is no kernel's file. */
export function unbind(wasm: Uint8Array): { plain: Uint8Array<ArrayBuffer>; about: About } | undefined {
  const plain = customSection(wasm, PLAIN);
  const words = customSection(wasm, ABOUT);
  if (plain === undefined || words === undefined) return undefined;
  try {
    const { version, name, kind, record, output, pages } = JSON.parse(new TextDecoder().decode(words));
    if (version !== VERSION || !KINDS.includes(kind) || !Number.isSafeInteger(pages) || typeof name !== 'string') {
      throw wrongArgument(`version ${version}, kind ${kind}, ${pages} pages`);
    }
    const structs = { record: parseStruct(record), output: output === null ? undefined : parseStruct(output) };
    return { plain: plain.slice(), about: { name, kind, pages, ...structs } };
  } catch (error) {
    const why = (error as Error).message;
    throw wrongArgument(`what this kernel says of itself cannot be read (${why}); build it with this tailrace`);
  }
}

/** Pages for so many bytes. */
export function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES);
}

/** Bytes of a page. */
export { PAGE_BYTES };
