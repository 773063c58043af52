/**
 * Echo: a thread that sends back whatever it reads.
 */
import { workerData } from 'node:worker_threads';
import { Region } from '../../../sdk/index.ts';
import { WORD } from './thread.ts';

const region = Region.attach(workerData.shared);
const producer = region.openProducer('back', { label: 'echo' });
const consumer = region.openConsumer('there', { label: 'echo' });
Atomics.store(new Int32Array(workerData.words), WORD.ready, 1);

for await (const batch of consumer) {
  for (const message of batch) await producer.send(message.payload, { timeoutMs: 20_000 });
}
