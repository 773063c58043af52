/**
 * Victim: a thread that does what it is told until it comes to a step, and stays there until it is ended.
 */
import { workerData } from 'node:worker_threads';
import { type Consumer, type Message, type Producer, Region } from '../../../sdk/index.ts';
import { native } from '../../../sdk/native.ts';
import { find } from '../../../sdk/wasm/handles.ts';
import { onStep } from '../../../sdk/wasm/instance.ts';
import { indexOf, messageOf } from './messages.ts';
import { INDEX_MAX, WORD } from './thread.ts';

/** What a victim is told. */
export type Ask =
  | { op: 'write'; first: number; count: number; size: number }
  | { op: 'pour'; first: number; count: number }
  | { op: 'read'; isTaking: boolean }
  | { op: 'open'; as: 'producer' | 'consumer' }
  | { op: 'close' }
  | { op: 'sleep' };

const { shared, words: buffer, step, via, asks } = workerData;
const words = new Int32Array(buffer);

onStep((name) => {
  if (name === via && Atomics.compareExchange(words, WORD.via, 0, 1) === 0) Atomics.wait(words, WORD.via, 1);
  if (name !== step) return;
  Atomics.store(words, WORD.step, 1);
  Atomics.wait(words, WORD.step, 1);
});

const region = Region.attach(shared);
let producer: Producer | undefined;
let consumer: Consumer | undefined;

function note(message: Message): void {
  const index = indexOf(message);
  if (index < INDEX_MAX) Atomics.add(words, WORD.count + index, 1);
}

async function write(first: number, count: number, size: number): Promise<void> {
  producer ??= region.openProducer('c', { label: 'victim' });
  for (let index = first; index < first + count; index += 3) {
    const batch = [index, index + 1, index + 2].map((one) => messageOf(one, size));
    const written = producer.writeBatch(batch);
    Atomics.store(words, WORD.written, index - first + written);
    if (written < batch.length) return;
  }
}

/** Writes on and on, and waits for room. */
async function pour(first: number, count: number): Promise<void> {
  producer ??= region.openProducer('c', { label: 'victim' });
  for (let index = first; index < first + count; ) {
    const batch = [index, index + 1, index + 2].map((one) => messageOf(one, 64 + (one % 5) * 400));
    index += producer.writeBatch(batch);
    Atomics.store(words, WORD.written, index - first);
    if (index % 3 === first % 3) continue;
    await producer.send(messageOf(index, 64), { timeoutMs: 30_000 });
    index += 1;
    Atomics.store(words, WORD.written, index - first);
  }
}

async function read(isTaking: boolean): Promise<void> {
  consumer ??= region.openConsumer('c', isTaking ? { label: 'victim' } : { label: 'victim', from: 'oldest' });
  const end = performance.now() + 30_000;
  while (performance.now() < end) {
    const batch = isTaking ? consumer.take(4) : consumer.poll(4);
    for (const message of batch) note(message);
    batch.release();
    if (batch.length === 0) await consumer.wait({ timeoutMs: 20 });
  }
}

/** Sleeps in the module, as a thread without an event loop would. */
function sleepInside(): void {
  const handle = native().openConsumer(native().attachShared(shared, 1_000), 'c', 'victim', -1, 0, 0);
  const entry = find('consumer', handle);
  Atomics.store(words, WORD.ready, 1);
  entry.instance.calls.consumer_wait(entry.at, -1);
}

for (const ask of asks as Ask[]) {
  if (ask.op === 'write') await write(ask.first, ask.count, ask.size);
  else if (ask.op === 'pour') await pour(ask.first, ask.count);
  else if (ask.op === 'read') await read(ask.isTaking);
  else if (ask.op === 'sleep') sleepInside();
  else if (ask.op === 'close') {
    producer?.close();
    consumer?.close();
  } else if (ask.as === 'producer') producer = region.openProducer('c', { label: 'victim' });
  else consumer = region.openConsumer('c', { label: 'victim' });
}
Atomics.store(words, WORD.ready, 1);
setInterval(() => {}, 1_000);
