/**
 * Classic: single calls on one backend, by benchmark.js, for its familiar output: operations a second.
 *
 * One call of each subject is one operation. Writers have a stream without readers, which is never full. What the wire
 * does is TypeScript, the same on both. Each subject is seen to work before it is timed; a line of JSON tells the results.
 *
 *     node classic.ts native|wasm
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import Benchmark from 'benchmark';
import { Book, backend, encodeCommands, Region, wire } from 'tailrace';
import { compile } from '../../sdk/wasm/engine.ts';
import { checksum } from '../../sdk/wasm/frames.ts';
import { settle } from '../../sdk/wasm/regions.ts';
import { template } from './stamp.ts';

const MAX_SECONDS = 1;
const CHECK = 0xcbf4_3926;
const name = process.argv[2] as 'native' | 'wasm';
process.env.TAILRACE_BACKEND = name;
assert.equal(backend().name, name);

const region = Region.memory({ limitBytes: 8 * 1024 * 1024, threads: 1 });
region.createChannel('stream', { kind: 'stream' });
region.createChannel('queue');
const stream = region.openProducer('stream');
const producer = region.openProducer('queue');
const consumer = region.openConsumer('queue');
const empty = region.openConsumer('stream');
const message = template(64);
const batch = Array.from({ length: 32 }, () => template(64));

const book = new Book({ slotCount: 1_024, accountCount: 1 });
const order = { message: 'NewOrder', account: 0, side: 1, orderType: 1, price: 100, quantity: 1 } as const;
const commands = encodeCommands([order, { message: 'CancelOrder', account: 0 }]);
const view = new DataView(commands.buffer);
const place = wire.MESSAGES.StampedCommand.fields.message.offset;
const ids = [
  place + wire.MESSAGES.NewOrder.fields.clientOrderId.offset,
  wire.MESSAGES.StampedCommand.size + place + wire.MESSAGES.CancelOrder.fields.clientOrderId.offset,
];
let id = 0;

function trade(): number {
  id += 1;
  for (const at of ids) view.setUint32(at, id, true);
  return book.apply(commands).length;
}

/** The module's own, with WebAssembly; Node's, beside the native library. */
const check = name === 'wasm' ? checksum : crc32;
if (name === 'wasm') {
  const module = () => compile(readFileSync(`${backend().file}/rings.wasm`));
  settle({ module, thread: 0, pid: process.pid, maySleep: false });
}
const kibibyte = new Uint8Array(1_024).fill(7);
const encoded = wire.encode(order);

const SUBJECTS: Record<string, [call: () => unknown, answer: unknown]> = {
  'write, 64 B': [() => stream.write(message), true],
  'writeBatch, 32 × 64 B': [() => stream.writeBatch(batch), 32],
  'poll, nothing there': [() => empty.poll(1).length, 0],
  'write and poll, 64 B': [() => producer.write(message) && consumer.poll(1).length, 1],
  'writeBatch and poll, 32 × 64 B': [() => producer.writeBatch(batch) && consumer.poll(32).length, 32],
  'book: apply an order and its cancel': [trade, trade()],
  'wire: encode an order': [() => wire.encode(order).length, encoded.length],
  'wire: decode an order': [() => wire.decode(encoded).message, 'NewOrder'],
  'crc32, 1 KiB': [() => check(kibibyte), crc32(kibibyte)],
};

assert.equal(check(Buffer.from('123456789')), CHECK);
const suite = new Benchmark.Suite();
for (const [subject, [call, answer]] of Object.entries(SUBJECTS)) {
  while (empty.poll(256).length + empty.poll(256).lost > 0);
  assert.deepEqual(call(), answer, subject);
  suite.add(`${name}: ${subject}`, call, { maxTime: MAX_SECONDS });
}
suite.on('cycle', ({ target }: Benchmark.Event) => {
  const { name, hz, stats, error } = target as unknown as Benchmark & { error?: Error };
  if (error) throw error;
  process.stderr.write(`${String(target)}\n`);
  const told = { per_second: Math.round(hz), error_percent: Number(stats!.rme.toFixed(2)), runs: stats!.sample.length };
  console.log(JSON.stringify({ subject: name, what: 'classic', ...told }));
});
suite.run();
region.close();
book.close();
