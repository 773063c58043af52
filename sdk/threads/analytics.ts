/**
 * Analytics: sums executions of the stream `market`, and runs a kernel over them. A thread of the pipeline.
 */
import { kernel } from '../index.ts';
import { MESSAGES } from '../wire.ts';
import { delays, run, tell } from './thread.ts';
import { type Day, MARKET, type Ready, type Seen } from './words.ts';

const { type: EXECUTED, fields: FIELDS } = MESSAGES.Executed;

await run(async (region, given, signal) => {
  const chosen = given.kernel === undefined ? undefined : await kernel(given.kernel);
  using consumer = region.openConsumer(MARKET.name, { label: 'analytics', from: 'oldest', signal });
  tell<Ready>({ word: 'ready' });
  let [to, trades, volume] = [0, 0, 0];
  try {
    for await (const batch of consumer) {
      const [first, latencies] = [to + 1, delays(batch)];
      const executions: Uint8Array[] = [];
      let gaps = 0;
      for (const { payload } of batch) {
        const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
        const sequence = Number(view.getBigUint64(FIELDS.sequence.offset, true));
        gaps += sequence - to - 1;
        to = sequence;
        if (payload[0] !== EXECUTED) continue;
        executions.push(payload);
        volume += Number(view.getBigUint64(FIELDS.quantity.offset, true));
      }
      trades += executions.length;
      chosen?.apply(Buffer.concat(executions));
      tell<Seen>({ word: 'seen', to, count: to - first + 1, gaps, latencies });
      tell<Day>({ word: 'day', trades, volume, kept: chosen?.counters.kept });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
});
