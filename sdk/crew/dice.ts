/**
 * Dice: random numbers that a seed decides, the same on every machine (sfc32).
 *
 * `Math.random` cannot be seeded, and a run that found a fault must be repeatable. Nothing here is secret.
 */
export class Dice {
  #a = 0x9e3779b9;
  #b = 0x243f6a88;
  #c: number;
  #count = 1;

  constructor(seed: number) {
    this.#c = seed >>> 0;
    for (let round = 0; round < 15; round++) this.word();
  }

  /** The next 32 bits. */
  word(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** At least 0, below 1. */
  fraction(): number {
    return this.word() / 4294967296;
  }

  /** A whole number, at least 0, below `limit`. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }
}

/**
 * Whole numbers from 0 to `count - 1`, the number `k` as likely as `(k + 1) ** -exponent`: a power law, truncated.
 */
export class PowerLaw {
  readonly #cumulative: Float64Array;

  constructor(exponent: number, count: number) {
    this.#cumulative = new Float64Array(count);
    let sum = 0;
    for (let k = 0; k < count; k++) {
      sum += (k + 1) ** -exponent;
      this.#cumulative[k] = sum;
    }
    for (let k = 0; k < count; k++) this.#cumulative[k] = this.#cumulative[k]! / sum;
  }

  /** Draws one. */
  draw(dice: Dice): number {
    const fraction = dice.fraction();
    let low = 0;
    let high = this.#cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#cumulative[middle]! > fraction) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
