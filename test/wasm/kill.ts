/**
 * Kill: the kill matrix in one process. A thread is ended at a named step of the protocol, in the middle of a claim, with
 * the lock in its hands, in a repair, in a wait; the others go on, and nothing that anybody was told to be written is lost.
 *
 * The steps are in a module that was built for this (`target/pause-wasm`); where it cannot be built, that is said. Every
 * step that it can stop at has a case: the test looks for the names of the sources among the bytes of the module.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ChannelOptions, type Consumer, type Producer, Region } from '../../sdk/index.ts';
import { eventually } from '../scratch.ts';
import { buildPaused, PAUSED } from './paused.ts';
import { indexOf, messageOf } from './threads/messages.ts';
import { Thread, WORD } from './threads/thread.ts';
import type { Ask } from './threads/victim.ts';

const CORE = fileURLToPath(new URL('../../core/src', import.meta.url));
const VICTIM = import.meta.resolve('./threads/victim.ts');
/** Messages of the test itself, before and after the death; the victim's begin above. */
const BEFORE = 12;
const AFTER = 30;
const VICTIMS = 1_000;
/** No step: it sleeps in `memory.atomic.wait32`. */
const ASLEEP = 'asleep';

process.env.TAILRACE_BACKEND = 'wasm';
process.env.TAILRACE_WASM = PAUSED;

interface Job {
  step: string;
  channel: 'queue' | 'stream' | 'exclusive';
  asks: Ask[];
  /** Somebody was ended before, in the middle of this; the victim finds it. */
  before?: { step: string; asks: Ask[] };
  /** It waits at this step until the test has overtaken it. */
  via?: string;
}

const CHANNELS: Record<Job['channel'], ChannelOptions> = {
  queue: { capacity: 256 },
  stream: { kind: 'stream', capacity: 256, gated: true },
  exclusive: { capacity: 256, exclusiveProducer: true },
};

const write = (size: number): Ask[] => [{ op: 'write', first: VICTIMS, count: 60, size }];
const take: Ask[] = [{ op: 'read', isTaking: true }];
const dyingTaker = { before: { step: 'take.read', asks: take } };
/** Its hole is nobody's by any intent, so its burial leaves it to whoever meets it. */
const dyingOwner = { before: { step: 'write.claimed', asks: write(64) } };

function jobs(steps: string, channel: Job['channel'], asks: Ask[], more: Partial<Job> = {}): Job[] {
  return steps.split(' ').map((step) => ({ step, channel, asks, ...more }));
}

const JOBS: Job[] = [
  ...jobs(
    'write.looked write.trying write.claimed write.writing write.publish write.filled write.published',
    'queue',
    write(64),
  ),
  ...jobs('write.publish', 'queue', write(2_500)),
  ...jobs('write.rewriting write.publish', 'stream', write(64)),
  ...jobs('write.claimed write.publish', 'exclusive', write(64)),
  ...jobs('wake.seen wake.swapped wake.signalled', 'queue', write(64)),
  ...jobs('take.looked take.trying take.claimed take.taking take.read take.release take.released', 'queue', take),
  ...jobs('write.lost', 'queue', write(64), { via: 'write.trying' }),
  ...jobs('take.lost', 'queue', take, { via: 'take.trying' }),
  ...jobs('take.inherited heir.locked heir.planned heir.taking', 'queue', take, dyingTaker),
  ...jobs('repair.locked repair.decided repair.tombstone repair.publish', 'exclusive', take, dyingOwner),
  ...jobs('free.role free.intent', 'queue', take, dyingTaker),
  ...jobs('stream.copy stream.copied stream.moved', 'stream', [{ op: 'read', isTaking: false }]),
  ...jobs('wait.armed wait.woken', 'queue', take),
  ...jobs(`wait.sleeping ${ASLEEP}`, 'queue', [{ op: 'sleep' }]),
  ...jobs('join.locked join.joining join.filled join.done', 'queue', [{ op: 'open', as: 'consumer' }]),
  ...jobs('join.role', 'exclusive', [{ op: 'open', as: 'producer' }]),
  ...jobs('join.live', 'stream', [{ op: 'open', as: 'consumer' }]),
  ...jobs('close.role close.state', 'queue', [{ op: 'open', as: 'consumer' }, { op: 'close' }]),
];

/** The names of steps in the sources whose code is in the module. */
function stepsOf(module: Uint8Array): string[] {
  const bytes = Buffer.from(module);
  const files = readdirSync(CORE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.rs'));
  const found = files.flatMap((file) => [
    ...readFileSync(join(CORE, file), 'utf8').matchAll(/\bstep\("([a-z_.]+)"\)/g),
  ]);
  return [...new Set(found.map(([, name = '']) => name))].filter((name) => bytes.includes(name)).sort();
}

/** One trial: what the test's own reader got, and what was promised. */
class Trial implements Disposable {
  readonly region = Region.memory({ limitBytes: 4 << 20 });
  readonly #seen = new Map<number, { plain: number; again: number }>();
  readonly #threads: Thread[] = [];
  readonly #job: Job;
  /** Numbers of the messages that the test has sent. */
  readonly #sent: number[] = [];

  constructor(job: Job) {
    this.#job = job;
    this.region.createChannel('c', CHANNELS[job.channel]);
  }

  async play(): Promise<void> {
    const { step, channel, asks, before, via } = this.#job;
    using consumer = this.region.openConsumer('c', channel === 'stream' ? { from: 'oldest' } : {});
    let producer = channel === 'exclusive' ? undefined : this.region.openProducer('c');
    if (producer) for (let index = 0; index < BEFORE; index += 1) await this.#send(producer);
    if (before) await this.#die(before.step, before.asks);
    const isWaking = step.startsWith('wake.');
    const isSleeping = step === 'wait.sleeping' || step === ASLEEP;
    if (isWaking || isSleeping) this.#read(consumer);
    const waiting = isWaking ? consumer.wait({ timeoutMs: 30_000 }) : undefined;
    const victim = await this.#die(step, asks, via, async () => {
      if (producer) await this.#send(producer);
      this.#read(consumer);
    });
    await waiting;
    producer ??= this.region.openProducer('c');
    for (let count = 0; count < AFTER; count += 1) await this.#send(producer);
    await this.#readUntil(consumer, this.#wanted(victim));
    producer.close();
    await eventually(() => {
      // What the victim had read and not released is still to be read again.
      this.#read(consumer);
      this.region.unblock();
      return this.region.stats().participants.length === 1;
    });
    this.#judge(victim);
  }

  async #send(producer: Producer): Promise<void> {
    const index = this.#sent.length;
    await producer.send(messageOf(index, 64), { timeoutMs: 30_000 });
    this.#sent.push(index);
  }

  async #die(step: string, asks: Ask[], via?: string, overtake?: () => Promise<void>): Promise<Thread> {
    const thread = new Thread(this.region, VICTIM, { step, asks, via });
    this.#threads.push(thread);
    if (via) {
      await thread.until(WORD.via);
      await overtake?.();
      thread.letGo();
    }
    await thread.until(step === ASLEEP ? WORD.ready : WORD.step);
    if (step === ASLEEP) await sleep(50);
    await thread.end();
    return thread;
  }

  /** What must have been read by now: by the test, or by the victim that said so. */
  #wanted(victim: Thread): number[] {
    const its = Array.from({ length: victim.written }, (_, index) => VICTIMS + index);
    const isRead = (index: number) => this.#job.channel !== 'stream' && this.#threads.some((one) => one.hasRead(index));
    return [...this.#sent, ...its].filter((index) => !isRead(index));
  }

  async #readUntil(consumer: Consumer, wanted: number[]): Promise<void> {
    const end = performance.now() + 30_000;
    while (wanted.some((index) => !this.#seen.has(index))) {
      const missing = wanted.filter((index) => !this.#seen.has(index));
      assert.ok(performance.now() < end, `${missing.length} messages never came: ${missing.slice(0, 8)}`);
      await consumer.wait({ timeoutMs: 50 });
      this.#read(consumer);
    }
  }

  #read(consumer: Consumer): void {
    for (const message of consumer.poll()) {
      const seen = this.#seen.get(indexOf(message)) ?? { plain: 0, again: 0 };
      if (message.redelivered) seen.again += 1;
      else seen.plain += 1;
      this.#seen.set(indexOf(message), seen);
    }
  }

  #judge(victim: Thread): void {
    const { counters } = this.region.channels()[0]!;
    assert.is(counters.corrupt, 0);
    assert.is(counters.unattributed, 0);
    for (const [index, { plain }] of this.#seen) {
      const before = this.#job.channel !== 'stream' && victim.hasRead(index) ? 1 : 0;
      assert.ok(plain + before <= 1, `message ${index} was delivered twice, and not flagged`);
    }
  }

  [Symbol.dispose](): void {
    this.region.close();
  }
}

const kill = suite('kill of threads');
const missing = await buildPaused();

for (const job of JOBS) {
  const found = job.before ? ' after another death' : '';
  const name = `${job.step} on a ${job.channel}${found}, in ${job.asks.map(({ op }) => op).join(' and ')}`;
  if (missing) kill.skip(`${name}: ${missing}`);
  else
    kill(name, async () => {
      using trial = new Trial(job);
      await trial.play();
    });
}

if (missing) kill.skip(`every step has a case: ${missing}`);
else
  kill('every step that the module can stop at has a case', () => {
    const steps = stepsOf(readFileSync(join(PAUSED, 'rings.wasm')));
    assert.ok(steps.length > 40, `${steps.length} steps`);
    assert.equal(
      steps.filter((step) => !JOBS.some((job) => job.step === step)),
      [],
    );
  });

kill.run();
