/**
 * Laps: generated flow in stretches of a million records, each with a book and a seed of its own.
 *
 * A gateway that takes the place of another one goes on with exactly the next record, so it has to make again what was
 * made before; with laps that is the last stretch at most, whatever came before it. Lap 0 of a seed is its flow.
 */
import { Flow } from './flow.ts';
import { emptyRecord, LAP_STRIDE, type OrderRecord, type Source } from './record.ts';

/** Records of a lap. */
export const LAP_RECORDS = 2 ** 20;

/** Distance between the seeds of two laps. */
const SEED_STRIDE = 0x9e3779b1;

/** Generated flow without an end. */
export class Laps implements Source {
  readonly #seed: number;
  #flow: Flow;
  #lap = 0;
  #index = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.#flow = new Flow(seed);
  }

  next(into: OrderRecord): void {
    if (this.#index === LAP_RECORDS) this.#begin(this.#lap + 1);
    this.#flow.next(into);
    this.#index += 1;
    into.lap = this.#lap & 0xffff;
    into.orderId += into.lap * LAP_STRIDE;
  }

  seek(index: number): void {
    this.#begin(Math.floor(index / LAP_RECORDS));
    const into = emptyRecord();
    for (; this.#index < index % LAP_RECORDS; this.#index += 1) this.#flow.next(into);
  }

  #begin(lap: number): void {
    this.#lap = lap;
    this.#index = 0;
    this.#flow = new Flow((this.#seed + Math.imul(lap, SEED_STRIDE)) >>> 0);
  }
}
