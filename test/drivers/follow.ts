/**
 * Follow: reads the load from a recorded channel, slowly at times, and counts what is not as it should be (README.md).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Consumer, LogReader } from '../../sdk/index.ts';
import { checkLoad } from './load.ts';

const IDLE_MS = 5_000;

/** What is expected, and how slowly it is read. */
interface Following {
  run: number;
  count: number;
  batch: number;
  nap_ms: number;
  span: number;
}

/** Reads until all has come, or nothing comes any more. */
export async function follow(reader: Consumer | LogReader, ask: Following): Promise<Record<string, number>> {
  const seen = { count: 0, wrong: 0, far: 0, turns: 0 };
  let wasFar = false;
  while (seen.count < ask.count) {
    if (Math.random() < 1 / 8) await sleep(Math.random() * ask.nap_ms);
    const isFar = reader.depth > ask.span;
    if (isFar) seen.far += 1;
    else if (wasFar) seen.turns += 1;
    wasFar = isFar;
    const batch = reader.poll(ask.batch);
    for (const { sequence, payload } of batch) {
      const { run, index, isWhole } = checkLoad(payload);
      if (sequence !== BigInt(seen.count + 1) || index !== seen.count || run !== ask.run || !isWhole) seen.wrong += 1;
      seen.count += 1;
    }
    if (batch.length === 0 && !(await reader.wait({ timeoutMs: IDLE_MS }))) break;
  }
  return seen;
}
