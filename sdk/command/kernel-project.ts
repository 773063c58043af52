/**
 * Project: the folder of a kernel, and what is made of it.
 *
 * ```text
 * kernel.ts      the source, AssemblyScript
 * schema.json    { "record": { "name": "Trade", "fields": { "price": "f64", "symbol": "text(8)" } }, "output": … };
 *                or { "wire": "Event" }, a message of the book. A module (.js, .mjs) that exports `record` and `output`,
 *                structs of an application, will do as well
 * vectors.json   { "records": [ … ], "kept": [ indexes ] } or { "records": [ … ], "output": [ … ] }
 * record.d.ts    what an editor knows of 'tailrace/record'; written by build
 * tsconfig.json  that an editor reads AssemblyScript
 * kernel.wasm    the built kernel
 * ```
 *
 * Whole numbers of 64 bits stand in JSON as decimal text, bytes as hexadecimal digits.
 */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { failure, wrongArgument } from '../error.ts';
import type { KernelKind } from '../kernel/compile.ts';
import { kernel } from '../kernel/door.ts';
import type { Kernel, KernelOptions } from '../kernel/kernel.ts';
import { parseSchema, type Struct } from '../struct.ts';
import { EXAMPLES } from './kernel-examples.ts';
import type { Paper } from './paper.ts';

/** What may be said of a kernel when it is made. */
export interface Making {
  schema: string | undefined;
  name: string | undefined;
  kind: KernelKind | undefined;
  memoryBytes: number | undefined;
}

const SOURCE = 'kernel.ts';
const SCHEMA = 'schema.json';
const VECTORS = 'vectors.json';
const BUILT = 'kernel.wasm';
/** Room for the records of a test, which go through the kernel at once. */
const VECTORS_BYTES = 1 << 26;

/** Writes the files of a new kernel. Throws ERR_EXISTS when the folder is there and not empty. */
export function newKernel(paper: Paper, folder: string, kind: KernelKind): void {
  const files = EXAMPLES[kind];
  mkdirSync(folder, { recursive: true });
  for (const name of Object.keys(files)) {
    if (existsSync(join(folder, name))) throw failure('ERR_EXISTS', `${join(folder, name)} is there already`);
  }
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), text);
    paper.line(join(folder, name));
  }
  paper.remark(`next: tailrace kernel test ${folder}; tailrace kernel build ${folder}`, 'dim');
}

/** The source or the module that was named: a file, or what a folder has. */
function fileOf(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return join(path, SOURCE);
  if (!existsSync(path)) throw failure('ERR_NOT_FOUND', `${path} is not there`);
  return path;
}

/** The kernel that was named. */
export async function openKernel(
  path: string,
  making: Making,
  options: Pick<KernelOptions, 'type' | 'others' | 'budget' | 'stagingBytes'> = {},
): Promise<Kernel> {
  const file = fileOf(path);
  const schema = making.schema ?? join(dirname(file), SCHEMA);
  const structs = making.schema !== undefined || existsSync(schema) ? await readSchema(schema) : {};
  const { kind, memoryBytes } = making;
  const name = making.name ?? nameOf(file);
  return kernel(pathToFileURL(file), { ...structs, ...options, file, name, kind, memoryBytes });
}

/** `trades/kernel.ts` is called trades. */
function nameOf(file: string): string {
  const name = basename(file).replace(/\.\w+$/, '');
  return name === 'kernel' ? basename(dirname(resolve(file))) : name;
}

async function readSchema(file: string): Promise<{ record?: Struct; output?: Struct }> {
  if (!file.endsWith('.json')) {
    const { record, output } = await import(pathToFileURL(resolve(file)).href);
    return parseSchema({ record: record?.toJSON?.(), output: output?.toJSON?.() });
  }
  return parseSchema(readJson(file) as Record<string, unknown>);
}

function readJson(file: string): unknown {
  if (!existsSync(file)) throw failure('ERR_NOT_FOUND', `${file} is not there`);
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw wrongArgument(`${file} is no JSON: ${(error as Error).message}`);
  }
}

/** Compiles a kernel, puts its limits in, and writes it to a file. */
export async function buildKernel(paper: Paper, path: string, making: Making, out: string | undefined): Promise<void> {
  const file = fileOf(path);
  const target = out ?? (file.endsWith('.wasm') ? undefined : join(dirname(file), BUILT));
  if (target === undefined) throw wrongArgument(`${file} is a module already; say with --out where the kernel goes`);
  const built = await openKernel(path, making);
  writeFileSync(target, built.wasm);
  if (!file.endsWith('.wasm')) writeFileSync(join(dirname(file), 'record.d.ts'), declarations(built));
  paper.table(
    [
      { title: 'FILE', value: (row) => row.file },
      { title: 'NAME', value: (row) => row.name },
      { title: 'KIND', value: (row) => row.kind },
      { title: 'RECORD', value: (row) => row.record },
      { title: 'BYTES', value: (row) => row.bytes },
    ],
    [{ file: target, name: built.name, kind: built.kind, record: built.record.name, bytes: built.wasm.length }],
  );
}

function declarations({ record, output }: Kernel): string {
  const structs = output === undefined ? [record] : [record, output];
  const aliases = structs.flatMap(({ name }, index) => {
    const alias = index === 0 ? 'Record' : 'Output';
    return name === alias ? [] : [`  export { ${name} as ${alias} };\n`];
  });
  const classes = structs.map((struct) => struct.declaration().replaceAll(/^(?=.)/gm, '  '));
  return `declare module 'tailrace/record' {\n${classes.join('')}${aliases.join('')}}\n`;
}

interface Vectors {
  records: Record<string, unknown>[];
  kept?: number[];
  output?: Record<string, unknown>[];
}

/** Runs a kernel over the records of a file, and compares; whether all is as it should be. */
export async function testKernel(
  paper: Paper,
  path: string,
  making: Making,
  file: string | undefined,
): Promise<boolean> {
  const tested = await openKernel(path, making, { stagingBytes: VECTORS_BYTES });
  const vectors = readJson(file ?? join(dirname(fileOf(path)), VECTORS)) as Vectors;
  const records = vectors.records.map((record) => tested.record.encode(tested.record.parse(record)));
  const struct = tested.output ?? tested.record;
  const expected = expectedOf(vectors, struct, records);
  const results = tested.apply(Buffer.concat(records));
  let failed = 0;
  for (let index = 0; index < Math.max(results.length, expected.length); index += 1) {
    const [seen, wanted] = [results.bytes(index), expected[index]];
    if (seen && wanted && Buffer.compare(seen, wanted) === 0) continue;
    failed += 1;
    const tell = (bytes: Uint8Array | undefined) => (bytes ? shown(struct.read(bytes)) : 'nothing');
    paper.line(`${tested.kind} ${index}: ${tell(wanted)} was expected, and ${tell(seen)} came`);
  }
  const { turns } = tested.counters;
  if (paper.isJson) paper.json({ records: records.length, kept: results.length, failed, turns });
  else paper.line(`${records.length} records, ${results.length} kept, ${failed} wrong, ${turns} turns`);
  return failed === 0;
}

function expectedOf({ kept, output }: Vectors, struct: Struct, records: Uint8Array[]): Uint8Array[] {
  if (output !== undefined) return output.map((record) => struct.encode(struct.parse(record)));
  if (kept === undefined) throw wrongArgument('the vectors say neither "kept" nor "output"');
  return kept.map((index) => {
    const record = records[index];
    if (record === undefined) throw wrongArgument(`"kept" names record ${index}, and there are ${records.length}`);
    return record;
  });
}

/** A record for people and for JSON. */
export function shown(record: object): string {
  return JSON.stringify(record, (_, value) => {
    if (typeof value === 'bigint') return String(value);
    return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
  });
}
