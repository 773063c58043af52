/**
 * Wire: the messages of a book as objects and as bytes, by the table that all languages share.
 *
 * `encode` refuses what has no place in a field, and `decode` refuses bytes that say nothing: another length than the
 * type's, a type that nobody knows, padding that is not zero. What a readable message asks for is judged by the book,
 * which answers with an event. Whole numbers of 64 bits are bigints in what is read; in what is written a number will
 * do.
 */
import { TailraceError, wrongArgument } from './error.ts';
import { MESSAGES } from './generated/messages.ts';

export * from './generated/messages.ts';

type Shapes = typeof MESSAGES;
type Kind = 'u8' | 'u16' | 'u32' | 'u64' | 'i64' | 'bytes' | 'zeros';
type Field = { readonly offset: number; readonly size: number; readonly kind: Kind };
type Shape = {
  readonly type: number | undefined;
  readonly size: number;
  readonly fields: Readonly<Record<string, Field>>;
};

type Read = { u8: number; u16: number; u32: number; u64: bigint; i64: bigint; bytes: Uint8Array; zeros: never };
type Written = Omit<Read, 'u64' | 'i64'> & { u64: bigint | number; i64: bigint | number };

type FieldsOf<N extends keyof Shapes> = Shapes[N]['fields'];
type KindOf<F> = F extends { readonly kind: infer K extends Kind } ? K : never;
type Named<N extends keyof Shapes, Values extends Record<Kind, unknown>> = {
  [F in keyof FieldsOf<N> as KindOf<FieldsOf<N>[F]> extends 'zeros' ? never : F]: Values[KindOf<FieldsOf<N>[F]>];
};

/** Names of everything that has a layout. */
export type Name = keyof Shapes;
/** Names of messages, which have a type. */
export type MessageName = { [N in Name]: Shapes[N]['type'] extends number ? N : never }[Name];
/** The fields of a message or record, as they are read. */
export type Fields<N extends Name> = Named<N, Read>;
/** The fields of a message or record, as they are written; what is left out is zero. */
export type SomeFields<N extends Name> = Partial<Named<N, Written>>;
/** A message that was read: its name, and its fields. */
export type Decoded<N extends MessageName = MessageName> = { [M in N]: { message: M } & Fields<M> }[N];
/** A message to write. */
export type Encodable<N extends MessageName = MessageName> = { [M in N]: { message: M } & SomeFields<M> }[N];

const RANGES: Readonly<Record<string, readonly [least: bigint, most: bigint]>> = {
  u8: [0n, 0xffn],
  u16: [0n, 0xffffn],
  u32: [0n, 0xffff_ffffn],
  u64: [0n, 0xffff_ffff_ffff_ffffn],
  i64: [-(1n << 63n), (1n << 63n) - 1n],
};

const NAMES = new Map<number, MessageName>();
for (const [name, { type }] of Object.entries(MESSAGES)) {
  if (type !== undefined) NAMES.set(type, name as MessageName);
}

function shapeOf(name: unknown): Shape {
  const shape = Object.hasOwn(MESSAGES, name as string) ? MESSAGES[name as Name] : undefined;
  if (shape === undefined) {
    throw wrongArgument(`message is ${String(name)}; give the name of one: ${Object.keys(MESSAGES).join(', ')}`);
  }
  return shape;
}

function checked(name: string, field: string, kind: Kind, value: unknown): bigint {
  const [least, most] = RANGES[kind] as [bigint, bigint];
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) {
    const number = BigInt(value as bigint | number);
    if (number >= least && number <= most) return number;
  }
  throw wrongArgument(`${field} of ${name} is ${String(value)}; give a whole number from ${least} to ${most}`);
}

function put(view: DataView, at: number, name: string, field: string, { offset, size, kind }: Field, value: unknown) {
  const place = at + offset;
  if (kind === 'bytes') {
    if (!(value instanceof Uint8Array) || value.length > size) {
      throw wrongArgument(`${field} of ${name} must be a Uint8Array of at most ${size} bytes`);
    }
    new Uint8Array(view.buffer, view.byteOffset + place, size).set(value);
    return;
  }
  const number = checked(name, field, kind, value);
  if (kind === 'u64') view.setBigUint64(place, number, true);
  else if (kind === 'i64') view.setBigInt64(place, number, true);
  else if (kind === 'u32') view.setUint32(place, Number(number), true);
  else if (kind === 'u16') view.setUint16(place, Number(number), true);
  else view.setUint8(place, Number(number));
}

function take(view: DataView, at: number, { offset, size, kind }: Field): unknown {
  const place = at + offset;
  if (kind === 'u64') return view.getBigUint64(place, true);
  if (kind === 'i64') return view.getBigInt64(place, true);
  if (kind === 'u32') return view.getUint32(place, true);
  if (kind === 'u16') return view.getUint16(place, true);
  if (kind === 'u8') return view.getUint8(place);
  return new Uint8Array(view.buffer, view.byteOffset + place, size).slice();
}

/** Writes fields over zeros at `at`; the rest of the library packs batches with it. */
export function write(view: DataView, at: number, name: Name, fields: object): void {
  const shape = shapeOf(name);
  if (shape.type !== undefined) view.setUint8(at, shape.type);
  for (const [field, value] of Object.entries(fields)) {
    const place = Object.hasOwn(shape.fields, field) ? shape.fields[field] : undefined;
    if (place === undefined || place.kind === 'zeros') {
      if (field === 'message') continue;
      throw wrongArgument(`${name} has no field ${field}; it has ${Object.keys(shape.fields).join(', ')}`);
    }
    if (value !== undefined) put(view, at, name, field, place, value);
  }
}

function corrupt(message: string): TailraceError {
  return new TailraceError('ERR_CORRUPT', `${message}; whoever sent them speaks something else`);
}

/** The bytes of a message. */
export function encode(message: Encodable): Uint8Array<ArrayBuffer> {
  return encodeAs(message.message, message as SomeFields<MessageName>);
}

/** The bytes of a message or a record. */
export function encodeAs<N extends Name>(name: N, fields: SomeFields<N>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(shapeOf(name).size);
  write(new DataView(bytes.buffer), 0, name, fields);
  return bytes;
}

/** Bytes of a message of this type; undefined for a type that nobody knows. */
export function sizeOfType(type: number): number | undefined {
  const name = NAMES.get(type);
  return name === undefined ? undefined : MESSAGES[name].size;
}

/** The message that bytes say. Throws ERR_CORRUPT when they say nothing. */
export function decode(bytes: Uint8Array): Decoded {
  const name = NAMES.get(bytes[0] ?? -1);
  if (name === undefined) {
    const seen = bytes.length === 0 ? 'there are no bytes' : `the type is ${bytes[0]}, which no message has`;
    throw corrupt(`these bytes are no message: ${seen}`);
  }
  return { message: name, ...decodeAs(name, bytes) } as Decoded;
}

/** The fields of a message or a record of this name. Throws ERR_CORRUPT when the bytes are something else. */
export function decodeAs<N extends Name>(name: N, bytes: Uint8Array): Fields<N> {
  const { type, size, fields } = shapeOf(name);
  if (bytes.length !== size) {
    throw corrupt(`these bytes are no ${name}: it has ${size} bytes, and these are ${bytes.length}`);
  }
  if (type !== undefined && bytes[0] !== type) {
    throw corrupt(`these bytes are no ${name}: its type is ${type}, and theirs is ${bytes[0]}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const read: Record<string, unknown> = {};
  for (const [field, place] of Object.entries(fields)) {
    if (place.kind !== 'zeros') read[field] = take(view, 0, place);
    else if (bytes.subarray(place.offset, place.offset + place.size).some((byte) => byte !== 0)) {
      throw corrupt(`these bytes are no ${name}: byte ${place.offset} and its neighbours are not zero`);
    }
  }
  return read as Fields<N>;
}
