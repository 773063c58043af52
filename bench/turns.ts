/**
 * Turns: samples kept by name, taken in turns.
 */
import type { Sample, Sampler } from './sampling.ts';
import type { Workshop } from './workshop.ts';

/** All samples, by name, in the order of their turns. */
export type Samples = Map<string, Sample[]>;

/** What a group needs. */
export interface Bench {
  readonly workshop: Workshop;
  readonly sampler: Sampler;
  readonly samples: Samples;
  /** 1 for `--quick`, more otherwise. */
  readonly effort: number;
}

/** Takes samples. */
export type Take = () => Promise<Sample[]>;

/** Keeps a sample. */
export function keep(bench: Bench, name: string, sample: Sample): void {
  const kept = bench.samples.get(name);
  if (kept === undefined) bench.samples.set(name, [sample]);
  else kept.push(sample);
}

/** Takes every named sample once, and again for as many turns as there are; a subject that fails is missing from then on. */
export async function inTurns(bench: Bench, turns: number, takes: Map<string, Take>): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    for (const [name, take] of takes) {
      try {
        keep(bench, name, await bench.sampler.bracketed(take));
      } catch (error) {
        bench.workshop.missing.set(name, (error as Error).message);
        takes.delete(name);
      }
    }
  }
}
