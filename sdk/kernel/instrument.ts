/**
 * Instrument: puts limits into a module, whoever compiled it.
 *
 * Each function entry and each loop head takes from a budget, and is `unreachable` when that is used up; so no code runs
 * for ever, and a call ends by itself in the thread that made it. What a turn costs is 1, and 1 more for each 1,024 bytes
 * of its body, and copying or filling memory costs 1 for each 64 bytes: a turn that does much is not a turn.
 *
 * ```text
 * function entry      budget = budget - cost; if (budget < 0) unreachable
 * loop head           the same
 * memory.size         pages, a global of the module            memory.grow   a call that adds to it, up to the limit
 * ```
 *
 * A function `rows` comes with it, for the host: it goes over a batch's messages as long as they have one length and
 * type, and answers with the address where that ends. The same loop in JavaScript took as long as a filter.
 *
 * The budget is a global of the module. Kept in a local of each function with a loop, and carried around calls and out
 * of branches, it made a loop of one comparison 7 % faster and an unrolled one no faster: not worth a pass that is hard
 * to believe.
 *
 * The memory becomes an import, for whoever runs the kernel has its batches in it; it never grows, because growing takes
 * it away from everybody who looks at it. All else of the module stays as it is: nothing is renumbered, since what is new
 * stands at the end of its section.
 *
 * binaryen has a pass that is nearly this, for its own logging, and no way to walk over code from JavaScript. It weighs
 * 94 MB; these are two hundred lines, with which a compiled kernel needs no compiler to be limited.
 */
import { beginModule, EMPTY, I32, isBefore, KIND, malformed, Reader, SECTION, Writer } from './binary.ts';
import { BULK, type Instruction, OP, readInstruction } from './instruction.ts';
import { type Outline, outlineOf, type Signature, signatureOf } from './outline.ts';

/** Names of the globals that a limited module exports. */
export const BUDGET = 'tailrace.budget';
export const REFUSED = 'tailrace.refused';
/** Name of the function `rows(at, end, stride, length, type, mask)`. */
export const ROWS = 'tailrace.rows';

/** Largest module. */
const MODULE_BYTES_MAX = 4 << 20;
/** What code that runs while the module starts may use up. */
export const START_BUDGET = 1_000_000;
const COST_BYTES = 1_024;
const BULK_SHIFT = 6;
/** Where a message's header has its type, and its length. */
const TYPE_OFFSET = 16;
const LENGTH_OFFSET = 20;
const ROWS_PARAMETERS = 6;
/** Instructions that only what is added has. */
const [BR, BR_IF, I32_LOAD, I32_GT_U, I32_GE_U, I32_ADD, I32_AND, I32_OR, I32_XOR] = [
  0x0c, 0x0d, 0x28, 0x4b, 0x4f, 0x6a, 0x71, 0x72, 0x73,
] as const;

/** What is at the end of each index. */
interface Additions {
  budget: number;
  refused: number;
  pages: number;
  grow: number;
}

/** The module with limits: `pages` of memory for itself, and a budget. Throws ERR_ARGUMENT when no kernel may be so. */
export function instrument(bytes: Uint8Array, pages: number): Uint8Array<ArrayBuffer> {
  if (bytes.length > MODULE_BYTES_MAX) throw malformed(`it has ${bytes.length} bytes, of at most ${MODULE_BYTES_MAX}`);
  const outline = outlineOf(bytes);
  if ((outline.pages ?? 0) > pages) {
    throw malformed(`it wants ${outline.pages} pages of 64 KiB of memory, and memoryBytes allows ${pages}`);
  }
  for (const name of [BUDGET, REFUSED, ROWS]) if (outline.exports.has(name)) throw malformed(`it has limits already`);
  const added = {
    budget: outline.globals,
    refused: outline.globals + 1,
    pages: outline.globals + 2,
    grow: outline.functions.length,
  };
  const contents = new Map<number, (old: Reader | undefined) => Writer | undefined>([
    [SECTION.TYPE, (old) => extended(old, 2, functionType(1).copy(functionType(ROWS_PARAMETERS).done()))],
    [
      SECTION.IMPORT,
      (old) => (outline.isMemoryImported ? replaced(old) : extended(old, 1, memoryImport(outline.pages))),
    ],
    [SECTION.FUNCTION, (old) => extended(old, 2, new Writer().u32(outline.types.length).u32(outline.types.length + 1))],
    [SECTION.MEMORY, () => undefined],
    [SECTION.GLOBAL, (old) => extended(old, 3, globals(outline.pages ?? 0))],
    [SECTION.EXPORT, (old) => extended(old, 3, exportsOf(added))],
    [SECTION.CODE, (old) => code(old, outline, added, pages)],
  ]);
  return rewritten(bytes, outline, contents);
}

/** Every section through its writer, and those that were not there where they belong. */
function rewritten(
  bytes: Uint8Array,
  outline: Outline,
  contents: Map<number, (old: Reader | undefined) => Writer | undefined>,
): Uint8Array<ArrayBuffer> {
  const module = beginModule();
  const left = new Set(contents.keys());
  const put = (id: number, old: Reader | undefined) => {
    left.delete(id);
    const writer = contents.get(id)!(old);
    if (writer !== undefined) module.section(id, writer.done());
  };
  const putBefore = (next: number) => {
    for (const id of [...left]) if (isBefore(id, next)) put(id, undefined);
  };
  for (const { id, start, end } of outline.sections) {
    if (id !== SECTION.CUSTOM) putBefore(id);
    if (contents.has(id)) put(id, new Reader(bytes, start, end));
    else module.section(id, bytes.subarray(start, end));
  }
  for (const id of left) put(id, undefined);
  return module.done();
}

/** A list with `count` more items at its end. */
function extended(old: Reader | undefined, count: number, items: Writer): Writer {
  const writer = new Writer().u32((old?.u32() ?? 0) + count);
  if (old !== undefined) writer.copy(old.bytes.subarray(old.at, old.end));
  return writer.copy(items.done());
}

function replaced(old: Reader | undefined): Writer | undefined {
  return old && new Writer().copy(old.bytes.subarray(old.at, old.end));
}

function memoryImport(pages = 0): Writer {
  return new Writer().name('env').name('memory').put(KIND.MEMORY, 0).u32(pages);
}

function globals(pages: number): Writer {
  const writer = new Writer();
  for (const value of [START_BUDGET, 0, pages]) writer.put(I32, 1, OP.I32_CONST).s32(value).put(OP.END);
  return writer;
}

function exportsOf({ budget, refused, grow }: Additions): Writer {
  const writer = new Writer().name(BUDGET).put(KIND.GLOBAL).u32(budget).name(REFUSED).put(KIND.GLOBAL).u32(refused);
  return writer
    .name(ROWS)
    .put(KIND.FUNCTION)
    .u32(grow + 1);
}

/** Numbers of 32 bits to one of them. */
function functionType(parameters: number): Writer {
  return new Writer().put(0x60, parameters, ...Array.from({ length: parameters }, () => I32), 1, I32);
}

function code(old: Reader | undefined, outline: Outline, added: Additions, pages: number): Writer {
  const count = old?.u32() ?? 0;
  if (count !== outline.functions.length - outline.importedFunctions) throw malformed('functions and bodies differ');
  const writer = new Writer().u32(count + 2);
  for (let index = 0; index < count; index += 1) {
    const length = old!.u32();
    const start = old!.at;
    old!.skip(length);
    const body = new Reader(old!.bytes, start, old!.at);
    const limited = new Body(body, signatureOf(outline, outline.importedFunctions + index), added).limited();
    writer.u32(limited.length).copy(limited);
  }
  for (const body of [growBody(added, pages), rowsBody()]) writer.u32(body.length).copy(body);
  return writer;
}

/** `grow(wanted)`: pages before, or -1 and a mark when there would be more than the limit. */
function growBody({ pages, refused }: Additions, limit: number): Uint8Array {
  const body = new Writer().put(0, OP.LOCAL_GET, 0, OP.I32_CONST).s32(limit).put(OP.GLOBAL_GET).u32(pages);
  body.put(OP.I32_SUB, I32_GT_U, OP.IF, EMPTY, OP.I32_CONST, 1, OP.GLOBAL_SET).u32(refused);
  body.put(OP.I32_CONST).s32(-1).put(OP.RETURN, OP.END, OP.GLOBAL_GET).u32(pages);
  body.put(OP.GLOBAL_GET).u32(pages).put(OP.LOCAL_GET, 0, I32_ADD, OP.GLOBAL_SET).u32(pages);
  return body.put(OP.END).done();
}

/** `rows(at, end, stride, length, type, mask)`: the first address from `at` on where another message stands. */
function rowsBody(): Uint8Array {
  const [at, end, stride, length, type, mask] = [0, 1, 2, 3, 4, 5] as const;
  const body = new Writer().put(0, OP.BLOCK, EMPTY, OP.LOOP, EMPTY);
  body.put(OP.LOCAL_GET, at, OP.LOCAL_GET, end, I32_GE_U, BR_IF, 1);
  body.put(OP.LOCAL_GET, at, I32_LOAD, 2, LENGTH_OFFSET, OP.LOCAL_GET, length, I32_XOR);
  body.put(OP.LOCAL_GET, at, I32_LOAD, 2, TYPE_OFFSET, OP.LOCAL_GET, type, I32_XOR, OP.LOCAL_GET, mask, I32_AND);
  body.put(I32_OR, BR_IF, 1, OP.LOCAL_GET, at, OP.LOCAL_GET, stride, I32_ADD, OP.LOCAL_SET, at, BR, 0);
  return body.put(OP.END, OP.END, OP.LOCAL_GET, at, OP.END).done();
}

/** One function on its way. */
class Body {
  readonly #reader: Reader;
  readonly #added: Additions;
  readonly #out = new Writer();
  readonly #instructions: Instruction[] = [];
  /** Cost of each loop, by where it begins. */
  readonly #costs = new Map<number, number>();
  /** Index of a local that is new: how many bytes are copied. */
  readonly #count: number;

  constructor(reader: Reader, { parameters }: Signature, added: Additions) {
    this.#reader = reader;
    this.#added = added;
    const groups = reader.u32();
    const start = reader.at;
    let local = parameters.length;
    for (let group = 0; group < groups; group += 1) {
      local += reader.u32();
      reader.skip(1);
    }
    this.#count = local;
    this.#out.u32(groups + 1).copy(reader.bytes.subarray(start, reader.at));
    this.#out.u32(1).put(I32);
  }

  limited(): Uint8Array {
    const { bytes, at, end } = this.#reader;
    this.#scan();
    this.#charge(() => this.#out.put(OP.I32_CONST).s32(costOf(end - at)));
    for (const [index, instruction] of this.#instructions.entries()) {
      this.#copy(instruction, bytes.subarray(instruction.start, this.#instructions[index + 1]?.start ?? end));
    }
    return this.#out.done();
  }

  /** Reads every instruction, and what each loop costs. */
  #scan(): void {
    const reader = this.#reader;
    const open: (Instruction | undefined)[] = [undefined];
    while (open.length > 0) {
      const instruction = readInstruction(reader);
      const { op } = instruction;
      this.#instructions.push(instruction);
      if (op === OP.BLOCK || op === OP.LOOP || op === OP.IF) open.push(instruction);
      if (op !== OP.END) continue;
      const opened = open.pop();
      if (opened?.op === OP.LOOP) this.#costs.set(opened.start, costOf(reader.at - opened.start));
    }
    if (reader.at !== reader.end) throw malformed('a function goes on behind its end');
  }

  #copy({ op, second, start }: Instruction, bytes: Uint8Array): void {
    const out = this.#out;
    if (op === OP.LOOP) {
      out.copy(bytes);
      this.#charge(() => out.put(OP.I32_CONST).s32(this.#costs.get(start)!));
    } else if (op === OP.MEMORY_SIZE) {
      out.put(OP.GLOBAL_GET).u32(this.#added.pages);
    } else if (op === OP.MEMORY_GROW) {
      out.put(OP.CALL).u32(this.#added.grow);
    } else if (op === OP.BULK && second !== BULK.DATA_DROP && second >= BULK.MEMORY_INIT) {
      out.put(OP.LOCAL_TEE).u32(this.#count);
      this.#charge(() => out.put(OP.LOCAL_GET).u32(this.#count).put(OP.I32_CONST, BULK_SHIFT, OP.I32_SHR_U));
      out.copy(bytes);
    } else {
      out.copy(bytes);
    }
  }

  /** Takes from the budget what `cost` leaves on the stack. */
  #charge(cost: () => void): void {
    const out = this.#out;
    const { budget } = this.#added;
    out.put(OP.GLOBAL_GET).u32(budget);
    cost();
    out.put(OP.I32_SUB, OP.GLOBAL_SET).u32(budget).put(OP.GLOBAL_GET).u32(budget);
    out.put(OP.I32_CONST, 0, OP.I32_LT_S, OP.IF, EMPTY, OP.UNREACHABLE, OP.END);
  }
}

function costOf(bytes: number): number {
  return 1 + Math.floor(bytes / COST_BYTES);
}
