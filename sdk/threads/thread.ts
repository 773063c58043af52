/**
 * Thread: how each of the threads begins and ends.
 *
 * The main thread says `end` when a thread is to finish what there is, tell, and leave.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type Message, now, Region } from '../index.ts';
import type { Given, LatencyCount, Word } from './words.ts';

const port = parentPort;

/** Tells the thread that started this one. */
export function tell<W extends Word>(word: W): void {
  port?.postMessage(word);
}

/** Runs `work` with what this thread was given, until it is done; `signal` is aborted when it is to end. */
export async function run(work: (region: Region, given: Given, signal: AbortSignal) => Promise<void>): Promise<void> {
  const ending = new AbortController();
  port?.once('message', () => ending.abort());
  try {
    const given = workerData as Given;
    using region = Region.attach(given.shared);
    await work(region, given, ending.signal);
  } catch (error) {
    if (ending.signal.aborted && error === ending.signal.reason) return;
    tell({ word: 'failed', message: (error as Error).stack ?? String(error) });
  } finally {
    port?.close();
  }
}

/** How long messages that came now were on the way; those of one write came together. */
export function delays(batch: Iterable<Message>): LatencyCount[] {
  const nowNs = now();
  const counts: [number, number][] = [];
  let last = -1n;
  for (const { timestamp } of batch) {
    if (timestamp !== last) counts.push([Math.max(0, Math.floor(Number(nowNs - timestamp) / 1000)), 0]);
    last = timestamp;
    counts.at(-1)![1] += 1;
  }
  return counts;
}
