/** Laps: any place of the flow can be reached at once, and what comes from there is what would have come anyway. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Book } from '../../sdk/pipeline/book.ts';
import { Flow } from '../../sdk/pipeline/flow.ts';
import { LAP_RECORDS, Laps } from '../../sdk/pipeline/laps.ts';
import { emptyRecord, LAP_STRIDE } from '../../sdk/pipeline/record.ts';
import { isWellFormed } from '../../sdk/pipeline/witness.ts';

const test = suite('pipeline laps');

test('lap 0 is the flow of the seed', () => {
  const [flow, laps] = [new Flow(9), new Laps(9)];
  const [expected, found] = [emptyRecord(), emptyRecord()];
  for (let index = 0; index < 5_000; index++) {
    flow.next(expected);
    laps.next(found);
    assert.equal(found, expected);
  }
});

test('over the end of a lap, and from any place', () => {
  const all = new Laps(4);
  const first = LAP_RECORDS - 200;
  all.seek(first);
  const [expected, found] = [emptyRecord(), emptyRecord()];
  for (let index = first; index < LAP_RECORDS + 200; index++) {
    all.next(expected);
    assert.is(expected.lap, index < LAP_RECORDS ? 0 : 1);
    assert.ok(isWellFormed(expected));
    if (index % 50 > 1) continue;
    const one = new Laps(4);
    one.seek(index);
    one.next(found);
    assert.equal(found, expected, `record ${index}`);
  }
});

test('a lap is a true history of its own, and another one than that before', () => {
  const book = new Book();
  const record = emptyRecord();
  const sizes: number[][] = [[], []];
  const laps = new Laps(4);
  for (const lap of [0, 1]) {
    laps.seek(lap * LAP_RECORDS);
    for (let index = 0; index < 20_000; index++) {
      laps.next(record);
      book.apply(record);
      if (index < 100) sizes[lap]!.push(record.size);
    }
    assert.is(book.unknown, 0);
  }
  assert.is(Math.floor(record.orderId / LAP_STRIDE), 1);
  assert.is.not(sizes[0]!.join(), sizes[1]!.join());
});

test('far away is as near as anything', () => {
  const laps = new Laps(1);
  const startMs = performance.now();
  laps.seek(5e9);
  assert.ok(performance.now() - startMs < 20_000);
  const record = emptyRecord();
  laps.next(record);
  assert.is(record.lap, Math.floor(5e9 / LAP_RECORDS) & 0xffff);
});

test.run();
