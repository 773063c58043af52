/**
 * Ranges: a set of positions, kept as few disjoint intervals `[from, to)`.
 *
 * A run of hours covers billions of positions in a handful of intervals, because readers read in order.
 */
export type Range = readonly [from: number, to: number];

/** A set of whole numbers. */
export class Ranges {
  /** Ascending, disjoint, never touching. */
  readonly #ranges: [number, number][] = [];
  #size = 0;

  /** How many numbers are in the set. */
  get size(): number {
    return this.#size;
  }

  /** Adds `[from, to)`; returns how many of them were not in the set before. */
  add(from: number, to: number): number {
    if (to <= from) return 0;
    const first = this.#firstEndingAtOrAfter(from);
    let count = 0;
    let held = 0;
    let low = from;
    let high = to;
    for (let index = first; index < this.#ranges.length; index++) {
      const [start, end] = this.#ranges[index]!;
      if (start > to) break;
      held += Math.max(0, Math.min(end, to) - Math.max(start, from));
      low = Math.min(low, start);
      high = Math.max(high, end);
      count += 1;
    }
    this.#ranges.splice(first, count, [low, high]);
    const added = to - from - held;
    this.#size += added;
    return added;
  }

  /** How many numbers of `[from, to)` are in the set. */
  countIn(from: number, to: number): number {
    let count = 0;
    for (let index = this.#firstEndingAtOrAfter(from); index < this.#ranges.length; index++) {
      const [start, end] = this.#ranges[index]!;
      if (start >= to) break;
      count += Math.max(0, Math.min(end, to) - Math.max(start, from));
    }
    return count;
  }

  /** How many numbers of `[from, to)` are in this set and in another one. */
  countBothIn(other: Ranges, from: number, to: number): number {
    let count = 0;
    for (const [start, end] of this.#ranges) count += other.countIn(Math.max(start, from), Math.min(end, to));
    return count;
  }

  *[Symbol.iterator](): IterableIterator<Range> {
    for (const range of this.#ranges) yield range;
  }

  #firstEndingAtOrAfter(position: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ranges[middle]![1] < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
