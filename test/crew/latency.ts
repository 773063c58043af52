/** Quantiles of the histogram against a sorted list, and reports put together from pieces. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Latency } from '../../sdk/crew/latency.ts';
import { Lines } from '../../sdk/crew/report.ts';

const test = suite('pipeline latency');

test('quantiles are at most 3 % too low', () => {
  const values = Array.from({ length: 20_000 }, (_, index) => Math.floor(1.0007 ** index));
  const latency = new Latency();
  for (const value of values) latency.add(value);
  for (const share of [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1]) {
    const exact = values[Math.ceil(values.length * share) - 1]!;
    const found = latency.quantile(share);
    assert.ok(found <= exact && found >= exact * 0.969 - 1, `${share}: ${found}, exactly ${exact}`);
  }
  assert.is(latency.max, values.at(-1));
});

test('empty, one, negative, and weights', () => {
  const latency = new Latency();
  assert.equal([latency.quantile(0.5), latency.max, latency.count], [0, 0, 0]);
  latency.add(-5);
  assert.is(latency.quantile(1), 0);
  latency.add(40, 99);
  assert.equal([latency.quantile(0.01), latency.quantile(0.5), latency.count], [0, 40, 100]);
  const both = new Latency();
  both.merge(latency);
  both.add(1e12);
  assert.equal([both.quantile(0.5), both.max, both.count], [40, 1e12, 101]);
});

test('lines come whole from any pieces, and half a line at the end is nothing', () => {
  const text = '{"report":"ready"}\n{"a":1}\n\n{"half';
  for (let size = 1; size < text.length; size++) {
    const lines = new Lines();
    const found: string[] = [];
    for (let at = 0; at < text.length; at += size) found.push(...lines.push(text.slice(at, at + size)));
    assert.equal(found, ['{"report":"ready"}', '{"a":1}', '']);
  }
});

test.run();
