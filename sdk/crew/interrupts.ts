/**
 * Interrupts: what a main job does when somebody wants it to end: once in good order, the second time at once.
 */

/** Under npm one Ctrl-C comes twice, from the terminal and from npm: only a later one means *now*. */
const AGAIN_MS = 500;

/** Listens for SIGINT, SIGTERM and SIGHUP from its making on: before that, they end the process. */
export class Interrupts {
  readonly #stop: () => void;
  #firstMs = 0;

  /** `stop` asks the job to end; it may be called more than once. */
  constructor(stop: () => void) {
    this.#stop = stop;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => this.hear());
  }

  /** As if a signal had come. */
  hear(): void {
    if (this.#firstMs > 0 && performance.now() - this.#firstMs > AGAIN_MS) process.exit(130);
    this.#firstMs ||= performance.now();
    this.#stop();
  }
}
