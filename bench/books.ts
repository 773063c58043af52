/** Books: what a command costs on one core, in ordinary streams and in the worst ones, beside a book of others. */
import { rmSync } from 'node:fs';
import { type Bench, inTurns, keep, type Take } from './turns.ts';

/** Everything that is promised of a book without its exchange. */
export async function book(bench: Bench): Promise<void> {
  const { workshop, sampler } = bench;
  const path = `/dev/shm/bench-flow-${process.pid}`;
  const run = (...words: string[]) => sampler.run([workshop.binary, 'book', ...words]);
  const takes = new Map<string, Take>([
    ['book nasdaq', () => run('nasdaq')],
    ['book cancel-heavy', () => run('cancel-heavy')],
    ['book cancel-any', () => run('cancel-heavy', '--any')],
  ]);
  if (!workshop.missing.has('nodejs-order-book')) {
    await run('write', path, '--count', '200000');
    takes.set('book nodejs-order-book', () => sampler.run(workshop.node('rivals/order_book.js', path)));
  }
  try {
    await inTurns(bench, 1 + 2 * bench.effort, takes);
  } finally {
    rmSync(path, { force: true });
  }
  for (let turn = 0; turn < bench.effort; turn += 1) {
    for (const sample of await run('worst')) keep(bench, `book ${sample.subject}`, sample);
  }
}
