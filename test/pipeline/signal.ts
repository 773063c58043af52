/** The 64 bytes of a signal: golden bytes from another language, and what cannot be a signal. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeSignal } from '../../sdk/pipeline/signal.ts';

const test = suite('pipeline signal');

/** What Python's struct.pack('<5Q2I2d', 1000, 2000, 7, 11, 300, 2, 5, 5853300.5, -0.25) gives. */
const GOLDEN =
  'e803000000000000d00700000000000007000000000000000b00000000000000' +
  '2c010000000000000200000005000000000000201d545641000000000000d0bf';

test('golden bytes', () => {
  assert.equal(decodeSignal(new Uint8Array(Buffer.from(GOLDEN, 'hex'))), {
    fromNs: 1000n,
    toNs: 2000n,
    firstPosition: 7n,
    lastPosition: 11n,
    volume: 300n,
    trades: 2,
    events: 5,
    vwap: 5_853_300.5,
    imbalance: -0.25,
  });
});

test('what cannot be is no signal', () => {
  const golden = Buffer.from(GOLDEN, 'hex');
  assert.is(decodeSignal(new Uint8Array(golden.subarray(0, 63))), undefined);
  const wrongs: [at: number, hex: string][] = [
    [0, 'ffff'],
    [16, '63'],
    [44, '00'],
    [44, '06'],
    [40, '06'],
    [40, '00'],
    [32, '0000'],
    [48, '0000000000000000'],
    [63, '41'],
    [56, '000000000000f87f'],
  ];
  for (const [at, hex] of wrongs) {
    const wrong = new Uint8Array(golden);
    wrong.set(Buffer.from(hex, 'hex'), at);
    assert.is(decodeSignal(wrong), undefined, `${hex} at ${at}`);
  }
});

test.run();
