/**
 * Steps: every step of the protocol at which a process can be stopped, what brings it there, and what it then holds.
 */
import type { Line } from '../drivers/drive.ts';

/** What a victim does to reach a step. */
export interface Job {
  step: string;
  channel: 'queue' | 'stream' | 'exclusive';
  /** What it is asked, one after the other; it stops somewhere in between. */
  asks: Line[];
  /** Somebody died before, in the middle of this; the victim finds it. */
  before?: { asks: Line[]; step: string };
  /** It stops with the region lock in its hands: while it is stopped, nobody repairs or joins. */
  hasLock?: boolean;
}

const RUN = 1;
const write = (size: number): Line[] => [
  { op: 'open_producer', label: 'victim' },
  { op: 'produce', run: RUN, count: 40, batch: 3, size },
];
const take: Line[] = [
  { op: 'open_consumer', label: 'victim' },
  { op: 'consume', batch: 4, take: true, idle_ms: 700 },
];
const dyingWriter = {
  asks: [{ op: 'open_producer' }, { op: 'produce', run: 9, count: 3, batch: 3, size: 64 }],
  step: 'write.writing',
};
const dyingTaker = {
  asks: [{ op: 'open_consumer' }, { op: 'consume', batch: 4, take: true, idle_ms: 700 }],
  step: 'take.read',
};

const writing = [
  'write.looked',
  'write.trying',
  'write.claimed',
  'write.writing',
  'write.publish',
  'write.filled',
  'write.published',
];
const waking = ['wake.seen', 'wake.swapped', 'wake.signalled'];
const taking = [
  'take.looked',
  'take.trying',
  'take.claimed',
  'take.taking',
  'take.read',
  'take.release',
  'take.released',
];
const joining = ['join.locked', 'join.joining', 'join.filled', 'join.done'];
const repairing = ['repair.locked', 'repair.decided', 'repair.tombstone', 'repair.publish', 'free.role', 'free.intent'];
const inheriting = ['heir.locked', 'heir.planned', 'heir.taking'];

/** Every step, once. */
export const JOBS: Job[] = [
  ...writing.map((step): Job => ({ step, channel: 'queue', asks: write(64) })),
  { step: 'write.publish', channel: 'queue', asks: write(2_500) },
  ...['write.rewriting', 'write.publish'].map((step): Job => ({ step, channel: 'stream', asks: write(64) })),
  { step: 'write.publish', channel: 'stream', asks: write(2_500) },
  ...['write.claimed', 'write.publish'].map((step): Job => ({ step, channel: 'exclusive', asks: write(64) })),
  ...waking.map((step): Job => ({ step, channel: 'queue', asks: write(64) })),
  ...taking.map((step): Job => ({ step, channel: 'queue', asks: take })),
  { step: 'take.inherited', channel: 'queue', asks: take, before: dyingTaker },
  ...['stream.copy', 'stream.copied', 'stream.moved'].map(
    (step): Job => ({
      step,
      channel: 'stream',
      asks: [{ op: 'open_consumer' }, { op: 'consume', batch: 4, idle_ms: 700 }],
    }),
  ),
  ...['wait.armed', 'wait.sleeping', 'wait.woken'].map((step): Job => ({ step, channel: 'queue', asks: take })),
  ...joining.map((step): Job => ({ step, channel: 'queue', asks: take, hasLock: true })),
  { step: 'join.role', channel: 'exclusive', asks: write(64), hasLock: true },
  { step: 'join.live', channel: 'stream', asks: [{ op: 'open_consumer' }], hasLock: true },
  ...repairing.map((step): Job => ({ step, channel: 'queue', asks: take, before: dyingWriter, hasLock: true })),
  ...inheriting.map((step): Job => ({ step, channel: 'queue', asks: take, before: dyingTaker, hasLock: true })),
  { step: 'close.role', channel: 'queue', asks: [...take.slice(0, 1), { op: 'close_consumer' }], hasLock: true },
  { step: 'close.state', channel: 'queue', asks: [...take.slice(0, 1), { op: 'close_consumer' }] },
];
