/**
 * Outline: what a module says of itself before its code, and what of that a kernel may not say.
 *
 * A kernel gets a memory and `env.abort`, and nothing else: with any other import it could reach outside. Tables have an
 * end, because each entry costs the process eight bytes.
 */
import { wrongArgument } from '../error.ts';
import { I32, KIND, malformed, Reader, SECTION, type Section, sections } from './binary.ts';

/** What a function takes and gives. */
export interface Signature {
  parameters: number[];
  results: number[];
}

/** What stands before the code. */
export interface Outline {
  sections: Section[];
  types: Signature[];
  /** Types of all functions, imported ones first. */
  functions: number[];
  importedFunctions: number;
  isMemoryImported: boolean;
  /** Pages of 64 KiB that it wants at least; undefined when it has no memory. */
  pages: number | undefined;
  globals: number;
  exports: Map<string, { kind: number; index: number }>;
}

const PAGES_MAX = 65_536;
const TABLE_MAX = 65_536;
const FUNCTION_FORM = 0x60;
const HAS_MAXIMUM = 1;

/** Reads a module up to its code. Throws ERR_ARGUMENT when no kernel may be so. */
export function outlineOf(bytes: Uint8Array): Outline {
  const outline: Outline = {
    sections: sections(bytes),
    types: [],
    functions: [],
    importedFunctions: 0,
    isMemoryImported: false,
    pages: undefined,
    globals: 0,
    exports: new Map(),
  };
  for (const { id, start, end } of outline.sections) {
    const read = READERS[id];
    const reader = new Reader(bytes, start, end);
    read?.(reader, outline);
    if (read && id !== SECTION.GLOBAL && reader.at !== end) throw malformed(`section ${id} has bytes that say nothing`);
  }
  return outline;
}

/** The type of a function. */
export function signatureOf(outline: Outline, index: number): Signature {
  const signature = outline.types[outline.functions[index] ?? -1];
  if (signature === undefined) throw malformed(`function ${index} has no type`);
  return signature;
}

const READERS: Record<number, (reader: Reader, outline: Outline) => void> = {
  [SECTION.TYPE]: (reader, { types }) => {
    for (let count = reader.u32(); count > 0; count -= 1) {
      if (reader.byte() !== FUNCTION_FORM) throw malformed('it has a type that is no function');
      types.push({ parameters: valueTypes(reader), results: valueTypes(reader) });
    }
  },
  [SECTION.IMPORT]: (reader, outline) => {
    for (let count = reader.u32(); count > 0; count -= 1) readImport(reader, outline);
  },
  [SECTION.FUNCTION]: (reader, { functions }) => {
    for (let count = reader.u32(); count > 0; count -= 1) functions.push(reader.u32());
  },
  [SECTION.TABLE]: (reader) => {
    for (let count = reader.u32(); count > 0; count -= 1) {
      reader.skip(1);
      const flags = reader.u32();
      const entries = reader.u32();
      if (flags > HAS_MAXIMUM || entries > TABLE_MAX) throw malformed(`its table has ${entries} entries`);
      if (flags === HAS_MAXIMUM) reader.u32();
    }
  },
  [SECTION.MEMORY]: (reader, outline) => {
    for (let count = reader.u32(); count > 0; count -= 1) readMemory(reader, outline);
  },
  [SECTION.GLOBAL]: (reader, outline) => {
    outline.globals = reader.u32();
  },
  [SECTION.EXPORT]: (reader, { exports }) => {
    for (let count = reader.u32(); count > 0; count -= 1) {
      const name = reader.name();
      exports.set(name, { kind: reader.byte(), index: reader.u32() });
    }
  },
};

function valueTypes(reader: Reader): number[] {
  const found: number[] = [];
  for (let count = reader.u32(); count > 0; count -= 1) found.push(reader.byte());
  return found;
}

function readMemory(reader: Reader, outline: Outline): void {
  if (outline.pages !== undefined) throw malformed('it has two memories');
  const flags = reader.u32();
  if (flags > HAS_MAXIMUM) throw malformed('its memory is shared, or counted with 64 bits');
  outline.pages = reader.u32();
  if (outline.pages > PAGES_MAX) throw malformed(`it wants ${outline.pages} pages of memory`);
  if (flags === HAS_MAXIMUM) reader.u32();
}

function readImport(reader: Reader, outline: Outline): void {
  const module = reader.name();
  const name = reader.name();
  const kind = reader.byte();
  if (module === 'env' && name === 'memory' && kind === KIND.MEMORY) {
    readMemory(reader, outline);
    outline.isMemoryImported = true;
    return;
  }
  if (module === 'env' && name === 'abort' && kind === KIND.FUNCTION) {
    outline.functions.push(reader.u32());
    outline.importedFunctions += 1;
    const { parameters, results } = signatureOf(outline, outline.functions.length - 1);
    if (parameters.length === 4 && parameters.every((type) => type === I32) && results.length === 0) return;
  }
  throw wrongArgument(`the kernel imports ${module}.${name}; it may have env.abort and env.memory, and nothing else`);
}
