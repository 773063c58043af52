/**
 * Struct: a record that is declared once, for every language that reads it.
 *
 *     const Trade = struct({ price: f64, quantity: u32, symbol: text(8) }, 'Trade');
 *
 * gives a TypeScript type (`Infer<typeof Trade>`), a decoder and an encoder, numpy's description of the dtype, and the
 * class that a kernel in AssemblyScript imports. Fields lie as C lays them out, little-endian: each at a multiple of its
 * own size, the whole as large as a multiple of the largest; what is between them is zero.
 *
 * The decoder is compiled: source text made of checked names and numbers, which took 35 ns for six fields where a loop
 * over closures took 140. Where code may not be made from strings, a page with a strict policy, the loop decodes.
 */
import { wrongArgument } from './error.ts';
import { MESSAGES } from './generated/messages.ts';

/** What a field can be. */
export type FieldKind =
  | 'i8'
  | 'u8'
  | 'i16'
  | 'u16'
  | 'i32'
  | 'u32'
  | 'i64'
  | 'u64'
  | 'f32'
  | 'f64'
  | 'bool'
  | 'bytes'
  | 'text';

/** One kind of field; `Value` is what it is in TypeScript. */
export interface Field<Value = unknown> {
  readonly kind: FieldKind;
  /** Bytes. */
  readonly size: number;
  /** Never there: the type that the compiler remembers. */
  readonly value?: Value;
}

/** Fields by their names, in the order in which they lie. */
export type Fields = Readonly<Record<string, Field>>;
/** The values of fields. */
export type Values<F extends Fields> = {
  -readonly [Name in keyof F]: F[Name] extends Field<infer Value> ? Value : never;
};
/** The type of a struct's records. */
export type Infer<S> = S extends Struct<infer F> ? Values<F> : never;

/** Where a field lies. */
export interface Place {
  readonly name: string;
  readonly kind: FieldKind;
  readonly offset: number;
  readonly size: number;
}

/** What `numpy.dtype` takes. */
export interface DtypeDescription {
  names: string[];
  formats: (string | [string, [number]])[];
  offsets: number[];
  itemsize: number;
}

/** A struct as JSON, as a compiled kernel carries it. */
export interface StructDescription {
  name: string;
  size: number;
  fields: Place[];
}

export const i8: Field<number> = { kind: 'i8', size: 1 };
export const u8: Field<number> = { kind: 'u8', size: 1 };
export const i16: Field<number> = { kind: 'i16', size: 2 };
export const u16: Field<number> = { kind: 'u16', size: 2 };
export const i32: Field<number> = { kind: 'i32', size: 4 };
export const u32: Field<number> = { kind: 'u32', size: 4 };
export const i64: Field<bigint> = { kind: 'i64', size: 8 };
export const u64: Field<bigint> = { kind: 'u64', size: 8 };
export const f32: Field<number> = { kind: 'f32', size: 4 };
export const f64: Field<number> = { kind: 'f64', size: 8 };
/** One byte, 0 or 1. */
export const bool: Field<boolean> = { kind: 'bool', size: 1 };

/** So many bytes. */
export function bytes(size: number): Field<Uint8Array> {
  return { kind: 'bytes', size: checkedSize(size) };
}

/** UTF-8 in so many bytes, with zeros behind it. */
export function text(size: number): Field<string> {
  return { kind: 'text', size: checkedSize(size) };
}

const SIZE_MAX = 1 << 20;
const NAME = /^[A-Za-z_]\w{0,63}$/;
/** Names that mean something else in one of the languages. */
const TAKEN = new Set(['constructor', 'prototype', 'SIZE', 'this', '__proto__']);
const ALIGNMENT_MAX = 8;

function bytesOf(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/[\da-f]{2}/gi) ?? [], (pair) => Number.parseInt(pair, 16));
}

function checkedSize(size: number): number {
  if (Number.isSafeInteger(size) && size >= 1 && size <= SIZE_MAX) return size;
  throw wrongArgument(`a field of ${size} bytes; give a whole number from 1 to ${SIZE_MAX}`);
}

const GETTERS: Partial<Record<FieldKind, string>> = {
  i8: 'Int8',
  u8: 'Uint8',
  bool: 'Uint8',
  i16: 'Int16',
  u16: 'Uint16',
  i32: 'Int32',
  u32: 'Uint32',
  i64: 'BigInt64',
  u64: 'BigUint64',
  f32: 'Float32',
  f64: 'Float64',
};

const FORMATS: Partial<Record<FieldKind, string>> = {
  i8: 'i1',
  u8: 'u1',
  bool: '?',
  i16: '<i2',
  u16: '<u2',
  i32: '<i4',
  u32: '<u4',
  i64: '<i8',
  u64: '<u8',
  f32: '<f4',
  f64: '<f8',
};

const LIMITS: Partial<Record<FieldKind, readonly [least: bigint, most: bigint]>> = Object.fromEntries(
  [8, 16, 32, 64].flatMap((bits) => {
    const half = 1n << BigInt(bits - 1);
    return [
      [`i${bits}`, [-half, half - 1n]],
      [`u${bits}`, [0n, 2n * half - 1n]],
    ];
  }),
);

type Decode = (view: DataView, at: number) => Record<string, unknown>;

/** A record's layout. */
export class Struct<F extends Fields = Fields> {
  /** The class in AssemblyScript. */
  readonly name: string;
  /** Bytes of a record. */
  readonly size: number;
  readonly fields: readonly Place[];
  readonly #decode: Decode;

  /** @internal */
  constructor(name: string, size: number, fields: readonly Place[]) {
    checkNames([name, ...fields.map((field) => field.name)]);
    for (const { name: field, offset, size: length, kind } of fields) {
      const isKnown = kind === 'bytes' || kind === 'text' || Object.hasOwn(GETTERS, kind);
      if (!isKnown || !(Number.isSafeInteger(offset) && offset >= 0 && offset + checkedSize(length) <= size)) {
        throw wrongArgument(`field ${field} of ${name} has no place in ${size} bytes`);
      }
    }
    this.name = name;
    this.size = checkedSize(size);
    this.fields = fields;
    this.#decode = compiled(fields);
  }

  /** The record that begins at `at`. */
  decode(view: DataView, at = 0): Values<F> {
    return this.#decode(view, at) as Values<F>;
  }

  /** The record in bytes. Throws ERR_ARGUMENT when they are more or fewer than one. */
  read(payload: Uint8Array): Values<F> {
    if (payload.length !== this.size) {
      throw wrongArgument(
        `these bytes are no ${this.name}: it has ${this.size} bytes, and these are ${payload.length}`,
      );
    }
    return this.decode(new DataView(payload.buffer, payload.byteOffset, payload.length));
  }

  /** The bytes of a record; what is left out is zero. Throws ERR_ARGUMENT when a value has no place in its field. */
  encode(values: Partial<Values<F>>): Uint8Array<ArrayBuffer> {
    const record = new Uint8Array(this.size);
    const view = new DataView(record.buffer);
    for (const [name, value] of Object.entries(values)) {
      const field = this.fields.find((known) => known.name === name);
      if (field === undefined) {
        throw wrongArgument(`${this.name} has no field ${name}; it has ${this.fields.map((f) => f.name).join(', ')}`);
      }
      if (value !== undefined) put(view, this.name, field, value);
    }
    return record;
  }

  /** What `numpy.dtype` takes. */
  get dtype(): DtypeDescription {
    return {
      names: this.fields.map((field) => field.name),
      formats: this.fields.map(({ kind, size }) => FORMATS[kind] ?? (kind === 'text' ? `S${size}` : ['u1', [size]])),
      offsets: this.fields.map((field) => field.offset),
      itemsize: this.size,
    };
  }

  /** A class in AssemblyScript: each field as a property; of bytes and text their address and their length. */
  assembly(): string {
    const lines = this.fields.flatMap(({ name, kind, offset, size }) => {
      if (kind === 'bytes' || kind === 'text') {
        return [
          `@inline static readonly ${name}_length: i32 = ${size};`,
          `@inline get ${name}(): usize { return changetype<usize>(this) + ${offset}; }`,
        ];
      }
      return [
        `@inline get ${name}(): ${kind} { return load<${kind}>(changetype<usize>(this), ${offset}); }`,
        `@inline set ${name}(value: ${kind}) { store<${kind}>(changetype<usize>(this), value, ${offset}); }`,
      ];
    });
    const size = `@inline static readonly SIZE: u32 = ${this.size};`;
    return `@unmanaged\nexport class ${this.name} {\n  ${[size, ...lines].join('\n  ')}\n}\n`;
  }

  /** The same class as an editor reads it. */
  declaration(): string {
    const lines = this.fields.map(({ name, kind }) =>
      kind === 'bytes' || kind === 'text'
        ? `static readonly ${name}_length: i32; readonly ${name}: usize;`
        : `${name}: ${kind};`,
    );
    return `export class ${this.name} {\n  static readonly SIZE: u32;\n  ${lines.join('\n  ')}\n}\n`;
  }

  /** Values as JSON has them: whole numbers of 64 bits as text, bytes as hexadecimal digits. */
  parse(json: Record<string, unknown>): Partial<Values<F>> {
    const parsed = Object.entries(json).map(([name, value]) => {
      const kind = this.fields.find((field) => field.name === name)?.kind;
      if (typeof value !== 'string') return [name, value];
      if (kind === 'bytes') return [name, bytesOf(value)];
      return [name, (kind === 'i64' || kind === 'u64') && /^-?\d+$/.test(value) ? BigInt(value) : value];
    });
    return Object.fromEntries(parsed) as Partial<Values<F>>;
  }

  toJSON(): StructDescription {
    return { name: this.name, size: this.size, fields: [...this.fields] };
  }
}

/** A record of these fields, in this order. Throws ERR_ARGUMENT for names that are not words of letters and digits. */
export function struct<const F extends Fields>(fields: F, name = 'Record'): Struct<F> {
  const places: Place[] = [];
  let offset = 0;
  let alignment = 1;
  for (const [field, { kind, size }] of Object.entries(fields)) {
    const own = kind === 'bytes' || kind === 'text' ? 1 : Math.min(size, ALIGNMENT_MAX);
    offset = alignedTo(offset, own);
    alignment = Math.max(alignment, own);
    places.push({ name: field, kind, offset, size });
    offset += size;
  }
  if (places.length === 0) throw wrongArgument(`${name} has no fields; give at least one`);
  return new Struct<F>(name, alignedTo(offset, alignment), places);
}

type Shapes = typeof MESSAGES;
type WireField<K> = K extends 'u64' | 'i64' ? Field<bigint> : K extends 'bytes' ? Field<Uint8Array> : Field<number>;
type WireFields<N extends keyof Shapes> = (Shapes[N]['type'] extends number
  ? { message_type: Field<number> }
  : unknown) & {
  [F in keyof Shapes[N]['fields'] as Shapes[N]['fields'][F] extends { kind: 'zeros' } ? never : F]: WireField<
    Shapes[N]['fields'][F] extends { kind: infer K } ? K : never
  >;
};

/** A message or record of a book (`wire`) as a struct. */
export function wireStruct<N extends keyof Shapes>(name: N): Struct<WireFields<N>> {
  if (!Object.hasOwn(MESSAGES, name)) throw wrongArgument(`name is ${String(name)}; give that of a message of wire`);
  const { type, size, fields } = MESSAGES[name];
  const first: Place[] = type === undefined ? [] : [{ name: 'message_type', kind: 'u8', offset: 0, size: 1 }];
  const places = Object.entries(fields as Record<string, { offset: number; size: number; kind: string }>)
    .filter(([, { kind }]) => kind !== 'zeros')
    .map(([field, place]) => ({ ...place, name: field, kind: place.kind as FieldKind }));
  return new Struct(name, size, [...first, ...places]);
}

/** The struct that was written as JSON. Throws ERR_ARGUMENT when it is none. */
export function parseStruct(description: StructDescription): Struct {
  const { name, size, fields } = description;
  if (!Array.isArray(fields)) throw wrongArgument('a struct has a list of fields');
  return new Struct(name, size, fields);
}

const SIZED = /^(bytes|text)\((\d+)\)$/;
const PLAIN: Readonly<Record<string, Field>> = { i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, bool };

/**
 * Structs as a schema's JSON has them: `{ "record": { "name": "Trade", "fields": { "price": "f64" } }, "output": … }`, each
 * also `{ "wire": "Event" }`, or as `JSON.stringify` writes a struct. Throws ERR_ARGUMENT with what is wrong.
 */
export function parseSchema(schema: Record<string, unknown>): { record?: Struct; output?: Struct } {
  const found: { record?: Struct; output?: Struct } = {};
  for (const part of ['record', 'output'] as const) {
    const told = schema[part] as { wire?: string; name?: string; fields?: unknown } | undefined;
    if (told === undefined) continue;
    if (typeof told.wire === 'string') found[part] = wireStruct(told.wire as 'Event') as unknown as Struct;
    else if (Array.isArray(told.fields)) found[part] = parseStruct(told as StructDescription);
    else found[part] = struct(fieldsOf(part, told.fields), told.name ?? (part === 'record' ? 'Record' : 'Output'));
  }
  if (found.record === undefined) throw wrongArgument('the schema has no "record": { "name": …, "fields": { … } }');
  return found;
}

function fieldsOf(part: string, told: unknown): Fields {
  if (typeof told !== 'object' || told === null) throw wrongArgument(`"${part}" of the schema has no "fields"`);
  const fields = Object.entries(told).map(([name, kind]) => {
    const [, sized, size] = SIZED.exec(String(kind)) ?? [];
    const field = sized === undefined ? PLAIN[String(kind)] : { bytes, text }[sized as 'bytes' | 'text'](Number(size));
    if (field !== undefined) return [name, field];
    const kinds = Object.keys(PLAIN).join(', ');
    throw wrongArgument(`field ${name} is of the kind ${String(kind)}; give one of ${kinds}, bytes(8), text(8)`);
  });
  return Object.fromEntries(fields) as Fields;
}

function alignedTo(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

function checkNames(names: string[]): void {
  for (const name of names) {
    if (typeof name === 'string' && NAME.test(name) && !TAKEN.has(name)) continue;
    throw wrongArgument(`"${String(name)}" cannot be the name of a field or struct; give a word of letters and digits`);
  }
}

function compiled(fields: readonly Place[]): Decode {
  const parts = fields.map(({ name, kind, offset, size }) => {
    const getter = GETTERS[kind];
    if (getter === undefined) return `${name}: ${kind}(view, at + ${offset}, ${size})`;
    return `${name}: view.get${getter}(at + ${offset}, true)${kind === 'bool' ? ' !== 0' : ''}`;
  });
  try {
    const made = new Function('bytes', 'text', `return (view, at) => ({ ${parts.join(', ')} });`);
    return made(takeBytes, takeText) as Decode;
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    return (view, at) => Object.fromEntries(fields.map((field) => [field.name, take(view, at, field)]));
  }
}

function take(view: DataView, at: number, { kind, offset, size }: Place): unknown {
  if (kind === 'bytes') return takeBytes(view, at + offset, size);
  if (kind === 'text') return takeText(view, at + offset, size);
  const getter = `get${GETTERS[kind]}` as 'getUint32';
  return kind === 'bool' ? view.getUint8(at + offset) !== 0 : view[getter](at + offset, true);
}

function takeBytes(view: DataView, at: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, size).slice();
}

const utf8 = new TextDecoder();

function takeText(view: DataView, at: number, size: number): string {
  const record = takeBytes(view, at, size);
  const end = record.indexOf(0);
  return utf8.decode(end < 0 ? record : record.subarray(0, end));
}

function put(view: DataView, struct: string, { name, kind, offset, size }: Place, value: unknown): void {
  if (kind === 'bytes' || kind === 'text') {
    const content = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    if (!(content instanceof Uint8Array) || content.length > size) {
      throw wrongArgument(`${name} of ${struct} must be ${kind} of at most ${size} bytes`);
    }
    new Uint8Array(view.buffer, offset, size).set(content);
    return;
  }
  if (kind === 'f32' || kind === 'f64' || kind === 'bool') {
    if (typeof value !== (kind === 'bool' ? 'boolean' : 'number')) {
      throw wrongArgument(`${name} of ${struct} is ${String(value)}; give a ${kind === 'bool' ? 'boolean' : 'number'}`);
    }
    if (kind === 'f64') view.setFloat64(offset, value as number, true);
    else if (kind === 'f32') view.setFloat32(offset, value as number, true);
    else view.setUint8(offset, value === true ? 1 : 0);
    return;
  }
  const [least, most] = LIMITS[kind]!;
  const isWhole = typeof value === 'bigint' || Number.isSafeInteger(value);
  const number = isWhole ? BigInt(value as number | bigint) : undefined;
  if (number === undefined || number < least || number > most) {
    throw wrongArgument(`${name} of ${struct} is ${String(value)}; give a whole number from ${least} to ${most}`);
  }
  const setter = `set${GETTERS[kind]}` as 'setUint32';
  view[setter](offset, (size === 8 ? number : Number(number)) as number, true);
}
