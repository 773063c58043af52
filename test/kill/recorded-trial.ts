/**
 * Recorded trial: a recorder or a member of a group is stopped at one step, and killed there or continued after 2 s.
 *
 * All others are Rust, and go on: writers write into the ring, a recorder follows a dead one, another member gets what a
 * dead one had claimed. At the end the log has every message once, in order, and the group has had each of them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Log, LogReader, Region } from '../../sdk/index.ts';
import { type Builds, Driver, type Line } from '../drivers/drive.ts';
import { removeRegion } from '../scratch.ts';
import { Ledger } from './ledger.ts';
import type { RecordedJob } from './recorded-steps.ts';
import { environmentOf, type Fate, PAUSE_MS, stopped, until, within } from './trial.ts';

const BEFORE = 20;
const AFTER = 60;
const SENT = 5;
const CAPACITY = 256;
const SEGMENT_BYTES = 65_536;
/** Who dies here has claimed messages and told nobody. */
const CLAIMED = ['group.claimed', 'group.taking'];
const LATE_MS = 30_000;

/** The processes of one trial. */
class Scene implements AsyncDisposable {
  readonly ledger = new Ledger();
  readonly folder = mkdtempSync(join(tmpdir(), 'tailrace-recorded-'));
  readonly log = join(this.folder, 'log');
  readonly path = `/dev/shm/tailrace-recorded-${process.pid}-${Math.random().toString(36).slice(2)}`;
  readonly region = Region.create(this.path);
  /** What was acknowledged as durable: payloads, in hexadecimal, by sequence. */
  readonly acknowledged = new Map<bigint, string>();
  readonly #drivers: Driver[] = [];
  readonly #builds: Builds;
  #sent = 0;
  isOver = false;

  constructor(builds: Builds) {
    this.#builds = builds;
    this.region.createChannel('c', { kind: 'stream', recorded: true, capacity: CAPACITY });
  }

  async start(step?: string): Promise<Driver> {
    const driver = new Driver('rust', this.#builds, step ? environmentOf(step) : {});
    driver.onLoad = this.ledger.take;
    this.#drivers.push(driver);
    await driver.must(this.opening);
    return driver;
  }

  get opening(): Line {
    return { op: 'open', path: this.path };
  }

  get recording(): Line {
    return { op: 'record', channel: 'c', log: this.log, segment_bytes: SEGMENT_BYTES };
  }

  get joining(): Line {
    return { op: 'open_consumer', channel: 'c', group: 'sinks', from: 'oldest', log: this.log };
  }

  async writer(): Promise<Driver> {
    const writer = await this.start();
    await writer.must({ op: 'open_producer', channel: 'c' });
    return writer;
  }

  /** Sends, and keeps what was acknowledged. */
  async send(writer: Driver): Promise<void> {
    for (let left = SENT; left > 0; left -= 1) {
      this.#sent += 1;
      const payload = Buffer.alloc(40, this.#sent).toString('hex');
      // While the channel has no log yet that is said at once, and nothing is written.
      const { sequence } = await again(writer, { op: 'send', payload, durability: 'wal' }, 'ERR_UNSUPPORTED');
      this.acknowledged.set(BigInt(String(sequence)), payload);
    }
  }

  /** The log has all of it, once, in order. */
  async checkLog(): Promise<void> {
    const next = new Map<number, number>();
    let sent = 0;
    let expected = 1n;
    using reader = LogReader.open(this.log);
    for (let batch = reader.poll(); batch.length > 0; batch = reader.poll()) {
      for (const { sequence, payload } of batch) {
        assert.equal(sequence, expected, 'numbering is dense');
        expected += 1n;
        const bytes = Buffer.from(payload);
        const acknowledged = this.acknowledged.get(sequence);
        if (acknowledged !== undefined) assert.equal(bytes.toString('hex'), acknowledged, `${sequence}`);
        if (bytes.length === 40) {
          sent += 1;
          assert.equal(bytes[0], sent, 'what was sent is there once, in order');
          continue;
        }
        const [run, index] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
        assert.equal(index, next.get(run) ?? 0, `run ${run} is there once, in order`);
        next.set(run, index + 1);
      }
    }
    assert.deepEqual([next.get(2), next.get(3), sent], [BEFORE, AFTER, this.#sent]);
    assert.equal((await Log.verify(this.log)).lastSequence, expected - 1n);
  }

  async end(): Promise<void> {
    for (const driver of this.#drivers) driver.signal('SIGKILL');
    await Promise.all(this.#drivers.map((driver) => driver.ended));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isOver = true;
    await this.end();
    this.region.close();
    rmSync(this.folder, { recursive: true, force: true });
    removeRegion(this.path);
  }
}

const produce = (run: number, count: number): Line => ({ op: 'produce', run, count, batch: 2, size: 64 });
const consume = (idle_ms: number): Line => ({ op: 'consume', batch: 4, take: true, idle_ms });

/** Plays one trial; throws when a promise is broken. How long the others were without the victim's work, in ms. */
export async function playRecorded(job: RecordedJob, fate: Fate, builds: Builds): Promise<number> {
  await using scene = new Scene(builds);
  const stallMs = await (job.role === 'recorder' ? playRecorder : playMember)(scene, job, fate);
  const { counters } = scene.region.channels()[0] ?? assert.fail('the channel is there');
  assert.deepEqual([counters.corrupt, counters.abandoned], [0, 0]);
  if (fate === 'pause' && !job.hasPredecessor) assert.equal(counters.redelivered, 0, 'a stopped one was robbed');
  await scene.end();
  await scene.checkLog();
  return stallMs;
}

async function playRecorder(scene: Scene, job: RecordedJob, fate: Fate): Promise<number> {
  const writer = await scene.writer();
  if (job.hasPredecessor) {
    const early = await scene.start();
    await early.must(scene.recording);
    await scene.send(writer);
    early.signal('SIGKILL');
    await early.ended;
  }
  await writer.must(produce(2, BEFORE));
  const victim = await scene.start(job.step);
  victim.onLoad = () => {};
  // It records beside what it is asked: it reads meanwhile, so that it is not thought to be done.
  const working = [{ op: 'open_consumer' }, { op: 'consume', batch: 4, idle_ms: 10_000 }];
  await stopped(victim, job.step, [scene.recording, ...(job.isOver ? [{ op: 'close_recorder' }] : working)]);
  const start = performance.now();
  const heir = await scene.start();
  await within(LATE_MS, 'writing beside it', writer.must(produce(3, AFTER)));
  if (fate === 'kill') {
    victim.signal('SIGKILL');
    await victim.ended;
    await within(LATE_MS, 'recording after it', heir.must(scene.recording));
  } else {
    const answer = heir.ask(scene.recording);
    await sleep(PAUSE_MS);
    victim.signal('SIGCONT');
    const { ok, code } = await within(LATE_MS, 'refusing a second recorder', answer);
    if (!job.isOver) assert.deepEqual([ok, code], [false, 'ERR_BUSY']);
    else if (!ok) await within(LATE_MS, 'recording after it', again(heir, scene.recording, 'ERR_BUSY'));
  }
  await within(LATE_MS, 'sending after it', scene.send(writer));
  return performance.now() - start;
}

/** Asks again while the answer is this failure. */
async function again(driver: Driver, question: Line, code: string): Promise<Line> {
  for (;;) {
    const answer = await driver.ask(question);
    if (answer['ok'] === true) return answer;
    assert.equal(answer['code'], code, `${JSON.stringify(question)} gave ${JSON.stringify(answer)}`);
    await sleep(10);
  }
}

async function playMember(scene: Scene, job: RecordedJob, fate: Fate): Promise<number> {
  const { ledger } = scene;
  const writer = await scene.writer();
  const recorder = await scene.start();
  await recorder.must(scene.recording);
  await writer.must(produce(2, BEFORE));
  const victim = await scene.start(job.step);
  const asks = [consume(3_000), { op: 'commit', timeout_ms: 5_000 }];
  if (job.hasPredecessor) {
    await victim.must(scene.joining);
    const early = await scene.start('group.taking');
    await stopped(early, 'group.taking', [scene.joining, consume(700)]);
    early.signal('SIGKILL');
    await early.ended;
    await stopped(victim, job.step, asks);
  } else {
    await stopped(victim, job.step, [scene.joining, ...asks]);
  }
  const start = performance.now();
  if (fate === 'kill') {
    victim.signal('SIGKILL');
    await victim.ended;
  }
  const reader = await scene.start();
  let isDone = false;
  const reading = (async () => {
    // Who joins needs the region lock, which a stopped one may have.
    await again(reader, scene.joining, 'ERR_BUSY');
    while (!isDone) await reader.must(consume(300));
    return reader.must({ op: 'commit', timeout_ms: 10_000 });
  })();
  reading.catch(() => {});
  await within(LATE_MS, 'writing beside it', writer.must(produce(3, AFTER)));
  if (fate === 'pause') {
    await sleep(PAUSE_MS);
    victim.signal('SIGCONT');
  }
  const isAll = () => scene.isOver || (ledger.readOf(2) === BEFORE && ledger.readOf(3) === AFTER);
  await within(LATE_MS, 'reading all of it', Promise.race([until(isAll), reading]));
  const stallMs = performance.now() - start;
  if (fate === 'pause') await within(LATE_MS, 'ending the victim', victim.end());
  isDone = true;
  const { sequence } = await within(LATE_MS, 'committing all of it', reading);
  assert.equal(Number(sequence), BEFORE + AFTER + 1, 'all of it is committed');
  const { lost, torn, duplicates, redelivered } = ledger.sum();
  const isRobbed = job.hasPredecessor || (fate === 'kill' && CLAIMED.includes(job.step));
  if (isRobbed) assert.ok(redelivered > 0, 'what a dead one had claimed is flagged');
  assert.deepEqual({ lost, torn, duplicates }, { lost: 0, torn: 0, duplicates: 0 });
  await scene.send(writer);
  return stallMs;
}
