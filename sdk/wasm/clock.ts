/**
 * Clock: what a module asks of its host's time.
 */

/** Further apart than this, the wall clock was set. */
const SET_MS = 5;
/** How often the two clocks are held against each other. */
const LOOK_MS = 1_000;

let offset = performance.timeOrigin;
let looked = 0;

/** Milliseconds since 1970, with fractions: the monotonic clock, which follows the wall clock when that is set. */
export function wallMs(): number {
  const monotonic = performance.now();
  if (monotonic - looked > LOOK_MS) {
    looked = monotonic;
    const wall = Date.now();
    if (Math.abs(offset + monotonic - wall) > SET_MS) offset = wall - monotonic;
  }
  return offset + monotonic;
}

/** Nanoseconds since 1970. */
export function wallNs(): bigint {
  const ms = wallMs();
  const whole = Math.floor(ms);
  return BigInt(whole) * 1_000_000n + BigInt(Math.floor((ms - whole) * 1e6));
}
