/**
 * Full: a file system without room is ERR_NO_SPACE in every language, at once, and never a signal later.
 */
import { deepEqual, equal, fail } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { Region, type TailraceError } from '../sdk/index.ts';
import { type Builds, build, Driver, type Language, type Line } from './drivers/drive.ts';
import { failureOf } from './scratch.ts';

const LANGUAGES: readonly Language[] = ['rust', 'node', 'python', 'c'];
const CAPACITY = 64;
const PYTHON = fileURLToPath(new URL('../.venv/bin/python', import.meta.url));

const full = suite('full');
let builds: Builds;

full.before(() => {
  builds = build(false);
});

/** A file system of 3 MiB in memory; undefined where none can be mounted. */
function mounted(): (Disposable & { directory: string }) | undefined {
  const directory = mkdtempSync('/dev/shm/tailrace-full-');
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', directory], { encoding: 'utf8' });
  if (mount.status !== 0) {
    rmdirSync(directory);
    console.log(
      `skip: no file system of our own can be mounted here (${mount.stderr?.trim() || mount.error?.message})`,
    );
    return undefined;
  }
  return {
    directory,
    [Symbol.dispose]() {
      spawnSync('umount', ['-l', directory]);
      rmdirSync(directory);
    },
  };
}

async function noSpace(call: () => unknown): Promise<void> {
  const error = (await failureOf(call)) as TailraceError;
  deepEqual([error.code, (error.cause as NodeJS.ErrnoException)?.code], ['ERR_NO_SPACE', 'ENOSPC'], error.message);
}

/** Leaves no page free. */
function fill(directory: string): void {
  try {
    writeFileSync(`${directory}/filler`, Buffer.alloc(4 << 20, 1));
  } catch (error) {
    equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    return;
  }
  throw new Error('4 MiB have fit in 3');
}

full('a region and a channel that do not fit: node', async () => {
  using place = mounted();
  if (!place) return;
  using region = Region.create(`${place.directory}/region`);
  await noSpace(() => region.createChannel('large', { capacity: 4_096 }));
  region.createChannel('small', { capacity: CAPACITY });
  fill(place.directory);
  await noSpace(() => region.createChannel('none', { capacity: CAPACITY }));
  const other = `${place.directory}/other`;
  await noSpace(() => Region.create(other));
  await noSpace(() => Region.openOrCreate(other));
  equal(existsSync(other), false, 'nothing is left of what did not fit');
  using producer = region.openProducer('small');
  using consumer = region.openConsumer('small');
  for (let lap = 0; lap < 3; lap += 1) {
    equal(producer.writeBatch(Array.from({ length: CAPACITY + 1 }, () => Buffer.alloc(1_024, lap))), CAPACITY);
    equal(consumer.poll(CAPACITY).at(-1)?.payload[1_023], lap);
  }
  rmSync(`${place.directory}/filler`);
  region.createChannel('none', { capacity: CAPACITY });
  Region.create(other).close();
});

full('a region and a channel that do not fit: python', () => {
  using place = mounted();
  if (!place) return;
  Region.create(`${place.directory}/region`).close();
  fill(place.directory);
  const program = `
import errno, sys, tailrace
for call in (
    lambda: tailrace.Region.create(sys.argv[1] + "/other"),
    lambda: tailrace.Region.open_or_create(sys.argv[1] + "/other"),
    lambda: tailrace.Region.open(sys.argv[1] + "/region").create_channel("none", capacity=64),
):
    try:
        call()
    except tailrace.NoSpaceError as error:
        print(error.code, errno.errorcode[error.__cause__.errno])
`;
  const { stdout, stderr, status } = spawnSync(PYTHON, ['-c', program, place.directory], { encoding: 'utf8' });
  equal(status, 0, stderr);
  equal(stdout, 'ERR_NO_SPACE ENOSPC\n'.repeat(3));
});

for (const language of LANGUAGES) {
  full(`what was there before goes on: ${language}`, async () => {
    using place = mounted();
    if (!place) return;
    const path = `${place.directory}/region`;
    const driver = new Driver(language, builds);
    try {
      using region = Region.create(path);
      region.createChannel('small', { capacity: CAPACITY });
      fill(place.directory);
      await driver.must({ op: 'open', path });
      const create = { op: 'create_channel', name: 'none', kind: 'queue', capacity: CAPACITY };
      equal((await driver.ask(create)).code, 'ERR_NO_SPACE');
      await driver.must({ op: 'open_producer', channel: 'small' });
      await driver.must({ op: 'open_consumer', channel: 'small' });
      const payloads = Array.from({ length: CAPACITY }, () => 'ff'.repeat(1_024));
      equal((await driver.must({ op: 'write', payloads, type: 1 })).count, CAPACITY);
      for (let read = 0; read < CAPACITY; ) {
        const { messages } = await driver.must({ op: 'poll', limit: CAPACITY });
        read += (messages as Line[]).length || fail('nothing is left to read');
      }
    } finally {
      await driver.end();
    }
  });
}

full.run();
