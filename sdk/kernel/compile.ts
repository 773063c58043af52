/**
 * Compile: a kernel's source in AssemblyScript to a module, by `asc` in this process.
 *
 * The user writes what happens to one record; the loop over a batch is written here, in a module of its own that imports
 * the user's, so every complaint has the user's own line and column. `asc` sees three files, and through `file` those
 * that the kernel imports with a relative path:
 *
 * ```text
 * kernel.ts, or the name of `file`  the user's: export function filter | map | aggregate, or run, the whole loop
 * tailrace-loop.ts                  run(pointer, count, stride, out) -> kept
 * node_modules/tailrace/record.ts   class Record, class Output, under these names and their own
 * ```
 *
 * The loop keeps the index of its record in a global, which is how a kernel that ended names the record.
 */
import { failure, wrongArgument } from '../error.ts';
import type { Struct } from '../struct.ts';
import { type Diagnostic, KernelError } from './failure.ts';
import { type Read, readerOf } from './source.ts';

/** What a kernel does with records. */
export type KernelKind = 'filter' | 'map' | 'aggregate';

/** What is compiled. */
export interface CompileOptions {
  /** Name of the kernel. */
  name: string;
  /** Path of the source, for complaints and for what it imports. */
  file?: string | undefined;
  record: Struct;
  output?: Struct | undefined;
}

const USER = 'kernel.ts';
const EXTENSION = '.ts';
const CONFIGURATION = 'asconfig.json';
const LOOP = 'tailrace-loop.ts';
const RECORD = 'node_modules/tailrace/record.ts';
const OUTPUT = 'kernel.wasm';
const ERROR = 3;
const SHAPES: Record<KernelKind, string> = {
  filter: 'export function filter(record: Record): bool',
  map: 'export function map(record: Record, output: Output): bool',
  aggregate: 'export function aggregate(record: Record, output: Output): void',
};
/** Kinds by the number that the loop exports. */
export const KINDS: readonly (KernelKind | undefined)[] = [undefined, 'filter', 'map', 'aggregate'];
/** The number of a kernel with a loop of its own. */
export const RUN_ITSELF = 4;
/** What a kernel without any of them has to have. */
export const MISSING = `none of: ${Object.values(SHAPES).join('; ')}`;

/** One record of a filter: an address is always written, and counts when the record is kept; no branch is guessed wrong. */
const FILTER_STEP = `
      at = index;
      store<u32>(out + (<usize>kept << 2), <u32>pointer);
      kept += user.filter(changetype<Record>(pointer)) ? 1 : 0;
      pointer += stride;
      index += 1;`;
/** Four records a turn, for a turn has its price: its budget takes a third of what one comparison does. */
const FILTER_LOOP = `
    let index: u32 = 0;
    while (index + 4 <= count) {${FILTER_STEP.repeat(4)}
    }
    while (index < count) {${FILTER_STEP}
    }`;
const MAP_LOOP = `
    for (let index: u32 = 0; index < count; index += 1) {
      at = index;
      if (user.map(changetype<Record>(pointer), changetype<Output>(out))) {
        kept += 1;
        out += Output.SIZE;
      }
      pointer += stride;
    }`;
const AGGREGATE_LOOP = `
    for (let index: u32 = 0; index < count; index += 1) {
      at = index;
      user.aggregate(changetype<Record>(pointer), changetype<Output>(out));
      pointer += stride;
    }
    kept = 1;`;

function loopSource(user: string, hasOutput: boolean): string {
  const outputs = hasOutput
    ? `else if (isDefined(user.map)) {${MAP_LOOP}\n  } else if (isDefined(user.aggregate)) {${AGGREGATE_LOOP}\n  }`
    : '';
  return `import * as user from ${JSON.stringify(`./${user.slice(0, -EXTENSION.length)}`)};
import { Record${hasOutput ? ', Output' : ''} } from "tailrace/record";
export const kind: i32 = isDefined(user.filter) ? 1 : isDefined(user.map) ? 2 : isDefined(user.aggregate) ? 3 : isDefined(user.run) ? ${RUN_ITSELF} : 0;
export let at: u32 = 0;
export function run(pointer: usize, count: u32, stride: u32, out: usize): u32 {
  let kept: u32 = 0;
  if (isDefined(user.run)) {
    at = -1;
    kept = user.run(pointer, count, stride, out);
  } else if (isDefined(user.filter)) {${FILTER_LOOP}
  } ${outputs}
  return kept;
}
`;
}

function recordSource({ record, output }: CompileOptions): string {
  const structs = output === undefined ? [record] : [record, output];
  const aliases = structs.flatMap(({ name }, index) => {
    const alias = index === 0 ? 'Record' : 'Output';
    return name === alias ? [] : [`export { ${name} as ${alias} };`];
  });
  return `${structs.map((struct) => struct.assembly()).join('')}${aliases.join('\n')}\n`;
}

/** What AssemblyScript says of a place in a file. */
interface Complaint {
  category: number;
  message: string;
  range: { start: number; source: { normalizedPath: string } } | null;
}

/** The module that a source makes, without limits. Throws KernelError with `diagnostics`. */
export async function compile(source: string, options: CompileOptions): Promise<Uint8Array<ArrayBuffer>> {
  const { name, file, output } = options;
  if (output !== undefined && output.name === options.record.name) {
    throw wrongArgument(`record and output are both called ${output.name}; give one of them another name`);
  }
  const asc = await compiler();
  const [, folder = '', base = ''] = /^(.*[\\/])?([^\\/]*)$/s.exec(file ?? '') ?? [];
  const user = base.endsWith(EXTENSION) && base !== LOOP ? base : USER;
  const own: Record<string, string> = {
    [user]: inlined(source),
    [LOOP]: loopSource(user, output !== undefined),
    [RECORD]: recordSource(options),
  };
  const read = file === undefined ? () => null : readerOf(folder);
  const first = await translate(asc, own, read);
  if (first.module !== undefined) return first.module;
  // What is wrong is told of the source as it was written; and it may be all right like that.
  own[user] = source;
  const { module, error, complaints, sourceOf } = await translate(asc, own, read);
  if (module !== undefined) return module;
  const nameOf = (path: string) => (path === user ? (file ?? USER) : folder + path);
  const diagnostics = complaints
    .filter(({ category }) => category === ERROR)
    .map((complaint) => diagnosticOf(complaint, sourceOf, nameOf));
  throw refused(name, diagnostics, error, output !== undefined);
}

/** What `asc` makes of files, and says of them. */
interface Translation {
  module: Uint8Array<ArrayBuffer> | undefined;
  error: Error | null;
  complaints: Complaint[];
  sourceOf: (path: string) => string;
}

async function translate(asc: Compiler, own: Record<string, string>, read: Read): Promise<Translation> {
  const others = new Map<string, string>();
  const complaints: Complaint[] = [];
  let module: Uint8Array<ArrayBuffer> | undefined;
  const words = [LOOP, '--outFile', OUTPUT, '--runtime', 'stub', '-O3', '--importMemory', '--noColors'];
  const { error } = await asc.main(words, {
    stdout: { write: () => undefined },
    stderr: { write: () => undefined },
    readFile: (path: string) => {
      if (Object.hasOwn(own, path)) return own[path]!;
      const text = path === CONFIGURATION ? null : read(path);
      if (text !== null) others.set(path, text);
      return text;
    },
    writeFile: (path: string, contents: string | Uint8Array) => {
      if (path === OUTPUT) module = Uint8Array.from(contents as Uint8Array);
    },
    listFiles: () => [],
    reportDiagnostic: (complaint: unknown) => void complaints.push(complaint as Complaint),
  });
  const sourceOf = (path: string) => own[path] ?? others.get(path) ?? '';
  return { module: error === null ? module : undefined, error, complaints, sourceOf };
}

/** The source with its filter marked for the loop to take in; at the end of the line before it, so that no place moves. */
function inlined(source: string): string {
  return source.replace(/\n(?=export function filter\b)/, ' @inline\n');
}

function refused(kernel: string, all: Diagnostic[], cause: unknown, hasOutput: boolean): KernelError {
  // A complaint about the loop is one about what the user's function takes or gives.
  const users = all.filter(({ file }) => !file.endsWith(LOOP));
  const diagnostics = users.length > 0 ? users : all;
  const [first] = diagnostics;
  const shapes = Object.entries(SHAPES).filter(([kind]) => hasOutput || kind === 'filter');
  const shape = `it has to have one of: ${shapes.map(([, shape]) => shape).join('; ')}`;
  const where = first && users.length > 0 ? `${first.file}:${first.line}:${first.column}: ${first.message}` : undefined;
  const more = diagnostics.length > 1 && where ? ` (and ${diagnostics.length - 1} more)` : '';
  const what = where ?? `${first?.message ?? String((cause as Error | null)?.message ?? cause)}; ${shape}`;
  return new KernelError(`the kernel "${kernel}" does not compile: ${what}${more}`, {
    kernel,
    reason: 'compile',
    diagnostics,
    cause,
  });
}

function diagnosticOf(
  { message, range }: Complaint,
  sourceOf: (path: string) => string,
  nameOf: (path: string) => string,
): Diagnostic {
  if (range === null) return { file: nameOf(LOOP), line: 1, column: 1, message, source: '' };
  const path = range.source.normalizedPath;
  const source = sourceOf(path);
  const before = source.slice(0, range.start).split('\n');
  const line = before.length;
  const text = source.split('\n')[line - 1] ?? '';
  return { file: nameOf(path), line, column: (before[line - 1]?.length ?? 0) + 1, message, source: text };
}

/** The part of `assemblyscript/asc` that is used here; its own types would have to be there for everybody. */
interface Compiler {
  main(words: string[], options: object): Promise<{ error: Error | null }>;
}

async function compiler(): Promise<Compiler> {
  try {
    return (await import('assemblyscript/asc')) as Compiler;
  } catch (error) {
    throw failure(
      'ERR_UNSUPPORTED',
      'compiling a kernel needs the npm package assemblyscript (0.28.20 or newer, below 0.29), which could not be loaded',
      error,
    );
  }
}
