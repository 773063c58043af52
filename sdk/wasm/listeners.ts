/**
 * Listeners: regions whose counters are looked at every 100 ms.
 */
import { find } from './handles.ts';
import { growing } from './stats.ts';

const PERIOD_MS = 100;

/** Region, channel, kind and count, one after the other. */
export type Grown = (grown: number[]) => void;

const timers = new Map<number, ReturnType<typeof setInterval>>();
let hear: Grown = () => {};

/** Says who hears. */
export function onGrown(call: Grown): void {
  hear = call;
}

/** Reports from now on what grows in a region's counters, or no longer. */
export function listen(region: number, isListening: boolean): void {
  clearInterval(timers.get(region));
  timers.delete(region);
  if (!isListening) return;
  find('region', region);
  let seen = growing(region);
  const timer = setInterval(() => {
    const current = growing(region);
    const grown = current.flatMap((counts, channel) =>
      counts.flatMap((count, kind) => {
        const more = Number(count - (seen[channel]?.[kind] ?? 0n));
        return more > 0 ? [region, channel, kind, more] : [];
      }),
    );
    seen = current;
    if (grown.length > 0) hear(grown);
  }, PERIOD_MS);
  if (typeof timer === 'object') timer.unref();
  timers.set(region, timer);
}

/** Forgets a region that is closed. */
export function forget(region: number): void {
  if (timers.has(region)) listen(region, false);
}
