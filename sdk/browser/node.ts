/**
 * Node: the little that the classes use of Node's own modules, for pages. The bundle (scripts/browser.mjs) takes it in
 * their place.
 */

type Listener = (...words: never[]) => void;

/** An emitter of events; `newListener` is told of each listener before it is added. */
export class EventEmitter {
  readonly #listeners = new Map<string, Listener[]>();

  /** Adds a listener. */
  on(event: string, listener: Listener): this {
    this.emit('newListener', event, listener);
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    return this;
  }

  /** Adds a listener that hears once. */
  once(event: string, listener: Listener): this {
    const hear = (...words: never[]) => {
      this.off(event, hear);
      listener.apply(this, words);
    };
    return this.on(event, hear);
  }

  /** Takes a listener away. */
  off(event: string, listener: Listener): this {
    const left = (this.#listeners.get(event) ?? []).filter((other) => other !== listener);
    this.#listeners.set(event, left);
    return this;
  }

  addListener(event: string, listener: Listener): this {
    return this.on(event, listener);
  }

  removeListener(event: string, listener: Listener): this {
    return this.off(event, listener);
  }

  /** Calls the listeners of an event; whether there were any. */
  emit(event: string, ...words: unknown[]): boolean {
    const listeners = this.#listeners.get(event) ?? [];
    for (const listener of listeners) listener.apply(this, words as never[]);
    return listeners.length > 0;
  }
}

/** Lets the event loop turn: a message, because a page's timers sleep 4 ms when they are nested. */
export function setImmediate(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const heard = () => {
      port1.close();
      resolve();
    };
    Object.assign(port1, { onmessage: heard });
    port2.postMessage(undefined);
  });
}

/** There are no system errors here. */
export function getSystemErrorName(number: number): string {
  return `errno ${-number}`;
}

/** Whether it is one, of whatever realm. */
export function isUint8Array(value: unknown): value is Uint8Array {
  return Object.prototype.toString.call(value) === '[object Uint8Array]';
}
