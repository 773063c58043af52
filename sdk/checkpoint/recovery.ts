/**
 * Recovery: a checkpoint, and every record of the log after it, in order, exactly once.
 */
import type { Batch } from '../batch.ts';
import { failure } from '../error.ts';
import { Log } from '../log.ts';
import { LogReader } from '../reader.ts';
import type { Checkpoint } from './checkpoints.ts';

/** What a state can be brought up to date from. */
export interface Recovery {
  /** Undefined: there is none, and the records begin with the first that is kept. */
  checkpoint: Checkpoint | undefined;
  /** Every record after the checkpoint, up to the last that was there when this was asked for. */
  records: AsyncIterable<Batch>;
  /** The last of them; the checkpoint's own when there is none. */
  lastSequence: bigint;
}

/** How a state is recovered. */
export interface RecoverOptions {
  /** Directory of the log whose records the state is made of. */
  log: string;
  /** Not the newest checkpoint, but this one. */
  checkpointId?: number | undefined;
  /** Only what is on disk for certain. */
  durableOnly?: boolean | undefined;
}

/** What brings a state that was checkpointed, or was not, up to date. */
export async function recoverFrom(checkpoint: Checkpoint | undefined, options: RecoverOptions): Promise<Recovery> {
  const { log, durableOnly } = options;
  const after = checkpoint?.sequence ?? 0n;
  const { firstSequence, lastSequence, durableSequence } = await Log.stat(log);
  const last = durableOnly ? durableSequence : lastSequence;
  if (firstSequence > after + 1n) {
    const wanted = `the state needs the records from ${after + 1n} on`;
    throw failure('ERR_GONE', `${wanted}, and the oldest that ${log} has is ${firstSequence}`);
  }
  if (last < after) {
    throw failure('ERR_CORRUPT', `the state contains record ${after}, and the last that ${log} has is ${last}`);
  }
  return { checkpoint, records: read(log, after + 1n, last, durableOnly ?? false), lastSequence: last };
}

async function* read(log: string, first: bigint, last: bigint, durableOnly: boolean): AsyncGenerator<Batch> {
  if (first > last) return;
  using reader = LogReader.open(log, { from: first, durableOnly });
  while (reader.position <= last) {
    const before = reader.position;
    let batch = reader.poll(Math.min(4_096, Number(last - before) + 1));
    if ((batch.at(-1)?.sequence ?? 0n) > last) {
      // Long messages take several sequences, so there were fewer messages than that; what comes later is not asked for.
      let count = 0;
      for (const { sequence } of batch) if (sequence <= last) count += 1;
      reader.seek(before);
      if (count === 0) return;
      batch = reader.poll(count);
    }
    if (batch.length > 0) yield batch;
    else if (reader.position <= last) await reader.wait({ timeoutMs: 25 });
  }
}
