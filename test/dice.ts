/**
 * Dice: numbers at random that a seed repeats. Small, and good enough to choose whom to kill and what to break.
 */

/** Throws a number from 0 up to, and without, 1. */
export type Dice = () => number;

export function dice(seed: number): Dice {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number below `end`. */
export function below(roll: Dice, end: number): number {
  return Math.floor(roll() * end);
}

/** One of several. */
export function pick<T>(roll: Dice, choices: readonly T[]): T {
  return choices[below(roll, choices.length)] as T;
}
