/**
 * Run: `tailrace kernel run`, the messages of a channel through a kernel, to the terminal or to another channel.
 *
 * It reads as `tailrace tail` does, and asks for the same two words before it changes anything for others.
 */
import { BATCH_LIMIT } from '../consumer.ts';
import { KernelError } from '../kernel/failure.ts';
import type { Results } from '../kernel/results.ts';
import { untilAsked } from './ending.ts';
import { type Making, openKernel, shown } from './kernel-project.ts';
import type { Paper } from './paper.ts';
import { openEither, pathOf } from './places.ts';
import { checkReading } from './tail.ts';

/** What to run, and over what. */
export interface RunOptions {
  making: Making;
  from: 'latest' | 'oldest';
  /** How many results. */
  count: number;
  take: boolean;
  hold: boolean;
  /** Channel of the same region that the results are written to. */
  into: string | undefined;
  /** Type of the messages that are for the kernel, and of those that are written. */
  type: number | undefined;
  /** Passes over messages of another size. */
  skip: boolean;
  budget: number | undefined;
}

/** Runs until it is told to end, or has had as many results as were asked for. */
export async function kernelRun(
  paper: Paper,
  [regionName, channel, path]: [string, string, string],
  options: RunOptions,
): Promise<void> {
  const { type, budget, count } = options;
  const running = await openKernel(path, options.making, { type, budget, others: options.skip ? 'skip' : 'refuse' });
  using region = openEither(pathOf(regionName), false);
  const info = region.channels().find(({ name }) => name === channel);
  checkReading(info, channel, options);
  if (count === 0) return;
  const signal = untilAsked();
  const from = info?.kind === 'stream' ? options.from : undefined;
  // What is taken is gone for others: so nothing that is not wanted, when there is an end.
  const limit = options.take && Number.isFinite(count) ? 1 : Math.min(count, BATCH_LIMIT);
  using consumer = region.openConsumer(channel, { label: 'tailrace kernel', from, limit, signal });
  using producer = options.into === undefined ? undefined : region.openProducer(options.into, { label: running.name });
  let done = 0;
  try {
    for await (const results of consumer.pipe(running)) {
      const length = Math.min(results.length, count - done);
      for (let index = 0; index < length; index += 1) {
        if (producer) await producer.send(results.bytes(index)!, { type, signal });
        else print(paper, results, index);
      }
      done += length;
      if (done >= count) break;
    }
  } catch (error) {
    if (!signal.aborted || error instanceof KernelError) throw error;
  } finally {
    tell(paper, running.counters, options.into !== undefined);
  }
}

function print(paper: Paper, results: Results, index: number): void {
  const sequence = results.message(index)?.sequence;
  const record = results.at(index)!;
  const told = sequence === undefined ? record : { sequence, ...record };
  if (paper.isJson) paper.line(shown(told));
  else
    paper.line(
      Object.values(told)
        .map(plain)
        .join(paper.isTerminal ? '  ' : '\t'),
    );
}

function plain(value: unknown): string {
  const text = value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value);
  return text.replaceAll(/\p{Cc}/gu, '\uFFFD');
}

/** What the kernel has done: the answer, where the results went elsewhere. */
function tell(paper: Paper, counters: object & { records: number; nanoseconds: number }, isAnswer: boolean): void {
  if (paper.isJson && isAnswer) paper.json(counters);
  else if (paper.isTerminal || isAnswer) {
    const each = counters.records === 0 ? 0 : counters.nanoseconds / counters.records;
    const words = Object.entries(counters).map(([name, value]) => `${name} ${value}`);
    paper.line(`${words.join(', ')}; ${each.toFixed(1)} ns a record`);
  }
}
