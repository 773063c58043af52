/** The arithmetic of the proof: every kind of loss is seen, and what a kill excuses is not counted. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Findings, isProved, Proof } from '../../sdk/pipeline/proof.ts';
import { type Range, Ranges } from '../../sdk/pipeline/ranges.ts';
import type { Batch, Took } from '../../sdk/pipeline/report.ts';

const test = suite('pipeline proof');
const NO_SIGNALS = { first: 0, tail: 0, abandoned: 0 };

function batch(from: number, to: number, gaps: Range[] = [], extra: Partial<Batch> = {}): Batch {
  const count = to - from - gaps.reduce((sum, [start, end]) => sum + end - start, 0);
  const none = { lost: 0, torn: 0, duplicates: 0, latencies: [], blocks: [] };
  return { report: 'batch', from, to, count, gaps, ...none, ...extra };
}

function took(...signals: [sequence: number, isRedelivered: boolean][]): Took {
  return { report: 'took', signals: signals.map(([sequence, flag]) => [sequence, flag, 5]), torn: 0 };
}

function orders(tail: number, abandoned: number) {
  return { first: 0, tail, abandoned };
}

test('two readers that see everything', () => {
  const proof = new Proof();
  for (const name of ['view', 'analytics']) {
    const subscription = proof.join(name, 0);
    proof.batch(subscription, batch(0, 60));
    proof.batch(subscription, batch(60, 100));
  }
  const findings = proof.findings(orders(100, 0), NO_SIGNALS);
  assert.is(findings.written, 100);
  assert.is(findings.read, 100);
  assert.ok(isProved(findings));
});

test('abandoned positions are not unaccounted, and not written', () => {
  const proof = new Proof();
  for (const name of ['view', 'analytics']) proof.batch(proof.join(name, 0), batch(0, 100, [[40, 45]]));
  const findings = proof.findings(orders(100, 5), NO_SIGNALS);
  assert.is(findings.written, 95);
  assert.is(findings.read, 95);
  assert.ok(isProved(findings));
});

test('a gap of both readers that was not abandoned is unaccounted', () => {
  const proof = new Proof();
  for (const name of ['view', 'analytics']) proof.batch(proof.join(name, 0), batch(0, 100, [[40, 45]]));
  assert.is(proof.findings(orders(100, 3), NO_SIGNALS).unaccounted, 2);
});

test('a gap of one reader is unaccounted, though the other one saw it', () => {
  const proof = new Proof();
  proof.batch(proof.join('view', 0), batch(0, 100, [[40, 45]]));
  proof.batch(proof.join('analytics', 0), batch(0, 100));
  assert.is(proof.findings(orders(100, 0), NO_SIGNALS).unaccounted, 5);
  assert.is(proof.findings(orders(100, 5), NO_SIGNALS).unaccounted, 5);
  assert.not.ok(isProved(proof.findings(orders(100, 5), NO_SIGNALS)), 'read more than was written');
});

test('a gap between two reports counts like one within a batch', () => {
  const proof = new Proof();
  const view = proof.join('view', 0);
  proof.batch(view, batch(0, 40));
  proof.batch(view, batch(45, 100));
  proof.batch(proof.join('analytics', 0), batch(0, 100));
  assert.is(proof.findings(orders(100, 0), NO_SIGNALS).unaccounted, 5);
});

test('a gap before the first message of a subscription counts', () => {
  const proof = new Proof();
  proof.batch(proof.join('view', 10), batch(12, 100));
  proof.batch(proof.join('analytics', 0), batch(0, 100));
  assert.is(proof.findings(orders(100, 0), NO_SIGNALS).unaccounted, 2);
});

test('what a killed reader missed while it was dead is not its business', () => {
  const proof = new Proof();
  proof.batch(proof.join('view', 0), batch(0, 30));
  proof.batch(proof.join('view', 70), batch(70, 100));
  proof.batch(proof.join('analytics', 0), batch(0, 100));
  const findings = proof.findings(orders(100, 0), NO_SIGNALS);
  assert.is(findings.read, 100);
  assert.ok(isProved(findings));
});

test('positions that no subscription covers are unaccounted', () => {
  const proof = new Proof();
  proof.batch(proof.join('view', 0), batch(0, 30));
  proof.batch(proof.join('view', 70), batch(70, 100));
  proof.batch(proof.join('analytics', 0), batch(0, 60));
  assert.is(proof.findings(orders(100, 0), NO_SIGNALS).unaccounted, 10);
});

test('positions after the last report of everybody are unaccounted', () => {
  const proof = new Proof();
  for (const name of ['view', 'analytics']) proof.batch(proof.join(name, 0), batch(0, 99));
  assert.is(proof.findings(orders(100, 0), NO_SIGNALS).unaccounted, 1);
});

test('positions from before this region count for nobody', () => {
  const proof = new Proof();
  proof.batch(proof.join('view', 20), batch(20, 100, [[30, 32]]));
  proof.batch(proof.join('analytics', 90), batch(90, 100));
  const findings = proof.findings({ first: 80, tail: 100, abandoned: 0 }, NO_SIGNALS);
  assert.equal([findings.written, findings.read, findings.unaccounted], [20, 20, 0]);
  proof.took(took([40, false], [50, false]));
  assert.is(
    proof.findings({ first: 80, tail: 100, abandoned: 0 }, { first: 45, tail: 50, abandoned: 4 }).signalsTaken,
    1,
  );
});

test('what each reader has seen is kept by its name, over all its processes', () => {
  const proof = new Proof();
  proof.batch(proof.join('view', 0), batch(0, 30));
  proof.batch(proof.join('view', 20), batch(20, 50, [[40, 45]]));
  assert.equal(
    [...proof.seenBy('view')],
    [
      [0, 40],
      [45, 50],
    ],
  );
  assert.is(proof.seenBy('analytics').size, 0);
});

test('lost, torn and duplicates are added up, and each fails the proof', () => {
  for (const extra of [{ lost: 1 }, { torn: 1 }, { duplicates: 1 }]) {
    const proof = new Proof();
    proof.batch(proof.join('view', 0), batch(0, 10, [], extra));
    const findings = proof.findings(orders(10, 0), NO_SIGNALS);
    for (const [name, count] of Object.entries(extra)) assert.is(findings[name as keyof Findings], count);
    assert.not.ok(isProved(findings));
  }
});

test('blocks whose sums differ are torn, whoever summed them first', () => {
  const proof = new Proof();
  proof.blocks([
    [0, 0, 111],
    [0, 1, 222],
    [1, 0, 333],
  ]);
  const view = proof.join('view', 0);
  proof.batch(view, batch(0, 10, [], { blocks: [[0, 0, 111]] }));
  assert.is(proof.torn, 0);
  proof.batch(view, batch(10, 20, [], { blocks: [[1, 0, 334]] }));
  assert.is(proof.torn, 1);
  proof.blocks([[2, 0, 1]]);
  proof.blocks([[2, 0, 2]]);
  assert.is(proof.torn, 2);
  assert.is(proof.comparedBlocks, 3);
});

test('signals: everybody together takes each once', () => {
  const proof = new Proof();
  proof.took(took([1, false], [3, false]));
  proof.took(took([2, false]));
  const findings = proof.findings(orders(0, 0), { first: 0, tail: 4, abandoned: 1 });
  assert.is(findings.signalsWritten, 3);
  assert.is(findings.signalsTaken, 3);
  assert.ok(isProved(findings));
});

test('signals: one taken again with the flag is none twice, in whichever order the reports come', () => {
  for (const flags of [
    [false, true],
    [true, false],
    [true, true, false],
  ]) {
    const proof = new Proof();
    for (const flag of flags) proof.took(took([1, flag]));
    const findings = proof.findings(orders(0, 0), { first: 0, tail: 1, abandoned: 0 });
    assert.is(findings.duplicates, 0);
    assert.is(findings.signalsRedelivered, flags.filter(Boolean).length);
    assert.ok(isProved(findings));
  }
});

test('signals: one taken twice without the flag is a duplicate, one never taken is unaccounted', () => {
  const proof = new Proof();
  proof.took(took([1, false], [1, false]));
  const findings = proof.findings(orders(0, 0), { first: 0, tail: 2, abandoned: 0 });
  assert.is(findings.duplicates, 1);
  assert.is(findings.unaccounted, 1);
});

test('ranges agree with a set of numbers', () => {
  let state = 7;
  const below = (limit: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % limit;
  };
  for (let round = 0; round < 200; round++) {
    const ranges = new Ranges();
    const numbers = new Set<number>();
    for (let step = 0; step < 30; step++) {
      const from = below(100);
      const to = from + below(20) - 2;
      const before = numbers.size;
      for (let number = from; number < to; number++) numbers.add(number);
      assert.is(ranges.add(from, to), numbers.size - before);
      assert.is(ranges.size, numbers.size);
      const [low, high] = [below(100), below(130)];
      const expected = [...numbers].filter((number) => number >= low && number < high).length;
      assert.is(ranges.countIn(low, high), expected);
      const other = new Ranges();
      for (let from = 0; from < 130; from += 7) other.add(from, from + 3);
      const both = [...numbers].filter((number) => number >= low && number < high && number % 7 < 3).length;
      assert.is(ranges.countBothIn(other, low, high), both);
    }
    let last = -1;
    for (const [from, to] of ranges) {
      assert.ok(from > last && to > from, 'ascending, disjoint, not touching');
      last = to;
    }
  }
});

test.run();
