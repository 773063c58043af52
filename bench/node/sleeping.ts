/**
 * Sleeping: what `for await` costs while nothing comes, and how late it is when something does.
 *
 *     node sleeping.ts idle SECONDS
 *     node sleeping.ts wake|bare TICKER COUNT      the event loop woken by tailrace, or by a bare futex and nothing else
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { Region } from 'tailrace';
import { loadProbe } from './probe.ts';
import { monotonic, print } from './spread.ts';

const [what, first, second] = process.argv.slice(2) as [string, string, string];
const path = `/dev/shm/bench-sleeping-${process.pid}`;

async function idle(): Promise<void> {
  const region = Region.create(path);
  region.createChannel('bench');
  const ending = new AbortController();
  const consumer = region.openConsumer('bench', { signal: ending.signal });
  const done = (async () => {
    for await (const _ of consumer);
  })().catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [before, start] = [process.cpuUsage(), monotonic()];
  await new Promise((resolve) => setTimeout(resolve, Number(first) * 1_000));
  const { user, system } = process.cpuUsage(before);
  const part = ((user + system) * 1_000) / (monotonic() - start);
  ending.abort();
  await done;
  console.log(JSON.stringify({ subject: 'node', what: 'idle', cpu_part: part }));
}

function tick(count: number, ...options: string[]): ChildProcess {
  return spawn(first, ['tick', path, '--count', `${count}`, ...options], { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function wake(): Promise<void> {
  const region = Region.create(path);
  region.createChannel('bench');
  const consumer = region.openConsumer('bench');
  const times: number[] = [];
  const start = monotonic();
  tick(Number(second));
  for await (const batch of consumer) {
    const now = monotonic();
    for (const { payload } of batch) {
      times.push(now - Number(Buffer.from(payload.buffer, payload.byteOffset, 8).readBigUInt64LE()));
    }
    if (times.length === Number(second)) break;
  }
  print('node', 'wake', times, times.length / ((monotonic() - start) / 1e9));
}

async function bare(): Promise<void> {
  writeFileSync(path, new Uint8Array(4_096));
  const probe = loadProbe();
  const times: number[] = [];
  const start = monotonic();
  let ticker: ChildProcess | undefined;
  await new Promise<void>((resolve) => {
    probe.sleepOn(path, Number(second), (sent) => {
      times.push(monotonic() - sent);
      if (times.length === Number(second)) resolve();
    });
    // A word holds one time only: who wakes late misses the ones before.
    setTimeout(() => {
      ticker = tick(4 * Number(second), '--word');
    }, 50);
  });
  ticker?.kill();
  print('node', 'bare-wake', times, times.length / ((monotonic() - start) / 1e9));
}

try {
  await { idle, wake, bare }[what]!();
} finally {
  rmSync(path, { force: true });
}
