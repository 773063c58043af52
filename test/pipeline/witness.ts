/** What a reader testifies: each way in which a record can be wrong is seen, and a kill's traces are not. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  BLOCK_RECORDS,
  emptyRecord,
  encodeRecord,
  LAP_STRIDE,
  type OrderRecord,
  RECORD_BYTES,
} from '../../sdk/pipeline/record.ts';
import { Witness } from '../../sdk/pipeline/witness.ts';

const test = suite('pipeline witness');

function record(counter: number, change: Partial<OrderRecord> = {}): OrderRecord {
  const plain = { timeNs: 1000 + counter, orderId: counter, price: 5, size: 1, type: 1, side: 1, counter };
  return { ...emptyRecord(), ...plain, ...change };
}

function show(witness: Witness, position: number, shown: OrderRecord, isRedelivered = false): boolean {
  const view = new DataView(new ArrayBuffer(RECORD_BYTES));
  encodeRecord(view, 0, shown);
  return witness.see(position, view, 0, isRedelivered);
}

test('a run from its beginning', () => {
  const witness = new Witness(10);
  for (let counter = 0; counter < 5; counter++) assert.ok(show(witness, 10 + counter, record(counter)));
  assert.equal(witness.testify(), { from: 10, to: 15, count: 5, gaps: [], torn: 0, duplicates: 0, blocks: [] });
  assert.equal(witness.testify(), { from: 15, to: 15, count: 0, gaps: [], torn: 0, duplicates: 0, blocks: [] });
});

test('joining in the middle, gaps, and a new run after a killed gateway', () => {
  const witness = new Witness(10);
  show(witness, 10, record(70));
  show(witness, 11, record(71));
  show(witness, 15, record(72, { run: 1 }));
  show(witness, 16, record(73, { run: 1 }));
  const { gaps, torn, to, count } = witness.testify();
  assert.equal(gaps, [[12, 15]]);
  assert.equal([torn, to, count], [0, 17, 4]);
});

test('repetitions count unless they are flagged', () => {
  const witness = new Witness(0);
  show(witness, 0, record(0));
  assert.not.ok(show(witness, 0, record(0)));
  assert.not.ok(show(witness, 0, record(0), true));
  assert.is(witness.testify().duplicates, 1);
});

const TORN: [name: string, wrong: OrderRecord][] = [
  ['a counter of another position', record(3)],
  ['an older run', record(2, { run: 4 })],
  ['a new run that leaves a record out', record(3, { run: 6 })],
  ['a new run that begins with a record again', record(1, { run: 6 })],
  ['a new run whose time goes back', record(2, { run: 6, timeNs: 1 })],
  ['a lap that is not the id’s', record(2, { run: 5, lap: 1 })],
  ['an id of another lap', record(2, { run: 5, orderId: LAP_STRIDE })],
  ['time that goes back', record(2, { run: 5, timeNs: 1 })],
  ['no type', record(2, { run: 5, type: 0 })],
  ['an unknown type', record(2, { run: 5, type: 8 })],
  ['no side', record(2, { run: 5, side: 0 })],
  ['no size', record(2, { run: 5, size: 0 })],
  ['no price', record(2, { run: 5, price: 0 })],
  ['zeros', emptyRecord()],
];

for (const [name, wrong] of TORN) {
  test(`torn: ${name}`, () => {
    const witness = new Witness(0);
    show(witness, 0, record(0, { run: 5 }));
    show(witness, 1, record(1, { run: 5 }));
    assert.is(witness.testify().torn, 0);
    show(witness, 2, wrong);
    assert.ok(witness.testify().torn > 0);
  });
}

test('a new lap may begin with an earlier time', () => {
  const witness = new Witness(0);
  show(witness, 0, record(0));
  show(witness, 1, record(1, { timeNs: 1, lap: 1, orderId: LAP_STRIDE + 1 }));
  assert.is(witness.testify().torn, 0);
});

test('sums of full blocks do not depend on where a reader joined or how batches fell', () => {
  const long = new Witness(0);
  const late = new Witness(100);
  for (let counter = 0; counter < 2 * BLOCK_RECORDS + 50; counter++) {
    show(long, counter, record(counter));
    if (counter >= 100) show(late, counter, record(counter));
  }
  const blocks = long.testify().blocks;
  assert.equal(
    blocks.map(([run, block]) => [run, block]),
    [
      [0, 0],
      [0, 1],
    ],
  );
  assert.equal(late.testify().blocks, [blocks[1]]);
});

test('a field that no other check sees changes the sum of its block', () => {
  const sums = [0, 1].map((change) => {
    const witness = new Witness(0);
    for (let counter = 0; counter < BLOCK_RECORDS; counter++) {
      show(witness, counter, record(counter, counter === 77 ? { price: 5 + change } : {}));
    }
    const { torn, blocks } = witness.testify();
    assert.is(torn, 0);
    return blocks[0]![2];
  });
  assert.is.not(sums[0], sums[1]);
});

test.run();
