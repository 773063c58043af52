/**
 * Recorder: copies `orders` and `signals` into their logs. One of the pipeline's processes.
 *
 * While it is dead, both channels fill up and their writers wait; its successor mends the logs and goes on where it was.
 * It is let go last. When the parent is killed, everybody is let go at once: then it stays until the others have left,
 * so that what they had written is in the logs when the run is resumed.
 */
import { argv, pid } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { leash, report } from '../crew/report.ts';
import { type Recorder, Region } from '../index.ts';
import type { Report } from './report.ts';

const LOOK_MS = 100;
const OTHERS_MS = 4_000;

/** Small ones: a successor reads the last one before anybody writes again. */
const SEGMENT_BYTES = 32 << 20;

/** Whether somebody else is attached who may still write. */
function isAccompanied(region: Region, parent: number): boolean {
  return region.stats().participants.some((entry) => entry.isAlive && entry.pid !== pid && entry.pid !== parent);
}

/** Throws when a log can take no more, so that a successor opens it anew. A full disk is no such reason. */
function check(recorders: readonly Recorder[]): void {
  for (const { channel, status } of recorders) {
    if (status.state !== 'ok' && status.state !== 'ERR_DISK_FULL') {
      throw new Error(`the recorder of ${channel} has stopped with ${status.state}`);
    }
  }
}

const [path = '', data = '', retained = '0'] = argv.slice(2);
const parent = process.ppid;
const signal = leash();
using region = Region.open(path);
const options = { segmentBytes: SEGMENT_BYTES, label: 'recorder' };
const recorders = [
  region.record('orders', { ...options, log: `${data}/orders`, retentionBytes: Number(retained) }),
  region.record('signals', { ...options, log: `${data}/signals` }),
];
report<Report>({ report: 'ready' });

while (!signal.aborted) {
  check(recorders);
  await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
}
const endMs = performance.now() + OTHERS_MS;
while (isAccompanied(region, parent) && performance.now() < endMs) await sleep(LOOK_MS);
await Promise.all(recorders.map((recorder) => recorder.close()));
