/**
 * Waiting: who waits for which handle, while a native thread sleeps for all of them.
 *
 * A wait is one call into the library; the thread calls the event loop back once for all handles that became ready
 * (`News` in bindings/native/src/node). While somebody waits the process stays alive, as with an open socket. Nothing
 * here spins, and there is no Worker.
 */
import { failure, wrongArgument } from './error.ts';
import { COUNT, HANDLE, NUMBER, native, numbers, onNews, words } from './native.ts';

/** How a wait is limited. */
export interface WaitOptions {
  /** Ends the wait: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Longest wait, milliseconds; for ever without it. */
  timeoutMs?: number | undefined;
}

/** Hears that a region's counter has grown: the channel's index, which counter, and by how much. */
export type HearGrowth = (channel: number, kind: number, count: number) => void;

/** The longest that a timer of Node can run; more would run out at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

const waits = new Map<number, () => void>();
const listeners = new Map<number, HearGrowth>();

onNews((ready, grown) => {
  for (const handle of ready) {
    const come = waits.get(handle);
    waits.delete(handle);
    come?.();
  }
  for (let index = 0; index < grown.length; index += 4) {
    const [region, channel, kind, count] = grown.slice(index, index + 4) as [number, number, number, number];
    listeners.get(region)?.(channel, kind, count);
  }
});

/**
 * Calls `come` once, as soon as the handle has something to read, or room for `target` slots. A negated handle, of a
 * producer or a log, waits for the sequence `target` to be on disk, beside its wait for anything else.
 */
export function beginWait(handle: number, target: number, come: () => void): void {
  if (waits.has(handle)) throw failure('ERR_BUSY', 'somebody waits for this handle already');
  numbers[HANDLE] = handle;
  if (handle < 0) numbers[NUMBER] = target;
  else words[COUNT] = target;
  native().wait();
  waits.set(handle, come);
}

/** Gives up a wait. */
export function endWait(handle: number): void {
  if (!waits.delete(handle)) return;
  numbers[HANDLE] = handle;
  native().cancel();
}

/** Tells `hear` from now on what grows in a region's counters; without it, nobody. */
export function listen(region: number, hear: HearGrowth | undefined): void {
  if (hear) listeners.set(region, hear);
  else listeners.delete(region);
  native().listen(region, hear !== undefined);
}

/** Forgets a handle that was closed. */
export function forget(handle: number): void {
  waits.delete(handle);
  waits.delete(-handle);
  listeners.delete(handle);
}

/** A timer for the end of a wait, unless that never comes. */
export function startTimer(timeoutMs: number | undefined, call: () => void): NodeJS.Timeout | undefined {
  if (timeoutMs === undefined || timeoutMs === Number.POSITIVE_INFINITY) return undefined;
  if (!(timeoutMs >= 0)) throw wrongArgument(`timeoutMs is ${timeoutMs}; give milliseconds, or nothing`);
  return setTimeout(call, Math.min(timeoutMs, TIMER_MAX_MS));
}

/** One wait of one handle, as a promise that can be ended from several sides. */
export class Wait {
  readonly #handle: number;
  #settle: ((error: unknown, isReady: boolean) => void) | undefined;

  constructor(handle: number) {
    this.#handle = handle;
  }

  /** True when there is something to do, false when the time is up; rejects with the reason of an abort. */
  begin(slots: number, options: WaitOptions): Promise<boolean> {
    const { signal, timeoutMs } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const timer = startTimer(timeoutMs, () => this.#settle?.(undefined, false));
      try {
        beginWait(this.#handle, slots, () => this.#settle?.(undefined, true));
      } catch (error) {
        clearTimeout(timer);
        throw error;
      }
      const abort = () => this.end(signal?.reason);
      signal?.addEventListener('abort', abort, { once: true });
      this.#settle = (error, isReady) => {
        this.#settle = undefined;
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        endWait(this.#handle);
        if (error === undefined) resolve(isReady);
        else reject(error);
      };
    });
  }

  /** Ends the wait with an error, if there is one. */
  end(error: unknown): void {
    this.#settle?.(error, false);
  }
}
