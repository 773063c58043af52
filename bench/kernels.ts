/** Kernels: what a filter in AssemblyScript costs for a record, beside JavaScript. */
import { type Bench, keep } from './turns.ts';

/** Everything that is promised of kernels. Each sample has its floor in it. */
export async function kernels(bench: Bench): Promise<void> {
  const { workshop, sampler } = bench;
  for (let turn = 0; turn < 3 * bench.effort; turn += 1) {
    for (const sample of await sampler.run(workshop.node('node/kernels.ts', 400))) {
      if (sample.what === 'kernel') keep(bench, `kernel ${sample.subject}`, sample);
    }
  }
}
