/**
 * Calls: what single calls of the Node face cost, each beside the floor that it is judged by.
 *
 * A subject and its floor are timed in turns, 512 calls each, in one thread; the ratio of each turn is kept, and turns
 * are many, so that a moment of trouble is no verdict. Producer and consumer share the thread: filling is timed and
 * draining is not, or the other way round.
 *
 *     node calls.ts TURNS
 */
import { rmSync } from 'node:fs';
import { Region } from 'tailrace';
import { loadProbe } from './probe.ts';
import { quantiles } from './spread.ts';
import { template } from './stamp.ts';

const FILL = 512;
const TYPE = 7;
const turns = Number(process.argv[2]);
const path = `/dev/shm/bench-calls-${process.pid}`;
const probe = loadProbe();

const region = Region.create(path);
region.createChannel('bench', { capacity: 1_024 });
const producer = region.openProducer('bench');
const consumer = region.openConsumer('bench');
const message = template(64);
const batch = Array.from({ length: 32 }, () => template(64));
const shelf = new Uint8Array(FILL * 64);

/** Where floors leave their results, so that none is optimised away. */
export const kept = { view: message as Uint8Array, sum: 0 };

function timed(work: () => void): number {
  const from = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - from) / FILL;
}

function fill(): void {
  for (let sent = 0; sent < FILL; sent += 32) producer.writeBatch(batch, { type: TYPE });
}

function drain(): void {
  while (consumer.poll(FILL).length > 0);
}

/** Reads what a message has, as the bar asks. */
let expected = 1n;
function look(payload: Uint8Array, sequence: bigint, type: number): void {
  if (payload[63] !== message[63] || payload.length !== 64 || sequence !== expected || type !== TYPE) {
    throw new Error(`message ${expected} arrived wrong: sequence ${sequence}, type ${type}`);
  }
  expected += 1n;
}

const floors = {
  call: () => {
    for (let index = 0; index < FILL; index += 1) probe.empty(message);
  },
  set: () => {
    for (let index = 0; index < FILL; index += 1) shelf.set(message, index * 64);
  },
  subarray: () => {
    for (let index = 0; index < FILL; index += 1) kept.view = shelf.subarray(index * 64, index * 64 + 64);
  },
};

const subjects = {
  write: () => {
    for (let index = 0; index < FILL; index += 1) {
      if (!producer.write(message)) throw new Error('full');
    }
  },
  writeBatch: () => {
    for (let sent = 0; sent < FILL; sent += 32) {
      if (producer.writeBatch(batch) !== 32) throw new Error('full');
    }
  },
  poll: () => {
    for (let seen = 0; seen < FILL; ) {
      const some = consumer.poll(256);
      for (const { payload, sequence, type } of some) look(payload, sequence, type);
      seen += some.length;
    }
  },
};

type Turn = { subject: number; floor: number };

function judge(what: string, floor: string, kept: Turn[]): void {
  const told = kept.slice(Math.floor(kept.length / 4));
  const line = {
    subject: what,
    what: 'call',
    ns: quantiles(told.map(({ subject }) => subject)),
    floor,
    floor_ns: quantiles(told.map((turn) => turn.floor)),
    ratios: told.map((turn) => turn.subject / turn.floor),
  };
  console.log(JSON.stringify(line));
}

function skip(): void {
  drain();
  expected = BigInt(producer.lastSequence) + 1n;
}

async function iterated(): Promise<Turn[]> {
  const times: Turn[] = [];
  let seen = 0;
  fill();
  let from = process.hrtime.bigint();
  for await (const some of consumer) {
    for (const { payload, sequence, type } of some) look(payload, sequence, type);
    seen += some.length;
    if (seen < FILL) continue;
    const subject = Number(process.hrtime.bigint() - from) / FILL;
    times.push({ subject, floor: timed(floors.subarray) });
    if (times.length >= turns) break;
    seen = 0;
    fill();
    from = process.hrtime.bigint();
  }
  return times;
}

try {
  const [writes, batches, polls]: [Turn[], Turn[], Turn[]] = [[], [], []];
  for (let turn = 0; turn < turns; turn += 1) {
    writes.push({ floor: timed(floors.call), subject: timed(subjects.write) });
    skip();
    batches.push({ floor: timed(floors.set), subject: timed(subjects.writeBatch) });
    skip();
    fill();
    polls.push({ floor: timed(floors.subarray), subject: timed(subjects.poll) });
  }
  judge('write', 'empty Node-API call', writes);
  judge('writeBatch', 'Uint8Array.set', batches);
  judge('poll', 'subarray', polls);
  skip();
  judge('for await', 'subarray', await iterated());
  const cpu = process.cpuUsage();
  console.log(JSON.stringify({ subject: 'calls', what: 'cpu', cpu_seconds: (cpu.user + cpu.system) / 1e6 }));
} finally {
  region.close();
  rmSync(path, { force: true });
}
