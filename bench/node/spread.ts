/** Spread: times in nanoseconds, told by quantiles in the same shape as the Rust side does. */

/** How a sample is spread. */
export interface Quantiles {
  count: number;
  p50: number;
  p99: number;
  p999: number;
  max: number;
}

/** Sorts `times`; what is between two of them is interpolated. */
export function quantiles(times: number[]): Quantiles {
  const sorted = Float64Array.from(times).sort();
  const at = (part: number) => {
    const place = part * (sorted.length - 1);
    const below = Math.floor(place);
    const low = sorted[below] ?? Number.NaN;
    const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? low;
    return Math.round((low + (high - low) * (place - below)) * 100) / 100;
  };
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

/** Prints one sample of `subject` as one line of JSON. */
export function print(subject: string, what: string, times: number[], perSecond: number): void {
  const { user, system } = process.cpuUsage();
  const line = { subject, what, ns: quantiles(times), per_second: Math.round(perSecond) };
  console.log(JSON.stringify({ ...line, cpu_seconds: (user + system) / 1e6 }));
}

/** Nanoseconds of a clock that every process of this host shares. */
export function monotonic(): number {
  return Number(process.hrtime.bigint());
}
