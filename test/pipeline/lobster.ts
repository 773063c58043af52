/** LOBSTER files: the real sample, what a loop adds, and what is said about wrong lines. */
import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { InputError } from '../../sdk/crew/mistakes.ts';
import { parseLobster, Replay, readLobster } from '../../sdk/pipeline/lobster.ts';
import { emptyRecord, LAP_STRIDE } from '../../sdk/pipeline/record.ts';

const SAMPLE = new URL('../../../shared/oracles/lobster/message_10.csv', import.meta.url).pathname;
const test = suite('pipeline lobster');

const ROWS = '34200.004241176,1,16113575,18,5853300,1\n34200.00426064,3,16113575,18,5853300,1\n';

if (existsSync(SAMPLE)) {
  test('every row of the real sample comes back as it stands', () => {
    const rows = readLobster(SAMPLE);
    const lines = readFileSync(SAMPLE, 'utf8').trimEnd().split('\n');
    assert.is(rows.count, lines.length);
    const replay = new Replay(rows);
    const record = emptyRecord();
    for (const line of lines) {
      replay.next(record);
      const [time, ...fields] = line.split(',');
      assert.equal([record.type, record.orderId, record.size, record.price, record.side], fields.map(Number));
      assert.ok(Math.abs(record.timeNs / 1e9 - Number(time)) < 1e-9, line);
    }
  });
} else {
  test.skip('every row of the real sample comes back as it stands');
  console.log('skip: ../shared/oracles/lobster is not here');
}

test('a loop adds the lap to the ids and keeps everything else', () => {
  const replay = new Replay(parseLobster(ROWS, 'rows'));
  const record = emptyRecord();
  const seen: [number, number, number][] = [];
  for (let row = 0; row < 5; row++) {
    replay.next(record);
    seen.push([record.lap, record.orderId % LAP_STRIDE, Math.floor(record.orderId / LAP_STRIDE)]);
  }
  assert.equal(
    seen,
    [0, 0, 1, 1, 2].map((lap) => [lap, 16_113_575, lap]),
  );
  assert.is(record.timeNs, 34_200_004_241_176);
});

test('line ends of Windows and blank lines at the end are harmless', () => {
  assert.is(parseLobster(`${ROWS.replaceAll('\n', '\r\n')}\r\n\n`, 'rows').count, 2);
});

test('a halt has no order', () => {
  assert.is(parseLobster('34200.5,7,0,0,-1,-1\n', 'rows').count, 1);
});

const WRONG: [name: string, text: string, line: number, says: RegExp][] = [
  ['nothing', '', 0, /is empty/],
  ['blank lines', '\n \n', 0, /is empty/],
  ['a header', 'time,type,id,size,price,direction\n', 1, /time is "time"/],
  ['too few fields', '1,1,1,1,1\n', 1, /has 5 fields, not 6: time, type/],
  ['too many fields', '1,1,1,1,1,1,9\n', 1, /7 fields/],
  ['a blank line inside', `${ROWS}\n${ROWS}`, 3, /has 1 field,/],
  ['another day', '86400,1,1,1,1,1\n', 1, /seconds after midnight/],
  ['time as a power', '3.42e4,1,1,1,1,1\n', 1, /seconds after midnight/],
  ['time that goes back', `${ROWS}34200.0,1,1,1,1,1\n`, 3, /before that of the line above/],
  ['type 0', '1,0,1,1,1,1\n', 1, /type is "0"/],
  ['type 8', '1,8,1,1,1,1\n', 1, /1 to 7/],
  ['a negative id', '1,1,-5,1,1,1\n', 1, /order id is "-5"/],
  ['an id without end', '1,1,99999999999999999999,1,1,1\n', 1, /order id/],
  ['half a share', '1,1,1,0.5,1,1\n', 1, /size is "0.5"/],
  ['no shares', '1,1,1,0,1,1\n', 1, /size is "0"/],
  ['a price in dollars', '1,1,1,1,585.33,1\n', 1, /times 10,000/],
  ['a price below zero', '1,1,1,1,-5,1\n', 1, /price is "-5"/],
  ['no direction', '1,1,1,1,1,0\n', 1, /1 or -1/],
  ['an orderbook file', '5859400,200,5853300,18,5859800,200,5853000,150\n', 1, /8 fields/],
  ['bytes that are no text', '\u0000\u0001\ufffd\n', 1, /1 field,/],
];

for (const [name, text, line, says] of WRONG) {
  test(`wrong: ${name}`, () => {
    try {
      parseLobster(text, 'flow.csv');
    } catch (error) {
      assert.instance(error, InputError);
      assert.is((error as InputError).code, 'ERR_INPUT');
      assert.is((error as InputError).line, line);
      assert.match((error as InputError).message, says);
      assert.ok((error as InputError).message.startsWith(line > 0 ? `flow.csv:${line}: ` : 'flow.csv: '));
      return;
    }
    assert.unreachable('it was accepted');
  });
}

test('a replay goes on with any message, over laps', () => {
  const rows = parseLobster(`${ROWS}34201.0,1,7,100,5853300,1\n`, 'flow.csv');
  const all = new Replay(rows);
  const [expected, found] = [emptyRecord(), emptyRecord()];
  for (let index = 0; index < 3 * rows.count; index++) {
    all.next(expected);
    const one = new Replay(rows);
    one.seek(index);
    one.next(found);
    assert.equal(found, expected, `message ${index}`);
  }
});

test('a file that is not there', () => {
  assert.throws(
    () => readLobster('/no/such/file.csv'),
    (error: unknown) => error instanceof InputError && error.line === 0 && /ENOENT/.test(error.message),
  );
});

test.run();
