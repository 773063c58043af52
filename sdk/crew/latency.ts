/**
 * Latency: how long messages were on the way, as a histogram of microseconds.
 *
 * Below 64 us each microsecond has a bucket; above, each power of two has 32, so a quantile is at most 3 % too low.
 */
const EXACT = 64;
const STEPS = 32;
const POWERS = 32;

/** Counts of latencies. */
export class Latency {
  readonly #counts = new Float64Array(EXACT + POWERS * STEPS);
  #total = 0;
  #max = 0;

  get count(): number {
    return this.#total;
  }

  /** The longest one, in microseconds, exact. */
  get max(): number {
    return this.#max;
  }

  /** Counts `count` messages that took `microseconds`; what a clock set back makes negative counts as 0. */
  add(microseconds: number, count = 1): void {
    const value = Math.max(0, Math.floor(microseconds));
    const bucket = bucketOf(value);
    this.#counts[bucket] = this.#counts[bucket]! + count;
    this.#total += count;
    this.#max = Math.max(this.#max, value);
  }

  /** Adds everything that another one counted. */
  merge(other: Latency): void {
    for (const [bucket, count] of other.#counts.entries()) {
      this.#counts[bucket] = this.#counts[bucket]! + count;
    }
    this.#total += other.#total;
    this.#max = Math.max(this.#max, other.#max);
  }

  /** The latency that `share` of the messages did not exceed, in microseconds; 0 when there were none. */
  quantile(share: number): number {
    const wanted = Math.ceil(this.#total * share);
    let seen = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      seen += count;
      if (seen >= wanted && count > 0) return Math.min(lowestOf(bucket), this.#max);
    }
    return 0;
  }
}

function bucketOf(value: number): number {
  if (value < EXACT) return value;
  const power = Math.min(Math.floor(Math.log2(value)) - 6, POWERS - 1);
  return EXACT + power * STEPS + Math.min(STEPS - 1, Math.floor((value / 2 ** (power + 6) - 1) * STEPS));
}

function lowestOf(bucket: number): number {
  if (bucket < EXACT) return bucket;
  const power = Math.floor((bucket - EXACT) / STEPS);
  return Math.floor(2 ** (power + 6) * (1 + ((bucket - EXACT) % STEPS) / STEPS));
}
