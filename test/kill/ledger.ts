/**
 * Ledger: what writers were told that they had written, what readers said that they had read, and the sum of both.
 */
import type { Line } from '../drivers/drive.ts';

const key = (run: number, index: number) => run * 2 ** 24 + index;

/** What is wrong, in numbers; all of them zero when the promises are kept. */
export interface Sum {
  written: number;
  delivered: number;
  lost: number;
  torn: number;
  /** Delivered without the flag, but for the first time. */
  duplicates: number;
  /** Delivered again with it. */
  redelivered: number;
}

/** Keeps the books of one trial. */
export class Ledger {
  #written = new Set<number>();
  #delivered = new Map<number, number>();
  #torn = 0;
  #redelivered = 0;
  /** When something was read last, and the longest time in which nothing was. */
  #last = 0;
  longestStallMs = 0;

  /** Takes a line of `produce` or `consume`. */
  readonly take = (line: Line): void => {
    if (Array.isArray(line['wrote'])) {
      const [run, first, count] = line['wrote'] as [number, number, number];
      for (let index = first; index < first + count; index += 1) this.#written.add(key(run, index));
    }
    if (!Array.isArray(line['read'])) return;
    this.#torn += Number(line['torn'] ?? 0);
    for (const [run, index, again] of line['read'] as [number, number, number][]) {
      const unflagged = this.#delivered.get(key(run, index)) ?? 0;
      if (again === 1) this.#redelivered += 1;
      this.#delivered.set(key(run, index), unflagged + 1 - again);
    }
    const now = performance.now();
    if (this.#last > 0) this.longestStallMs = Math.max(this.longestStallMs, now - this.#last);
    this.#last = now;
  };

  /** Measures stalls from now on. */
  startClock(): void {
    this.#last = performance.now();
    this.longestStallMs = 0;
  }

  /** How many messages of a run were read. */
  readOf(run: number): number {
    let count = 0;
    for (const seen of this.#delivered.keys()) if (Math.floor(seen / 2 ** 24) === run) count += 1;
    return count;
  }

  sum(): Sum {
    let lost = 0;
    for (const written of this.#written) if (!this.#delivered.has(written)) lost += 1;
    // What the dead said last may be read after what their heirs said, so the order of lines proves nothing.
    let duplicates = 0;
    for (const unflagged of this.#delivered.values()) duplicates += Math.max(0, unflagged - 1);
    return {
      written: this.#written.size,
      delivered: this.#delivered.size,
      lost,
      torn: this.#torn,
      duplicates,
      redelivered: this.#redelivered,
    };
  }
}
