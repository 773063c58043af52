/**
 * Readback: a log from its oldest record on, in slices, so that whoever reads it has time for others in between.
 */
import { type Batch, LogReader, type Message } from '../index.ts';

const BATCH_RECORDS = 4_096;

/** Reads one log once. */
export class Readback {
  readonly #reader: LogReader;
  readonly #see: (sequence: number, message: Message) => void;

  /** Throws what `LogReader.open` throws. */
  constructor(path: string, see: (sequence: number, message: Message) => void) {
    this.#reader = LogReader.open(path, { from: 'oldest', reuse: true });
    this.#see = see;
  }

  /** Sequence of the next record. */
  get position(): number {
    return Number(this.#reader.position);
  }

  /**
   * Reads what there is, `limit` records at most; how many. Throws ERR_GONE when retention was quicker, ERR_CORRUPT at
   * damage.
   */
  read(limit: number): number {
    let count = 0;
    while (count < limit) {
      const batch: Batch = this.#reader.poll(Math.min(BATCH_RECORDS, limit - count));
      if (batch.length === 0) break;
      for (const message of batch) this.#see(Number(message.sequence), message);
      count += batch.length;
    }
    return count;
  }

  close(): void {
    this.#reader.close();
  }
}
