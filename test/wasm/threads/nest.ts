/**
 * Nest: a thread that starts another, and so on; the innermost claims what there is, and keeps it.
 */
import { workerData } from 'node:worker_threads';
import { Region } from '../../../sdk/index.ts';
import { Thread, WORD } from './thread.ts';

const { shared, words, depth, outermost = words } = workerData;
const region = Region.attach(shared);
/** What is collected is closed, and then it holds nothing. */
const kept: unknown[] = [];

if (depth > 0) {
  kept.push(new Thread(region, import.meta.url, { depth: depth - 1, outermost }));
} else {
  const consumer = region.openConsumer('c', { label: 'nest' });
  kept.push(consumer, consumer.take(4));
  Atomics.store(new Int32Array(outermost), WORD.ready, 1);
}
setInterval(() => kept.length, 1_000);
