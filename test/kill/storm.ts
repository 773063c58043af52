/**
 * Storm: writers and readers of three languages under load, killed at random and started again, hundreds of times.
 *
 * Each post has a next process ready before the one that fills it is killed, so that the load hardly stops. At the end
 * the readers drain the queue, and every message that a writer was told to be written must have been read.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Region } from '../../sdk/index.ts';
import { below, dice, pick } from '../dice.ts';
import { type Builds, Driver, type Language } from '../drivers/drive.ts';
import { removeRegion } from '../scratch.ts';
import { Ledger, type Sum } from './ledger.ts';

/** What a storm did. */
export interface Result extends Sum {
  kills: Record<Language, number>;
  abandoned: number;
  recoveries: number;
  longestStallMs: number;
  participantsLeft: number;
}

/** Share of writers: few, so that they are killed while they write and not while they wait for room. */
const WRITERS = 0.3;
/** Three of four are Rust: they start in milliseconds, so that there are many kills a second. */
const CREW: Language[] = ['rust', 'rust', 'rust', 'node', 'rust', 'rust', 'rust', 'python'];

/** Kills `kills` processes at random; `seed` chooses when and whom. */
export async function storm(kills: number, seed: number, builds: Builds): Promise<Result> {
  const roll = dice(seed);
  const path = `/dev/shm/tailrace-storm-${process.pid}`;
  const region = Region.create(path);
  region.createChannel('c', { kind: 'queue', capacity: 256 });
  const ledger = new Ledger();
  const killed: Record<Language, number> = { rust: 0, node: 0, python: 0, c: 0 };
  let left = kills;
  let run = 10;
  const drivers = new Set<Driver>();
  const start = async (language: Language, isWriter = roll() < WRITERS) => {
    const driver = new Driver(language, builds);
    drivers.add(driver);
    driver.onLoad = ledger.take;
    await driver.must({ op: 'open', path });
    await driver.must({ op: isWriter ? 'open_producer' : 'open_consumer', channel: 'c', label: `${language}` });
    run += 1;
    const [batch, size] = [1 + below(roll, 8), pick(roll, [64, 64, 2_500, 30_000, 60_000])];
    const load = isWriter
      ? driver.ask({ op: 'produce', run, count: 2_000_000, batch, size })
      : driver.ask({ op: 'consume', batch, take: true, idle_ms: 600_000 });
    load.catch(() => {});
    return driver;
  };
  const post = async (language: Language) => {
    let now = await start(language);
    while (left > 0) {
      const next = start(language);
      await sleep(5 + roll() * 40);
      const successor = await next;
      left -= 1;
      killed[language] += 1;
      now.signal('SIGKILL');
      assert.equal(await now.ended, 'SIGKILL', `a ${language} driver ended by itself: ${now.errors}`);
      drivers.delete(now);
      now = successor;
    }
    now.signal('SIGKILL');
    await now.ended;
    drivers.delete(now);
  };
  try {
    ledger.startClock();
    await Promise.all(CREW.map(post));
    const longestStallMs = ledger.longestStallMs;
    const last = await start('rust', false);
    const deadline = performance.now() + 30_000;
    const isDrained = () => region.channels()[0]?.depth === 0 && ledger.sum().lost === 0;
    while (!isDrained() && performance.now() < deadline) await sleep(20);
    // What the dead left is dealt with when somebody joins.
    const joiner = await start('rust', false);
    const { counters } = region.channels()[0] ?? assert.fail('the channel is there');
    const participantsLeft = region.stats().participants.length;
    for (const driver of [last, joiner]) driver.signal('SIGKILL');
    return {
      ...ledger.sum(),
      kills: killed,
      abandoned: counters.abandoned,
      recoveries: counters.recoveries,
      longestStallMs,
      participantsLeft,
    };
  } finally {
    for (const driver of drivers) driver.signal('SIGKILL');
    await Promise.all([...drivers].map((driver) => driver.ended));
    region.close();
    removeRegion(path);
  }
}
