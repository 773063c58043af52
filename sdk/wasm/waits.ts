/**
 * Waits: an event loop that is called when a word of the memory changes, on behalf of many handles.
 *
 * `Atomics.waitAsync` sleeps on the very word that the module's own notify wakes; where it is missing, a timer looks every
 * 4 ms. Nothing here blocks. A pending waitAsync does not keep Node alive, so a port does, as long as anybody waits.
 */
import { COUNT, HANDLE, numbers, words } from '../desk.ts';
import { type ConsumerEntry, type ProducerEntry, peek } from './handles.ts';
import { refuse } from './refusal.ts';

/** Longest nap, and while a hole is in the way; milliseconds. */
const NAP_MS = 10;
const PATIENCE_MS = 1;
/** How often a timer looks where there is no waitAsync. */
const LOOK_MS = 4;

const READY = 1;
const HOLE = 2;

type Outcome = 'ok' | 'not-equal' | 'timed-out';
type WaitAsync = (
  words: Int32Array,
  index: number,
  value: number,
  timeoutMs: number,
) => { async: true; value: Promise<Outcome> } | { async: false; value: Outcome };

const waitAsync = (Atomics as unknown as { waitAsync?: WaitAsync }).waitAsync;

/** Whoever waits for a handle. */
class Wait {
  readonly #entry: ProducerEntry | ConsumerEntry;
  readonly #tell: (wait: Wait) => void;
  readonly #words: Int32Array;
  readonly #index: number;
  #isOver = false;

  constructor(entry: ProducerEntry | ConsumerEntry, slots: number, tell: (wait: Wait) => void) {
    const { calls, memory } = entry.instance;
    const at =
      entry.kind === 'producer' ? calls.producer_watch(entry.at, Math.max(1, slots)) : calls.consumer_watch(entry.at);
    this.#entry = entry;
    this.#tell = tell;
    this.#words = new Int32Array(memory.buffer);
    this.#index = at >>> 2;
  }

  get handle(): number {
    return this.#entry.handle;
  }

  /** Nobody waits any more. */
  end(): void {
    this.#isOver = true;
  }

  #look(): number {
    const { calls } = this.#entry.instance;
    return this.#entry.kind === 'producer' ? calls.producer_look(this.#entry.at) : calls.consumer_look(this.#entry.at);
  }

  #after(hasTimedOut: boolean): number {
    const { calls } = this.#entry.instance;
    const flag = hasTimedOut ? 1 : 0;
    return this.#entry.kind === 'producer'
      ? calls.producer_after(this.#entry.at, flag)
      : calls.consumer_after(this.#entry.at, flag);
  }

  /** Looks, and comes back when there may be news. */
  go(): void {
    for (;;) {
      const seen = this.#look();
      if (seen === READY) {
        this.#tell(this);
        return;
      }
      const word = this.#entry.instance.number | 0;
      const napMs = seen === HOLE ? PATIENCE_MS : NAP_MS;
      if (waitAsync === undefined) {
        setTimeout(() => this.#woken(Atomics.load(this.#words, this.#index) === word), Math.min(napMs, LOOK_MS));
        return;
      }
      const nap = waitAsync(this.#words, this.#index, word, napMs);
      if (nap.async) {
        nap.value.then((outcome) => this.#woken(outcome === 'timed-out'));
        return;
      }
      if (this.#after(nap.value === 'timed-out') === READY) {
        this.#tell(this);
        return;
      }
    }
  }

  #woken(hasTimedOut: boolean): void {
    if (this.#isOver) return;
    if (this.#after(hasTimedOut) === READY) this.#tell(this);
    else this.go();
  }

  /** Wakes others for what this one was told of, and has not taken. */
  passOn(): void {
    const { kind, at, handle, instance } = this.#entry;
    if (kind === 'consumer' && peek(handle) === this.#entry) instance.calls.consumer_pass_on(at);
  }
}

interface Port {
  onmessage: () => void;
  ref(): void;
  unref(): void;
}

/** Keeps the process alive, where that needs something. */
class Keeper {
  /** Both ends: a port whose other end is collected is closed. */
  #ports: [Port, unknown] | undefined;

  static #open(): [Port, unknown] {
    const { port1, port2 } = new MessageChannel();
    const port = port1 as unknown as Port;
    port.onmessage = () => {};
    return [port, port2];
  }

  hold(isHeld: boolean): void {
    if (typeof process === 'undefined') return;
    this.#ports ??= Keeper.#open();
    const [port] = this.#ports;
    if (isHeld) port.ref();
    else port.unref();
  }
}

const waits = new Map<number, Wait>();
const keeper = new Keeper();

/** Calls with the handles that have something to do. */
export type Ready = (handles: number[]) => void;

let ready: Ready = () => {};

/** Says who hears. */
export function onReady(hear: Ready): void {
  ready = hear;
}

function end(handle: number): void {
  const wait = waits.get(handle);
  if (wait === undefined) return;
  wait.end();
  waits.delete(handle);
  if (waits.size === 0) keeper.hold(false);
}

function tell(wait: Wait): void {
  if (waits.get(wait.handle) !== wait) return;
  end(wait.handle);
  // Whoever asked is still in the call that asked.
  queueMicrotask(() => ready([wait.handle]));
  const timer = setTimeout(() => wait.passOn(), PATIENCE_MS);
  if (typeof timer === 'object') timer.unref();
}

/** Waits for the handle on the desk: for something to read, or for room for as many slots as the count says. */
export function begin(): void {
  const handle = numbers[HANDLE]!;
  const entry = peek(handle);
  if (handle < 0) refuse('ERR_UNSUPPORTED', 'linear memory has no recorders: nothing of it is ever on disk');
  if (entry?.kind !== 'producer' && entry?.kind !== 'consumer') {
    if (entry === undefined) refuse('ERR_CLOSED', 'this handle was closed');
    refuse('ERR_ARGUMENT', `nobody can wait for a ${entry.kind}`);
  }
  end(handle);
  const wait = new Wait(entry, words[COUNT]!, tell);
  if (waits.size === 0) keeper.hold(true);
  waits.set(handle, wait);
  wait.go();
}

/** Gives up the wait of the handle on the desk. */
export function cancel(): void {
  end(numbers[HANDLE]!);
}

/** Forgets a handle that is closed. */
export function forget(handle: number): void {
  end(handle);
}
