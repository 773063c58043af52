/**
 * Wasm: the core in WebAssembly beside the native library.
 *
 * The bars compare the backends as people use them: one program over the classes, run on either. Printed beside them are
 * the bare queue and the bare book in Rust, and the module's calls without the classes.
 */
import { rmSync } from 'node:fs';
import type { Sample } from './sampling.ts';
import { type Bench, inTurns, keep, type Take } from './turns.ts';

const RING = { bytes: 64, batch: 32, count: 1_024_000 };
const COMMANDS = 200_000;

/** One book on both backends: the same events, and the same state to the bit. */
function mustAgree(books: Sample[]): void {
  const answers = new Set(books.map(({ events, hash }) => `${events} events and the hash ${hash}`));
  if (answers.size > 1) throw new Error(`the book gave ${[...answers].join(', and ')}`);
}

/** Everything that is promised of WebAssembly, without kernels. */
export async function wasm(bench: Bench): Promise<void> {
  const { workshop, sampler, samples } = bench;
  const path = `/dev/shm/bench-wasm-${process.pid}`;
  const { bytes, batch, count } = RING;
  const rust = ['one-way', 'queue', '--bytes', `${bytes}`, '--batch', `${batch}`, '--count', `${count}`];
  const takes = new Map<string, Take>();
  for (const ring of ['native', 'wasm', 'calls']) {
    const program = workshop.node('node/threads.ts', ring, bytes, batch, count);
    takes.set(`threads ${bytes} x${batch} ${ring}`, () => sampler.run(program));
  }
  takes.set(`threads ${bytes} x${batch} rust`, () => sampler.run([workshop.binary, ...rust]));
  for (const backend of ['native', 'wasm']) {
    const program = workshop.node('node/flow.ts', backend, path);
    takes.set(`flow ${backend}`, () => sampler.run(program));
  }
  takes.set('flow rust', () => sampler.run([workshop.binary, 'book', 'nasdaq', '--count', `${COMMANDS}`]));
  try {
    await sampler.run([workshop.binary, 'book', 'write', path, '--count', `${COMMANDS}`]);
    await inTurns(bench, 1 + bench.effort, takes);
    mustAgree(['flow native', 'flow wasm'].flatMap((name) => samples.get(name) ?? []));
  } finally {
    rmSync(path, { force: true });
  }
  for (const sample of await sampler.run(workshop.node('node/cold.ts', 15 * bench.effort), 60_000)) {
    keep(bench, `cold ${sample.subject}`, sample);
  }
}
