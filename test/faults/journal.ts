/**
 * Journal: what appenders were told that a log has, against what the log has.
 *
 * What was read once after a log was opened for writing is on disk, and as good as acknowledged from then on.
 */
import { LogReader } from '../../sdk/index.ts';
import { recognised } from './content.ts';

const key = (run: number, index: number) => run * 2 ** 28 + index;
const named = (record: number | undefined) =>
  record === undefined ? 'nothing' : `record ${record % 2 ** 28} of run ${Math.floor(record / 2 ** 28)}`;

/** What is wrong with a log; all of it zero when the promises are kept. */
export interface Findings {
  /** Acknowledged, and not there, or something else is there. */
  lost: number;
  /** No record that anybody appends. */
  invented: number;
  /** There twice, or not in the order of their run. */
  disordered: number;
  /** Numbers that have no record. */
  gaps: number;
  /** In words, of the first thing that is wrong. */
  first: string;
}

/** Keeps the books of one log. */
export class Journal {
  /** By sequence. */
  readonly #acknowledged = new Map<number, number>();
  /** Written, but not durable: kept by a kill, not by a power failure. */
  readonly #written = new Map<number, number>();
  /** From here on nothing counts as acknowledged. */
  #isFrozen = false;
  readonly #present = new Set<number>();
  /** Records that the last check has read. */
  records = 0;
  acknowledgements = 0;

  /** Takes a line of an appender. */
  readonly take = (words: string[]): void => {
    const [word, ...fields] = words;
    if (this.#isFrozen || (word !== 'd' && word !== 'm')) return;
    const [first, run, index, count] = fields.map(Number) as [number, number, number, number];
    const book = word === 'd' ? this.#acknowledged : this.#written;
    for (let i = 0; i < count; i += 1) book.set(first + i, key(run, index + i));
    if (word === 'd') this.acknowledgements += count;
  };

  /** The fault begins: what is heard from now on was perhaps said too late. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** The fault is over. */
  thaw(): void {
    this.#isFrozen = false;
  }

  /** What was written and not durable is not promised any more: the host went down. */
  forgetWritten(): void {
    this.#written.clear();
  }

  /** Whether the last check has read this record. */
  has(run: number, index: number): boolean {
    return this.#present.has(key(run, index));
  }

  /** Reads all of a log. */
  check(path: string): Findings {
    const findings: Findings = { lost: 0, invented: 0, disordered: 0, gaps: 0, first: '' };
    const wrong = (what: keyof Omit<Findings, 'first'>, said: string) => {
      findings[what] += 1;
      findings.first ||= said;
    };
    const present: number[] = [];
    const runs = new Map<number, number>();
    for (const { sequence, payload } of everything(path)) {
      const expected = present.length + 1;
      if (sequence !== expected) wrong('gaps', `${sequence} follows ${expected - 1}`);
      const [run, index] = recognised(payload) ?? [0, -1];
      if (index < 0) wrong('invented', `${sequence} is no record: ${payload.subarray(0, 32).toString('hex')}`);
      const next = runs.get(run) ?? 0;
      if (index !== next) wrong('disordered', `${sequence} is record ${index} of run ${run}; ${next} would be next`);
      runs.set(run, index + 1);
      present[sequence - 1] = key(run, index);
    }
    for (const book of [this.#acknowledged, this.#written]) {
      for (const [sequence, record] of book) {
        const found = present[sequence - 1];
        if (found !== record) wrong('lost', `${sequence} was ${named(record)}, and is ${named(found)}`);
      }
    }
    for (const [i, record] of present.entries()) this.#acknowledged.set(i + 1, record);
    this.#written.clear();
    this.#present.clear();
    for (const record of present) this.#present.add(record);
    this.records = present.length;
    return findings;
  }
}

function* everything(path: string): Generator<{ sequence: number; payload: Buffer }> {
  using reader = LogReader.open(path, { limit: 4_096 });
  for (let batch = reader.poll(4_096); batch.length > 0; batch = reader.poll(4_096)) {
    for (const { sequence, payload } of batch) {
      yield {
        sequence: Number(sequence),
        payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
      };
    }
  }
}

/** A log without fault. */
export const SOUND: Findings = { lost: 0, invented: 0, disordered: 0, gaps: 0, first: '' };
