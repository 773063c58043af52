/**
 * Cat: `tailrace log cat`, the records of a log.
 *
 * It takes no lock and changes nothing, so it may be used on a log that is written.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Batch } from '../batch.ts';
import { BATCH_LIMIT } from '../consumer.ts';
import { LogReader } from '../reader.ts';
import type { Start } from '../start.ts';
import type { Paper } from './paper.ts';
import { printMessage } from './tail.ts';

/** What to print. */
export interface CatOptions {
  from: Start;
  /** How many records. */
  count: number;
  /** Goes on past the end. */
  follow: boolean;
}

/** What is there now. */
async function* until(reader: LogReader): AsyncGenerator<Batch> {
  const end = reader.position + BigInt(reader.depth);
  while (reader.position < end) {
    const batch = reader.poll();
    if (batch.length === 0) return;
    yield batch;
    // Printing does not wait for anything, and nobody could interrupt it without this.
    await turn();
  }
}

/** Prints records up to the end of the log, or past it, or as many as were asked for. */
export async function cat(paper: Paper, path: string, options: CatOptions): Promise<void> {
  if (options.count === 0) return;
  const limit = Math.min(options.count, BATCH_LIMIT);
  using reader = LogReader.open(path, { from: options.from, limit });
  let printed = 0;
  for await (const batch of options.follow ? reader : until(reader)) {
    for (const message of batch) {
      printMessage(paper, message);
      printed += 1;
      if (printed >= options.count) return;
    }
  }
}
