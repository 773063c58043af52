import { inspect } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RUNTIME_NODE, RUNTIME_WASM } from '../sdk/index.ts';
import { isWasm, Pair } from './scratch.ts';

const message = suite('message');

message('has all that its writer gave, and what the ring added', () => {
  using pair = new Pair();
  pair.producer.write(Buffer.from('{"a":[1,2]}'), { type: 77 });
  const seen = pair.consumer.poll().at(0)!;
  assert.is(seen.sequence, 1n);
  assert.is(seen.type, 77);
  assert.is(seen.senderPid, process.pid);
  assert.is(seen.senderRuntime, isWasm ? RUNTIME_WASM : RUNTIME_NODE);
  assert.is(seen.redelivered, false);
  assert.is(seen.deliveryCount, 1);
  assert.is(seen.text(), '{"a":[1,2]}');
  assert.equal(seen.json(), { a: [1, 2] });
  assert.instance(seen.payload, Uint8Array);
  assert.is(seen.payload, seen.payload);
});

message('counts positions, not messages', () => {
  using pair = new Pair({ capacity: 64 });
  pair.producer.writeBatch([new Uint8Array(3_000), new Uint8Array(1), new Uint8Array(1_024)]);
  assert.equal(
    [...pair.consumer.poll()].map((seen) => seen.sequence),
    [1n, 4n, 5n],
  );
});

message('is text in any language', () => {
  using pair = new Pair();
  pair.write('größe · 大きさ · 🜁');
  assert.is(pair.consumer.poll().at(0)?.text(), 'größe · 大きさ · 🜁');
});

message('shows itself', () => {
  using pair = new Pair();
  pair.write('a');
  const shown = inspect(pair.consumer.poll().at(0));
  assert.match(shown, /sequence: 1n/);
  assert.match(shown, /payload: Uint8Array\(1\) \[ 97 \]/);
});

message.run();
