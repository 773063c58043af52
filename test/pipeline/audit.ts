/** The audit over real logs: whatever a log can have lost, doubled or torn, it finds, and by its name. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Log } from '../../sdk/index.ts';
import {
  compare,
  type Expected,
  isKept,
  type LogFindings,
  OrdersAudit,
  SignalsAudit,
} from '../../sdk/pipeline/audit.ts';
import { Laps } from '../../sdk/pipeline/laps.ts';
import { Ranges } from '../../sdk/pipeline/ranges.ts';
import { Readback } from '../../sdk/pipeline/readback.ts';
import { digestRecord, emptyRecord, encodeRecord, RECORD_BYTES } from '../../sdk/pipeline/record.ts';
import { SIGNAL_BYTES } from '../../sdk/pipeline/signal.ts';
import { count, isTrade, noCounts, type Totals } from '../../sdk/pipeline/state.ts';

const test = suite('pipeline audit');
const RECORDS = 10_000;
const PER_SIGNAL = 500;
const folder = mkdtempSync(join(tmpdir(), 'tailrace-test-'));
let logs = 0;

/** What lies in the two logs, and what the run knows. */
interface Case {
  orders: Uint8Array[];
  signals: Uint8Array[];
  acknowledged: [run: number, counter: number, sequence: number][];
  seen: [from: number, to: number][];
  taken: [from: number, to: number][];
  abandoned: number;
}

/** Records of two runs, and what the view makes of them. */
function flow(): { orders: Uint8Array[]; totals: Totals } {
  const source = new Laps(3);
  const record = emptyRecord();
  const counts = noCounts();
  const orders = Array.from({ length: RECORDS }, (_, counter) => {
    const bytes = new Uint8Array(RECORD_BYTES);
    source.next(record);
    Object.assign(record, { counter, run: counter < 6_000 ? 0 : 1 });
    encodeRecord(new DataView(bytes.buffer), 0, record);
    count(counts, record, digestRecord(new DataView(bytes.buffer), 0));
    return bytes;
  });
  const book = { hash: 0, bid: 0, bid_size: 0, ask: 0, ask_size: 0, live: 0 };
  return { orders, totals: { ...counts, book } };
}

const { orders: RECORD_OF, totals: TOTALS } = flow();

/** The signals that speak of all records. */
function signals(): Uint8Array[] {
  return Array.from({ length: RECORDS / PER_SIGNAL }, (_, index) => {
    const bytes = new Uint8Array(SIGNAL_BYTES);
    const view = new DataView(bytes.buffer);
    const records = RECORD_OF.slice(index * PER_SIGNAL, (index + 1) * PER_SIGNAL).map(
      (one) => new DataView(one.buffer),
    );
    const trades = records.filter((one) => isTrade(one.getUint8(28)));
    const volume = trades.reduce((sum, one) => sum + one.getUint32(24, true), 0);
    view.setBigUint64(0, BigInt(index), true);
    view.setBigUint64(8, BigInt(index + 1), true);
    view.setBigUint64(16, BigInt(index * PER_SIGNAL), true);
    view.setBigUint64(24, BigInt((index + 1) * PER_SIGNAL - 1), true);
    view.setBigUint64(32, BigInt(volume), true);
    view.setUint32(40, trades.length, true);
    view.setUint32(44, PER_SIGNAL, true);
    view.setFloat64(48, trades.length > 0 ? 5e6 : 0, true);
    return bytes;
  });
}

function whole(): Case {
  return {
    orders: RECORD_OF.map((bytes) => bytes.slice()),
    signals: signals(),
    acknowledged: [
      [0, 999, 1_000],
      [1, 7_999, 8_000],
      [1, RECORDS - 1, RECORDS],
    ],
    seen: [[0, RECORDS]],
    taken: [[0, RECORDS / PER_SIGNAL]],
    abandoned: 0,
  };
}

function rangesOf(pieces: [from: number, to: number][]): Ranges {
  const ranges = new Ranges();
  for (const [from, to] of pieces) ranges.add(from, to);
  return ranges;
}

async function written(payloads: Uint8Array[], type: number): Promise<string> {
  logs += 1;
  const path = join(folder, String(logs));
  await using log = await Log.open(path, { segmentBytes: 1 << 18, spares: 0 });
  for (let at = 0; at < payloads.length; at += 1_000) {
    await log.append(payloads.slice(at, at + 1_000), { type, durability: 'memory' });
  }
  return path;
}

/** Writes both logs, reads them back, and compares. */
function findingsOf(given: Case): Promise<LogFindings> {
  return compared(given, TOTALS);
}

async function compared(given: Case, totals: Totals | undefined): Promise<LogFindings> {
  const [ordersPath, signalsPath] = [await written(given.orders, 1), await written(given.signals, 2)];
  const ordersBack = new Readback(ordersPath, (sequence, { payload }) => {
    orders.see(sequence, payload, new DataView(payload.buffer));
  });
  const signalsBack = new Readback(signalsPath, (sequence, { payload }) => signals.see(sequence, payload));
  const orders = new OrdersAudit(ordersBack.position);
  const signals = new SignalsAudit(signalsBack.position);
  for (const one of given.acknowledged) orders.expect(one);
  while (ordersBack.read(777) > 0);
  while (signalsBack.read(777) > 0);
  ordersBack.close();
  signalsBack.close();
  const expected: Expected = {
    orders: { first: 0, tail: given.orders.length + given.abandoned, abandoned: given.abandoned },
    signals: { first: 0, tail: given.signals.length },
    readers: [rangesOf(given.seen), rangesOf([[0, RECORDS]])],
    taken: rangesOf(given.taken),
    totals,
    verified: { orders: await Log.verify(ordersPath), signals: await Log.verify(signalsPath) },
  };
  return compare(orders, signals, expected);
}

test('logs that have everything', async () => {
  const findings = await findingsOf(whole());
  assert.ok(isKept(findings), JSON.stringify(findings));
  assert.equal(
    [findings.records, findings.tombstones, findings.acknowledged, findings.acknowledgedFound, findings.signals],
    [RECORDS, 0, 3, 3, RECORDS / PER_SIGNAL],
  );
});

type Fault = Partial<Record<keyof LogFindings, number>>;

/** What is done to a case, and which findings must be what. */
const FAULTS: [name: string, spoil: (given: Case) => void, found: Fault][] = [
  ['a record is missing', ({ orders }) => orders.splice(5_000, 1), { missing: 1, unread: 0, acknowledgedFound: 1 }],
  ['the first record is missing', ({ orders }) => orders.splice(0, 1), { missing: 1 }],
  ['the last record is missing', ({ orders }) => orders.splice(RECORDS - 1), { invented: 2, acknowledgedFound: 2 }],
  ['ten are missing', ({ orders }) => orders.splice(100, 10), { missing: 10 }],
  ['a record is there twice', ({ orders }) => orders.splice(70, 0, orders[70]!.slice()), { doubled: 1, unread: 2 }],
  ['a block is there twice', ({ orders }) => orders.splice(300, 0, ...orders.slice(200, 300)), { doubled: 100 }],
  ['two records have changed places', ({ orders }) => orders.splice(8, 2, orders[9]!, orders[8]!), { doubled: 1 }],
  ['a record has no type', ({ orders }) => orders[400]!.fill(0, 28, 29), { torn: 1 }],
  [
    'a record has the price of another',
    ({ orders }) => orders[400]!.set(orders[900]!.subarray(16, 24), 16),
    { differing: 1 },
  ],
  ['a record is cut off', ({ orders }) => orders.splice(400, 1, orders[400]!.slice(0, 39)), { torn: 1, missing: 1 }],
  ['an older run comes back', ({ orders }) => orders[9_000]!.fill(0, 32, 36), { torn: 1 }],
  ['a size has changed', ({ orders }) => orders[400]!.fill(9, 24, 25), { torn: 0, doubled: 0, missing: 0 }],
  ['an acknowledged record is another', (given) => given.acknowledged.push([0, 12, 12]), { acknowledgedFound: 3 }],
  ['an acknowledged record has another run', (given) => given.acknowledged.push([1, 11, 12]), { acknowledgedFound: 3 }],
  ['an acknowledged record is not there', (given) => given.acknowledged.push([1, 10_000, 10_001]), { acknowledged: 4 }],
  [
    'a reader has not seen all',
    (given) => given.seen.splice(0, 1, [0, 300], [302, RECORDS]),
    { unread: 2, invented: 0 },
  ],
  ['a record was read and is not there', ({ orders }) => orders.pop(), { invented: 2 }],
  ['positions were written that are nowhere', (given) => given.seen.splice(0, 1, [0, RECORDS + 1]), { invented: 1 }],
  ['a signal was not taken', (given) => given.taken.splice(0, 1, [1, 99]), { signalsUntaken: 1 }],
  ['a signal is missing', ({ signals }) => signals.splice(7, 1), { differing: 3, signalsDoubled: 0 }],
  [
    'a signal is there twice',
    ({ signals }) => signals.splice(7, 0, signals[7]!),
    { signalsDoubled: 1, signalsUntaken: 1 },
  ],
  ['a signal is torn', ({ signals }) => signals[7]!.fill(0), { torn: 1, differing: 3 }],
];

for (const [name, spoil, found] of FAULTS) {
  test(`found: ${name}`, async () => {
    const given = whole();
    spoil(given);
    const findings = await findingsOf(given);
    for (const [field, value] of Object.entries(found)) {
      assert.is(findings[field as keyof LogFindings], value, `${field} of ${JSON.stringify(findings)}`);
    }
    if (name !== 'a writer has abandoned nothing that is there')
      assert.not.ok(isKept(findings), JSON.stringify(findings));
  });
}

test('found: a view that could not say what it came to, or says something else', async () => {
  for (const totals of [{ ...TOTALS, volume: TOTALS.volume + 1 }, { ...TOTALS, digest: 0 }, undefined]) {
    const findings = await compared(whole(), totals);
    assert.ok(findings.differing > 0 && !isKept(findings), JSON.stringify(findings));
  }
});

test('a log whose beginning was removed is held against what is left', async () => {
  const orders = new OrdersAudit(6_001);
  const payload = RECORD_OF[6_000]!;
  orders.expect([0, 12, 13]);
  orders.see(6_001, payload, new DataView(payload.buffer));
  assert.equal([orders.missing, orders.doubled, orders.torn, orders.acknowledged], [0, 0, 0, 0]);
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
