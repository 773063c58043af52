/**
 * Threads: messages one way between two workers of one process, over a region without a file.
 *
 *     node threads.ts native|wasm|calls BYTES BATCH COUNT
 *
 * Each has a processor of its own. `native` and `wasm` are the same loop over the classes, on one backend and on the other. `calls` leaves the classes
 * out: messages are made and checked where the calls of the WebAssembly module take and leave them, which is what a
 * loop in Rust over the native ring is compared with.
 */
import { isMainThread, parentPort, threadId, Worker, workerData } from 'node:worker_threads';
import { backend, Region } from 'tailrace';
import type { SharedRegion } from '../../sdk/native.ts';
import { find } from '../../sdk/wasm/handles.ts';
import * as regions from '../../sdk/wasm/regions.ts';
import { loadProbe } from './probe.ts';
import { print } from './spread.ts';
import { Checker, stamp, template } from './stamp.ts';

const CAPACITY = 1_024;
/** Messages whose time is taken together, as in Rust's loop. */
const STRETCH = 4_096;
const RECORD_HEADER_BYTES = 40;
const LOCK_TIMEOUT_MS = 1_000;
/** Word of a record's header that holds the length, from the payload back. */
const LENGTH_WORD = -5;
const LIMIT_BYTES = 8 * 1024 * 1024;

interface Plan {
  ring: string;
  bytes: number;
  batch: number;
  count: number;
  shared: SharedRegion;
  role: 'write' | 'read';
}

type Write = (number: number, count: number) => void;

/** Writes `count` messages, from `number` on, through the classes. */
function classWriter({ bytes, batch, shared }: Plan): Write {
  const producer = Region.attach(shared).openProducer('bench');
  const messages = Array.from({ length: batch }, () => template(bytes));
  return (number, count) => {
    const some = count < batch ? messages.slice(0, count) : messages;
    for (const [index, message] of some.entries()) stamp(message, number + index);
    let written = producer.writeBatch(some);
    while (written < count) written += producer.writeBatch(some.slice(written));
  };
}

function classReader({ batch, shared }: Plan, checker: Checker): () => void {
  const consumer = Region.attach(shared).openConsumer('bench');
  return () => {
    for (const message of consumer.poll(batch)) checker.see(message.payload);
  };
}

/** The region of this thread, without the classes. */
function attached(shared: SharedRegion): number {
  if (shared.backend !== 'wasm') throw new Error('only the WebAssembly module has calls without classes');
  const { module } = shared;
  regions.settle({ module: () => module, thread: threadId + 1, pid: process.pid, maySleep: true });
  return regions.attach(shared, LOCK_TIMEOUT_MS);
}

/** Bytes of so many lengths, before the payloads of a packed batch. */
function lead(count: number): number {
  return (count * 4 + 7) & ~7;
}

function callWriter({ bytes, batch, shared }: Plan): Write {
  const { instance, at } = find('producer', regions.openProducer(attached(shared), 'bench', ''));
  const { calls, stage, memory } = instance;
  // All messages have one length, so fewer of them begin later among the lengths.
  const payloads = stage + lead(batch);
  new Uint32Array(memory.buffer, stage, lead(batch) / 4).fill(bytes);
  const size = bytes / 4;
  const words = new Uint32Array(memory.buffer, payloads, batch * size);
  const right = new Uint32Array(template(bytes).buffer);
  const mix = right[size - 2]!;
  for (let index = 0; index < batch; index += 1) words.set(right, index * size);
  return (number, count) => {
    for (let done = 0; done < count; ) {
      const left = count - done;
      for (let index = 0, word = 0; index < left; index += 1, word += size) {
        words[word] = number + done + index;
        words[word + size - 2] = (number + done + index) ^ mix;
      }
      let written = 0;
      while (written === 0) {
        written = calls.producer_write_packed(at, payloads - lead(left), lead(left) + left * bytes, left, 0);
      }
      if (written < 0) throw new Error(`writing ended with ${written}`);
      done += written;
    }
  };
}

function callReader({ bytes, batch, shared }: Plan, checker: Checker): () => void {
  const { instance, at } = find('consumer', regions.openConsumer(attached(shared), 'bench', '', 0, 0));
  const { calls, stage, stageBytes, memory } = instance;
  const records = new Uint32Array(memory.buffer, stage, stageBytes / 4);
  const size = bytes / 4;
  const stride = RECORD_HEADER_BYTES / 4 + size;
  const mix = new Uint32Array(template(bytes).buffer)[size - 2]!;
  return () => {
    const count = calls.consumer_poll(at, stage, stageBytes, batch);
    if (count < 0) throw new Error(`reading ended with ${count}`);
    let [isRight, word] = [true, RECORD_HEADER_BYTES / 4];
    if (checker.isWarming) {
      for (let index = 0; index < count; index += 1, word += stride) {
        checker.see(instance.bytes.slice(stage + word * 4, stage + word * 4 + bytes));
      }
      return;
    }
    for (let number = checker.next; number < checker.next + count; number += 1, word += stride) {
      const isSame = records[word] === number && records[word + size - 2] === (number ^ mix) >>> 0;
      isRight &&= isSame && records[word + LENGTH_WORD] === bytes;
    }
    if (count > 0) checker.note(isRight, count);
  };
}

function write(plan: Plan): void {
  loadProbe().pin(1);
  const some = plan.ring === 'calls' ? callWriter(plan) : classWriter(plan);
  for (let sent = 0; sent < plan.count; sent += plan.batch) some(sent, Math.min(plan.batch, plan.count - sent));
}

function read(plan: Plan): void {
  loadProbe().pin(0);
  const checker = new Checker(plan.bytes, plan.count, STRETCH);
  const some = plan.ring === 'calls' ? callReader(plan, checker) : classReader(plan, checker);
  parentPort!.postMessage('ready');
  while (!checker.isDone) some();
  parentPort!.postMessage({ times: checker.times, perSecond: checker.end() });
}

function start(plan: Plan): Worker {
  // A worker does not inherit tsx: it has to be asked in there.
  const code = `import('tsx/esm/api').then(({ register }) => (register(), import(${JSON.stringify(import.meta.url)})))`;
  const worker = new Worker(code, { eval: true, workerData: plan });
  worker.once('error', (error) => {
    throw error;
  });
  return worker;
}

function measure(): void {
  const [ring, ...numbers] = process.argv.slice(2) as [string, ...string[]];
  const [bytes, batch, count] = numbers.map(Number) as [number, number, number];
  const name = ring === 'native' ? 'native' : 'wasm';
  process.env.TAILRACE_BACKEND = name;
  const region = Region.memory({ limitBytes: LIMIT_BYTES, threads: 3 });
  if (backend().name !== name) throw new Error(`this is the ${backend().name} backend`);
  region.createChannel('bench', { capacity: CAPACITY });
  const plan = { ring, bytes, batch, count };
  const reader = start({ ...plan, shared: region.share(), role: 'read' });
  reader.on('message', (told: 'ready' | { times: number[]; perSecond: number }) => {
    if (told === 'ready') start({ ...plan, shared: region.share(), role: 'write' });
    else print(ring, 'one-way', told.times, told.perSecond);
  });
}

if (isMainThread) measure();
else {
  const plan = workerData as Plan;
  if (plan.role === 'write') write(plan);
  else read(plan);
}
