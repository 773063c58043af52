/** The 40 bytes of a record: golden bytes written by hand, round trips at the edges, and a digest that sees each word. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeRecord, digestRecord, emptyRecord, encodeRecord, RECORD_BYTES } from '../../sdk/pipeline/record.ts';

const test = suite('pipeline record');

/** The bytes are what Python's struct.pack('<QQqIBbHII', …) makes of the same numbers. */
const GOLDEN = {
  record: {
    timeNs: 34_200_004_241_176,
    orderId: 16_113_575 + 3 * 2 ** 36,
    price: 5_853_300,
    size: 18,
    type: 1,
    side: -1,
    lap: 3,
    run: 7,
    counter: 4_294_967_295,
  },
  hex: '18a71acf1a1f0000a7dff5003000000074505900000000001200000001ff030007000000ffffffff',
};

function encoded(record: typeof GOLDEN.record): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES);
  encodeRecord(new DataView(bytes.buffer), 0, record);
  return bytes;
}

test('golden bytes', () => {
  assert.is(Buffer.from(encoded(GOLDEN.record)).toString('hex'), GOLDEN.hex);
  const record = emptyRecord();
  const bytes = new Uint8Array(Buffer.from(GOLDEN.hex, 'hex'));
  decodeRecord(new DataView(bytes.buffer), 0, record);
  assert.equal(record, GOLDEN.record);
});

test('the edges of each field come back', () => {
  const edges = [
    { ...GOLDEN.record, timeNs: 0, orderId: 0, price: -1, size: 0, side: 1, lap: 65_535, run: 0, counter: 0 },
    { ...GOLDEN.record, timeNs: 86_399_999_999_999, orderId: 2 ** 53 - 1, price: 2 ** 53 - 1, size: 2 ** 32 - 1 },
    { ...GOLDEN.record, price: -(2 ** 53 - 1), type: 7, run: 2 ** 32 - 1 },
  ];
  for (const edge of edges) {
    const record = emptyRecord();
    decodeRecord(new DataView(encoded(edge).buffer), 0, record);
    assert.equal(record, edge);
  }
});

test('each bit changes the digest', () => {
  const bytes = encoded(GOLDEN.record);
  const view = new DataView(bytes.buffer);
  const digest = digestRecord(view, 0);
  for (let bit = 0; bit < RECORD_BYTES * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assert.is.not(digestRecord(view, 0), digest, `bit ${bit}`);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
  assert.is(digestRecord(view, 0), digest);
});

test.run();
