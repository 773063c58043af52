/**
 * Disks under an exchange: they fail, or are full, under a matcher whose journal is stored through a mapping.
 *
 * Strace makes a sync fail and does not make it; the matcher must end, say why, and sync that file no more, and the next
 * one must know everything that was answered. A full disk is waited for. Neither may end the matcher by SIGBUS, which is
 * what a store into a mapping gets that needs storage and finds none.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { around, into, absent as noInjection } from '../faults/injection.ts';
import { MatcherStand, until } from '../faults/matcher-stand.ts';
import { isSync, read } from '../faults/trace.ts';
import { Volume } from '../faults/volume.ts';
import { scratch } from '../scratch.ts';

/** Syncs that fail, of each thread: at the start, at changes of segments, and in between. */
const AT = [1, 2, 3, 4, 6, 9, 14, 25];
const SEGMENT_BYTES = 64 << 10;
/** So long a failure is waited for; the k-th sync may never come. */
const PATIENCE_MS = 3_000;
const VOLUME_BYTES = 48 << 20;
const FILLER_BYTES = 1 << 20;
const TOGETHER = 40;

const disks = suite('exchange, disks');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-disks-'));
const injection = noInjection();
const noVolume = await Volume.absent();

disks.after(() => rmSync(folder, { recursive: true, force: true }));

function standAt(data: string): MatcherStand {
  const [region, file] = [scratch(), join(folder, `${data.replaceAll('/', '-')}.json`)];
  return new MatcherStand({ region, data, file, segmentBytes: SEGMENT_BYTES });
}

/** When the sync fails, and what is left after it. */
interface Fault {
  at: number;
  /** Of a matcher at work; else of one that starts. */
  isAtWork: boolean;
  /** The region is lost with the matcher. */
  isForgotten: boolean;
}

/** One sync fails; what came of it. */
async function failSync({ at, isAtWork, isForgotten }: Fault): Promise<string> {
  const name = `eio-${at}-${isAtWork}-${isForgotten}`;
  const stand = standAt(join(folder, name));
  const output = join(folder, `${name}.trace`);
  const [words, trace] = [`fdatasync:error=EIO:when=${at}`, 'fdatasync,fsync'];
  let isOver = false;
  try {
    const isReady = await stand.start(isAtWork ? [] : around(words, trace, output));
    if (isAtWork) await into(stand.matcher.pid, words, trace, output);
    const trading = isReady ? stand.trade(TOGETHER, () => isOver) : Promise.resolve();
    const how = await stand.matcher.endsWithin(PATIENCE_MS);
    isOver = true;
    await trading;
    if (isReady) stand.freeze();
    await stand.kill();
    const calls = read(output);
    const first = calls.findIndex(({ isInjected, file }) => isInjected && !/\.index/.test(file));
    const injected = calls[first];
    if (injected === undefined) return 'was not met';
    assert.equal(how, 1, `${injected.path}: ${stand.matcher.errors}`);
    assert.match(stand.matcher.errors, /^ERR_IO: .*(orders|reports|market|EIO|Input\/output error)/);
    const again = calls.slice(first + 1).filter((call) => isSync(call) && call.path === injected.path);
    assert.deepEqual(again, [], `${injected.path} was synced again`);
    return isReady ? `ended, for ${basename(dirname(injected.path))}` : 'refused to start';
  } finally {
    isOver = true;
    await (isForgotten ? stand.forget() : stand.kill());
    await goesOn(stand, name);
    await stand.forget();
  }
}

/** A matcher starts on what is left, which has everything, and works. */
async function goesOn(stand: MatcherStand, what: string): Promise<void> {
  assert.ok(await stand.start(), `${what}: ${stand.matcher.errors}`);
  await stand.check(what);
  const enough = stand.acknowledged + 500;
  await stand.trade(TOGETHER, () => stand.acknowledged >= enough || stand.matcher.isOver);
  assert.ok(stand.acknowledged >= enough, stand.matcher.errors);
  assert.equal(await stand.matcher.leave(), 0, stand.matcher.errors);
}

for (const isAtWork of [false, true]) {
  const matcher = isAtWork ? 'a matcher at work' : 'a matcher that starts';
  disks(`a sync fails at each of ${AT.length} calls under ${matcher}`, async () => {
    if (injection) return console.log(`skip: EIO under ${matcher}: ${injection}`);
    const endings: Record<string, number> = {};
    for (const at of AT) {
      for (const isForgotten of [false, true]) {
        const how = await failSync({ at, isAtWork, isForgotten });
        endings[how] = (endings[how] ?? 0) + 1;
      }
    }
    const met = Object.keys(endings).filter((how) => how !== 'was not met');
    assert.ok(met.length > 0, JSON.stringify(endings));
    if (isAtWork) assert.ok(endings['ended, for orders']! > 0, JSON.stringify(endings));
    console.log(`note: EIO at a sync under ${matcher}: ${JSON.stringify(endings)}`);
  });
}

/** A file that takes what is left. */
class Filler {
  readonly #path: string;

  constructor(directory: string) {
    this.#path = join(directory, 'filler');
  }

  fill(): void {
    const piece = Buffer.alloc(FILLER_BYTES, 1);
    const file = openSync(this.#path, 'a');
    for (let bytes = piece.length; bytes > 0; ) {
      try {
        writeSync(file, piece, 0, bytes);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        bytes = bytes > 512 ? bytes >> 1 : 0;
      }
    }
    fdatasyncSync(file);
    closeSync(file);
  }

  free(): void {
    rmSync(this.#path, { force: true });
  }
}

/** A small file system in memory. */
class Memory implements AsyncDisposable {
  readonly directory = mkdtempSync('/dev/shm/tailrace-disks-');
  readonly absent: string | undefined;

  constructor() {
    const words = ['-t', 'tmpfs', '-o', `size=${VOLUME_BYTES}`, 'tmpfs', this.directory];
    const { status, stderr, error } = spawnSync('mount', words, { encoding: 'utf8' });
    if (status !== 0) this.absent = stderr?.split('\n')[0] || error?.message || `mount ended with ${status}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.absent) spawnSync('umount', ['-l', this.directory]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The disk is full under a matcher at work, and then it is not; twice. */
async function fillUnder(directory: string): Promise<void> {
  const stand = standAt(join(directory, 'data'));
  const filler = new Filler(directory);
  let isOver = false;
  try {
    assert.ok(await stand.start(), stand.matcher.errors);
    const trading = stand.trade(TOGETHER, () => isOver);
    for (let round = 0; round < 2; round += 1) {
      await until('somebody is answered', () => stand.acknowledged > round * 1_000);
      filler.fill();
      await until('the disk is full', () => isFull(stand));
      // The rings fill up behind the logs.
      await sleep(300);
      assert.equal(stand.matcher.isOver, false, `the matcher lives: ${stand.matcher.errors}`);
      const before = stand.acknowledged;
      filler.free();
      await until('it goes on', () => stand.acknowledged > before + 1_000 || stand.matcher.isOver);
    }
    isOver = true;
    await trading;
    assert.equal(await stand.matcher.leave(), 0, stand.matcher.errors);
    await stand.kill();
    await goesOn(stand, 'after a full disk');
  } finally {
    isOver = true;
    await stand.forget();
  }
}

const isFull = (stand: MatcherStand) => stand.matcher.isOver || stand.matcher.last('status')?.stopped === 'DISK_FULL';

disks('a full ext4 under a matcher is waited for', async () => {
  if (noVolume) return console.log(`skip: a full ext4 under a matcher: ${noVolume}`);
  for (const options of ['data=ordered', 'data=journal']) {
    await using volume = new Volume();
    volume.make(VOLUME_BYTES, '-m', '0');
    volume.mount(options);
    await fillUnder(volume.directory);
  }
});

disks('a full tmpfs under a matcher is waited for', async () => {
  await using memory = new Memory();
  if (memory.absent) return console.log(`skip: a full tmpfs under a matcher: ${memory.absent}`);
  await fillUnder(memory.directory);
});

disks('logs that were copied with holes do not end a matcher without a word when the disk is full', async () => {
  if (noVolume) return console.log(`skip: logs with holes on a full ext4: ${noVolume}`);
  await using volume = new Volume();
  volume.make(VOLUME_BYTES, '-m', '0');
  volume.mount('data=ordered');
  const data = join(volume.directory, 'data');
  const stand = standAt(data);
  const filler = new Filler(volume.directory);
  try {
    assert.ok(await stand.start(), stand.matcher.errors);
    await stand.trade(TOGETHER, () => stand.acknowledged > 200);
    assert.equal(await stand.matcher.leave(), 0, stand.matcher.errors);
    await stand.kill();
    for (const stream of ['orders', 'reports', 'market']) {
      for (const name of readdirSync(join(data, stream)).filter((file) => /\.(log|tmp)$/.test(file))) {
        const dug = spawnSync('fallocate', ['--dig-holes', join(data, stream, name)], { encoding: 'utf8' });
        assert.equal(dug.status, 0, dug.stderr);
      }
    }
    filler.fill();
    const isReady = await stand.start();
    let isOver = false;
    const trading = isReady ? stand.trade(TOGETHER, () => isOver) : Promise.resolve();
    const how = await stand.matcher.endsWithin(PATIENCE_MS);
    isOver = true;
    await trading;
    assert.ok(how === undefined || how === 1, `it ended with ${how}: ${stand.matcher.errors}`);
    if (how === 1) assert.match(stand.matcher.errors, /^ERR_\w+: .*(No space|no room)/);
    if (isReady) stand.freeze();
    await stand.kill();
    filler.free();
    await goesOn(stand, 'with holes');
  } finally {
    await stand.forget();
  }
});

disks.run();
