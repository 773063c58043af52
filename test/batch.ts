import { inspect } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Pair } from './scratch.ts';

const batch = suite('batch');

batch('is gone over as often as one likes', () => {
  using pair = new Pair();
  pair.write('a', 'bb', 'ccc');
  const seen = pair.consumer.poll();
  assert.is(seen.length, 3);
  for (let round = 0; round < 2; round += 1) {
    assert.equal(
      [...seen].map((message) => message.text()),
      ['a', 'bb', 'ccc'],
    );
  }
  const called: string[] = [];
  seen.forEach((message) => {
    called.push(message.text());
  });
  assert.equal(called, ['a', 'bb', 'ccc']);
});

batch('finds a message by its index', () => {
  using pair = new Pair();
  pair.write('a', 'bb', 'ccc');
  const seen = pair.consumer.poll();
  assert.is(seen.at(0)?.text(), 'a');
  assert.is(seen.at(2)?.text(), 'ccc');
  assert.is(seen.at(-1)?.text(), 'ccc');
  assert.is(seen.at(-3)?.text(), 'a');
  for (const index of [3, -4, Number.NaN]) assert.is(seen.at(index), undefined);
});

batch('has nothing to release when it was polled', () => {
  using pair = new Pair();
  pair.write('a');
  using seen = pair.consumer.poll();
  assert.not(seen.isClaimed);
  assert.is(seen.release(), 0);
  assert.is(seen.keep(), 0);
});

batch('may be empty', () => {
  using pair = new Pair();
  using seen = pair.consumer.take();
  assert.is(seen.length, 0);
  assert.equal([...seen], []);
  assert.is(seen.at(0), undefined);
  assert.not(seen.isClaimed);
  assert.is(pair.consumer.poll().length, 0);
});

batch('shows itself', () => {
  using pair = new Pair();
  pair.write('a');
  assert.match(inspect(pair.consumer.poll()), /length: 1/);
});

batch.run();
