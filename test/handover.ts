/**
 * Hand-over: readers of a recorded channel that fall behind, catch up, and fall behind again, a million records long.
 *
 * A writer goes through 1,024 slots in bursts, each at full speed, so a reader that sleeps for a moment is lapped, and
 * reads the log until the ring has its next message. Nobody may see a gap, a duplicate, or a byte that was not written.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { Region } from '../sdk/index.ts';
import { Crew } from './cross/crew.ts';
import { below, dice } from './dice.ts';
import { build, type Driver, type Language } from './drivers/drive.ts';

const READERS: readonly Language[] = ['node', 'python', 'rust'];
const COUNT = 1_000_000;
const CAPACITY = 1_024;
const SIZE = 32;
const BATCH = 512;
const BURST_MAX = 6_000;
const PAUSE_MS = 10;
/** A reader sleeps for up to so long before one read in eight. */
const NAP_MS = 8;
/** After so many bursts all readers are given the time to come back to the ring. */
const REST = 4;

const handover = suite('handover');
let crew: Crew;
let log: string;

handover.before(async () => {
  crew = new Crew(READERS, build(false));
  log = mkdtempSync(join(tmpdir(), 'tailrace-handover-'));
  await crew.renew();
});

handover.after(async () => {
  await crew.end();
  rmSync(log, { recursive: true, force: true });
});

handover(`${COUNT} records from ring to log to ring, without gap or duplicate`, async () => {
  const channel = 'orders';
  const recorder = await crew.start('c');
  await recorder.must({ op: 'create_channel', name: channel, kind: 'stream', capacity: CAPACITY, recorded: true });
  await recorder.must({ op: 'record', channel, log });
  const readers: Driver[] = await crew.startAll();
  const ask = { op: 'follow', run: 7, count: COUNT, batch: BATCH, nap_ms: NAP_MS, span: CAPACITY };
  for (const reader of readers) await reader.must({ op: 'open_consumer', channel, from: 'oldest' });
  const followed = readers.map((reader) => reader.must(ask));
  const writer = await crew.start('rust');
  await writer.must({ op: 'open_producer', channel });
  using region = Region.open(crew.path);
  const isNear = () => {
    const subscribers = region.stats().participants.filter(({ role }) => role === 'subscriber');
    equal(subscribers.length, readers.length);
    return subscribers.every(({ lag }) => lag !== null && lag < CAPACITY);
  };
  const roll = dice(0x5eed);
  let rests = 0;
  for (let first = 0, bursts = 1; first < COUNT; bursts += 1) {
    const count = Math.min(COUNT - first, 1 + below(roll, BURST_MAX));
    await writer.must({ op: 'produce', run: 7, first, count, batch: BATCH, size: SIZE });
    first += count;
    await sleep(below(roll, PAUSE_MS));
    if (bursts % REST > 0) continue;
    while (!isNear()) await sleep(1);
    rests += 1;
  }
  for (const [index, answer] of (await Promise.all(followed)).entries()) {
    const { count, wrong, far, turns } = answer as Record<string, number>;
    deepEqual({ count, wrong }, { count: COUNT, wrong: 0 }, READERS[index]);
    ok(
      rests > 5 && far! > rests && turns! >= rests,
      `${READERS[index]} was lapped ${far} times and came back ${turns} times`,
    );
  }
});

handover.run();
