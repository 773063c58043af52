/**
 * Disk: the check that measures what a producer waits for at level `wal`.
 *
 * It does what a log does: it writes pages into a file that was filled with zeros before, each with an fdatasync. The
 * file has a name until it is measured, because some file systems do not flush a file that nobody could find again.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, statfsSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Finding, ok } from './checks.ts';
import { age } from './paper.ts';

const PAGE_BYTES = 4_096;
const WRITES = 50;
const PATIENCE_MS = 3_000;
/** Slower than this, one writer gets fewer than a hundred records a second. */
const SLOW_MS = 10;
/** No disk has said so fast that it has kept something. */
const FASTEST_MS = 0.01;
/** `f_type` of file systems in memory: tmpfs, ramfs. */
const IN_MEMORY = [0x0102_1994, 0x8584_58f6];

const ID = 'disk';

/** Milliseconds of each write with its fdatasync, in order of length. */
function measure(folder: string): number[] {
  const file = join(folder, `.tailrace-doctor-${process.pid}.tmp`);
  const page = new Uint8Array(PAGE_BYTES);
  const times: number[] = [];
  const descriptor = openSync(file, 'wx', 0o600);
  try {
    for (let index = 0; index < WRITES; index += 1) writeSync(descriptor, page, 0, PAGE_BYTES, index * PAGE_BYTES);
    fsyncSync(descriptor);
    page.fill(1);
    const begun = performance.now();
    for (let index = 0; index < WRITES && performance.now() - begun < PATIENCE_MS; index += 1) {
      const before = performance.now();
      writeSync(descriptor, page, 0, PAGE_BYTES, index * PAGE_BYTES);
      fdatasyncSync(descriptor);
      times.push(performance.now() - before);
    }
  } finally {
    closeSync(descriptor);
    unlinkSync(file);
  }
  return times.sort((one, other) => one - other);
}

function judge(folder: string, times: number[]): Finding {
  const median = times[times.length >> 1] ?? 0;
  const slowest = times.at(-1) ?? 0;
  const seen = `${folder}: a write of 4 KiB with its fdatasync takes ${age(median)}, at most ${age(slowest)}`;
  if (median > SLOW_MS) {
    const why = `who waits for \`wal\` waits at least that long: one at a time gets ${Math.floor(1_000 / median)} a second`;
    const advice = 'put logs on a disk with a protected cache, keep many sends outstanding, or send at level `memory`';
    return { id: ID, verdict: 'warn', seen, why, advice };
  }
  if (median < FASTEST_MS) {
    const why = 'no disk answers so fast; what was acknowledged may be lost when the power fails';
    const advice = 'look whether flushes are ignored: libeatmydata, a virtual disk with cache=unsafe, barrier=0';
    return { id: ID, verdict: 'warn', seen, why, advice };
  }
  return ok(ID, seen);
}

/** Measures one folder; `isChosen`: somebody wants a log there. */
function check(folder: string, isChosen: boolean): Finding {
  try {
    if (IN_MEMORY.includes(statfsSync(folder).type)) {
      const seen = `${folder} is memory, not a disk`;
      if (!isChosen) return ok(ID, `${seen}; tailrace doctor --dir DIR measures another place`);
      const why = 'a log there is gone when the host stops, whatever was acknowledged';
      return { id: ID, verdict: 'warn', seen, why, advice: 'keep logs on a disk' };
    }
    return judge(folder, measure(folder));
  } catch (error) {
    const seen = `${folder} cannot be measured: ${error instanceof Error ? error.message : error}`;
    const why = 'how long an acknowledged write takes is not known';
    const advice = 'give a directory that can be written: tailrace doctor --dir DIR';
    return {
      id: ID,
      verdict: isChosen ? 'warn' : 'ok',
      seen,
      ...(isChosen ? { why, advice } : { why: '', advice: '' }),
    };
  }
}

/** Measures one folder of each disk among these; without any, the one for temporary files. */
export function diskChecks(folders: string[]): Finding[] {
  const devices = new Map<number | string, string>();
  for (const folder of folders) {
    const device = statSync(folder, { throwIfNoEntry: false })?.dev ?? folder;
    if (!devices.has(device)) devices.set(device, folder);
  }
  if (devices.size === 0) return [check(tmpdir(), false)];
  return [...devices.values()].map((folder) => check(folder, true));
}
