import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  bool,
  bytes,
  f32,
  f64,
  type Infer,
  i8,
  i16,
  i32,
  i64,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
  wire,
  wireStruct,
} from '../sdk/index.ts';
import { parseSchema, parseStruct } from '../sdk/struct.ts';
import { failureOf } from './scratch.ts';

const structs = suite('struct');

const All = struct(
  { a: i8, b: u8, c: i16, d: u16, e: i32, f: u32, g: i64, h: u64, i: f32, j: f64, k: bool, l: bytes(3), m: text(5) },
  'All',
);

structs('lays fields out as C does', () => {
  const places = Object.fromEntries(All.fields.map(({ name, offset }) => [name, offset]));
  assert.equal(places, { a: 0, b: 1, c: 2, d: 4, e: 8, f: 12, g: 16, h: 24, i: 32, j: 40, k: 48, l: 49, m: 52 });
  assert.is(All.size, 64);
  assert.is(struct({ a: u8, b: u16, c: u8 }).size, 6);
  assert.is(struct({ a: bytes(3) }).size, 3);
});

structs('reads what it has written', () => {
  const values: Infer<typeof All> = {
    a: -128,
    b: 255,
    c: -32_768,
    d: 65_535,
    e: -(2 ** 31),
    f: 2 ** 32 - 1,
    g: -(2n ** 63n),
    h: 2n ** 64n - 1n,
    i: 0.5,
    j: Math.PI,
    k: true,
    l: Uint8Array.of(1, 2, 255),
    m: 'grün',
  };
  const record = All.encode(values);
  assert.is(record.length, All.size);
  assert.equal(All.read(record), values);
  const padded = new Uint8Array(100).fill(7);
  padded.set(record, 11);
  assert.equal(All.decode(new DataView(padded.buffer), 11), values);
  assert.equal(All.read(All.encode({})), {
    ...{ a: 0, b: 0, c: 0, d: 0, e: 0, f: 0, g: 0n, h: 0n, i: 0, j: 0, k: false, l: new Uint8Array(3), m: '' },
  });
});

structs('decodes the same without compiled code', () => {
  const made = globalThis.Function;
  const record = All.encode({ a: -1, g: -5n, j: 1.5, k: true, l: Uint8Array.of(9), m: 'ab' });
  try {
    globalThis.Function = class {
      constructor() {
        throw new EvalError('the policy of this page forbids it');
      }
    } as unknown as FunctionConstructor;
    const plain = parseStruct(All.toJSON());
    globalThis.Function = made;
    assert.equal(plain.read(record), All.read(record));
  } finally {
    globalThis.Function = made;
  }
});

structs('refuses what has no place', async () => {
  for (const [name, value] of [
    ['a', 128],
    ['b', -1],
    ['f', 2 ** 32],
    ['f', 1.5],
    ['g', 2n ** 63n],
    ['h', -1n],
    ['h', '7'],
    ['j', 1n],
    ['k', 1],
    ['l', new Uint8Array(4)],
    ['m', 'sechs!'],
    ['nothing', 1],
  ] as const) {
    const error = await failureOf(() => All.encode({ [name]: value } as object));
    assert.is(error.code, 'ERR_ARGUMENT', name);
    assert.match(error.message, name);
  }
  assert.match((await failureOf(() => All.read(new Uint8Array(63)))).message, /has 64 bytes, and these are 63/);
});

structs('refuses names and sizes that mean nothing', async () => {
  for (const fields of [{ 'a-b': u8 }, { '1a': u8 }, { constructor: u8 }, { 'a: view, b': u8 }, {}, { a: bytes }]) {
    assert.is((await failureOf(() => struct(fields as never))).code, 'ERR_ARGUMENT', JSON.stringify(fields));
  }
  assert.is((await failureOf(() => struct({ a: u8 }, 'a b'))).code, 'ERR_ARGUMENT');
  for (const size of [0, -1, 1.5, Number.NaN, 2 ** 30]) {
    assert.is((await failureOf(() => bytes(size))).code, 'ERR_ARGUMENT');
  }
  const json = All.toJSON();
  const far = { ...json, fields: [{ ...json.fields[0]!, offset: 64 }] };
  assert.match((await failureOf(() => parseStruct(far))).message, /has no place in 64 bytes/);
});

structs('describes itself to numpy, and to JSON', async () => {
  const { names, formats, offsets, itemsize } = All.dtype;
  assert.equal(names.slice(0, 4), ['a', 'b', 'c', 'd']);
  assert.equal(formats, ['i1', 'u1', '<i2', '<u2', '<i4', '<u4', '<i8', '<u8', '<f4', '<f8', '?', ['u1', [3]], 'S5']);
  assert.equal(offsets.at(-1), 52);
  assert.is(itemsize, 64);
  const schema = { record: { name: 'Tick', fields: { price: 'f64', symbol: 'text(4)', mark: 'bytes(2)' } } };
  const { record, output } = parseSchema(schema);
  assert.is(output, undefined);
  assert.equal(record?.toJSON(), struct({ price: f64, symbol: text(4), mark: bytes(2) }, 'Tick').toJSON());
  const values = record!.parse({ price: 1.5, symbol: 'AB', mark: '01ff' });
  assert.equal(values, { price: 1.5, symbol: 'AB', mark: Uint8Array.of(1, 255) });
  assert.equal(All.parse({ g: '-7', h: '18446744073709551615' }), { g: -7n, h: 2n ** 64n - 1n });
  assert.equal(parseSchema({ record: { wire: 'Event' } }).record?.toJSON(), wireStruct('Event').toJSON());
  for (const wrong of [{}, { record: {} }, { record: { fields: { a: 'f16' } } }, { record: { wire: 'Nothing' } }]) {
    assert.is((await failureOf(() => parseSchema(wrong))).code, 'ERR_ARGUMENT', JSON.stringify(wrong));
  }
});

structs('knows the messages of the book', () => {
  const order = wireStruct('NewOrder');
  const message = wire.encode({ message: 'NewOrder', account: 7, price: -5n, quantity: 12n, side: wire.SIDE_BUY });
  const { account, price, quantity, side, message_type: type } = order.read(message);
  const { message: name, ...fields } = wire.decode(message) as { message: string } & Record<string, unknown>;
  assert.is(name, 'NewOrder');
  assert.equal({ account, price, quantity, side }, { account: 7, price: -5n, quantity: 12n, side: wire.SIDE_BUY });
  assert.is(type, message[0]);
  assert.equal({ ...order.read(message), message_type: undefined }, { ...fields, message_type: undefined });
});

structs.run();
