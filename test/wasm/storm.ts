/**
 * Storm: threads that write and take as fast as they can are ended at any moment, again and again; whoever is left gets all
 * that they were told to be written, whole, and once but for what is flagged.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Consumer, Region } from '../../sdk/index.ts';
import { eventually } from '../scratch.ts';
import { indexOf } from './threads/messages.ts';
import { Thread, WORD } from './threads/thread.ts';

process.env.TAILRACE_BACKEND = 'wasm';

const VICTIM = import.meta.resolve('./threads/victim.ts');
const ROUNDS = 10;
/** Messages that a writer has to write, if it is left alone. */
const COUNT = 6_000;
const SEED = Number(process.env.TAILRACE_STORM_SEED ?? Date.now() % 1_000_000);

let state = SEED;
function random(below: number): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return (state >>> 8) % below;
}

interface Seen {
  plain: Map<number, number>;
  all: Set<number>;
}

function read(consumer: Consumer, seen: Seen): void {
  for (const message of consumer.poll()) {
    const index = indexOf(message);
    seen.all.add(index);
    if (!message.redelivered) seen.plain.set(index, (seen.plain.get(index) ?? 0) + 1);
  }
}

async function round(
  number: number,
  takers: number,
  seen: Seen,
  region: Region,
  consumer: Consumer,
): Promise<Thread[]> {
  const writer = new Thread(region, VICTIM, { step: '', asks: [{ op: 'pour', first: number * COUNT, count: COUNT }] });
  const readers = Array.from({ length: takers }, () => {
    return new Thread(region, VICTIM, { step: '', asks: [{ op: 'read', isTaking: true }] });
  });
  const threads = [writer, ...readers];
  const least = random(COUNT / 2);
  const end = performance.now() + 60_000;
  while (writer.written < least) {
    for (const { failure } of threads) if (failure !== undefined) throw failure;
    assert.ok(performance.now() < end, `the writer stands at ${writer.written}`);
    await consumer.wait({ timeoutMs: 5 });
    // Now and then the readers are left alone with it.
    if (random(3) > 0) read(consumer, seen);
  }
  await sleep(random(4));
  for (const thread of threads.sort(() => random(3) - 1)) await thread.end();
  assert.ok(writer.words[WORD.written]! >= least);
  return threads;
}

const storm = suite('storm of threads');

for (const takers of [0, 1, 2]) {
  storm(`nothing is lost with ${takers} takers that are ended, too (seed ${SEED})`, async () => {
    using region = Region.memory({ limitBytes: 8 << 20 });
    region.createChannel('c', { capacity: 512, checksum: true });
    const consumer = region.openConsumer('c');
    const seen: Seen = { plain: new Map(), all: new Set() };
    for (let number = 0; number < ROUNDS; number += 1) {
      const threads = await round(number, takers, seen, region, consumer);
      const written = threads.reduce((sum, { written }) => sum + written, 0);
      const first = number * COUNT;
      const isMissing = (index: number) => !seen.all.has(index) && !threads.some((one) => one.hasRead(index));
      const missing = () => Array.from({ length: written }, (_, index) => first + index).filter(isMissing);
      await eventually(() => {
        read(consumer, seen);
        region.unblock();
        return missing().length === 0 && region.stats().participants.length === 1;
      }).catch(() => assert.equal(missing().slice(0, 8), [], `round ${number}: lost, or somebody is left`));
      for (const [index, count] of seen.plain) {
        const before = threads.filter((one) => one.hasRead(index)).length;
        assert.ok(count + Math.min(before, 1) <= 1, `message ${index} was delivered twice, and not flagged`);
      }
    }
    const { counters } = region.channels()[0]!;
    assert.equal([counters.corrupt, counters.unattributed], [0, 0]);
    consumer.close();
  });
}

storm.run();
