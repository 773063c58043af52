/**
 * Flow: writes commands to the queue `orders` at a fixed rate. A thread of the pipeline.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Commands } from './commands.ts';
import { run, tell } from './thread.ts';
import { ORDERS, type Ready, type Wrote } from './words.ts';

const TICK_MS = 1;
const TICK_COMMANDS = 1_000;

await run(async (region, { rate, seed, input }, signal) => {
  const commands = new Commands(seed, input);
  using producer = region.openProducer(ORDERS.name, { label: 'flow' });
  tell<Ready>({ word: 'ready' });
  const startMs = performance.now();
  let written = 0;
  while (!signal.aborted) {
    const due = Math.floor(((performance.now() - startMs) * rate) / 1_000);
    const batch = Array.from({ length: Math.min(due - written, TICK_COMMANDS) }, () => commands.next());
    for (let at = producer.writeBatch(batch); at < batch.length; at += producer.writeBatch(batch.slice(at))) {
      await sleep(TICK_MS);
    }
    written += batch.length;
    if (batch.length > 0) tell<Wrote>({ word: 'wrote', commands: written });
    await sleep(TICK_MS, undefined, { signal }).catch(() => {});
  }
  tell<Wrote>({ word: 'wrote', commands: written });
});
