/** Probe: the addon with the least that native calls and wakes can cost. */

interface Probe {
  /** A raw Node-API callback that takes one Uint8Array and looks at it. */
  empty(bytes: Uint8Array): void;
  /** Puts the calling thread on one processor. */
  pin(processor: number): void;
  /** Calls back `count` times, woken by a futex in the file, with the nanoseconds found there. */
  sleepOn(path: string, count: number, callback: (sent: number) => void): void;
}

/** Loads it, from where the workshop built it. */
export function loadProbe(): Probe {
  const addon = { exports: {} };
  process.dlopen(addon, process.env.TAILRACE_BENCH_PROBE!);
  return addon.exports as Probe;
}
