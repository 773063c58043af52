/**
 * Page: trials with workers, frames and tabs, each a function that the test calls in a page, with an answer that it judges.
 */
import { type Consumer, Region, ready } from '../../../sdk/browser.ts';
import { type Caller, type Given, indexOf, messageOf, newWorker, type Stopping, type Worker } from './given.ts';

interface Frame {
  src: string;
  onload: (() => void) | null;
  contentWindow: Caller;
  remove(): void;
}

interface Document {
  createElement(name: 'iframe'): Frame;
  body: { append(frame: Frame): void };
}

interface Around {
  document: Document;
  navigator: { locks: { query(): Promise<{ held: { name: string }[] }> } };
  open(address: string): Caller;
  /** The test closes the tab that was opened last. */
  closeTab(): Promise<void>;
  addEventListener(name: 'message', hear: (event: { data: unknown; source: unknown }) => void): void;
  trials: Record<string, (...given: never[]) => Promise<unknown>>;
}

const around = globalThis as unknown as Around;
const PATIENCE_MS = 20_000;

/** What a thread says next; an error when it says nothing, or something else. */
function said(wanted: string, hear: (call: (words: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`nobody said ${wanted}`)), PATIENCE_MS);
    hear((words) => (words === wanted ? resolve() : reject(new Error(String(words)))));
  });
}

async function startWorker(region: Region, does: 'echo' | 'hold'): Promise<Worker> {
  const worker = newWorker('thread');
  const told = said(does === 'echo' ? 'echoing' : 'holding', (call) => {
    worker.onmessage = ({ data }) => call(data);
  });
  const given: Given = { shared: region.share(worker), does };
  worker.postMessage(given);
  await told;
  return worker;
}

/** Another page, in a frame: it has a life of its own, and ends with its frame. */
async function startPage(region: Region): Promise<Frame> {
  const frame = around.document.createElement('iframe');
  const loaded = new Promise<void>((resolve) => {
    frame.onload = resolve;
  });
  frame.src = './other.html';
  around.document.body.append(frame);
  await loaded;
  const told = saidBy(frame.contentWindow, 'holding');
  const given: Given = { shared: region.share(frame), does: 'hold' };
  frame.contentWindow.postMessage(given);
  await told;
  return frame;
}

function saidBy(caller: Caller, wanted: string): Promise<void> {
  return said(wanted, (call) =>
    around.addEventListener('message', ({ data, source }) => {
      if (source === caller) call(data);
    }),
  );
}

/** Another page, in a tab of its own. */
async function openTab(): Promise<Caller> {
  const tab = around.open('./other.html');
  await saidBy(tab, 'here');
  return tab;
}

async function startTab(region: Region): Promise<Caller> {
  const tab = await openTab();
  const told = saidBy(tab, 'holding');
  const given: Given = { shared: region.share(tab), does: 'hold' };
  tab.postMessage(given);
  await told;
  return tab;
}

type Other = 'worker' | 'page' | 'tab';
const starts = { worker: (region: Region) => startWorker(region, 'hold'), page: startPage, tab: startTab };

/** Ends a worker, or another page; it has not ended when this has. */
async function stop(other: Worker | Frame | Caller): Promise<void> {
  if ('terminate' in other) other.terminate();
  else if ('contentWindow' in other) other.remove();
  else await around.closeTab();
}

function regionOf(): Region {
  const region = Region.memory({ limitBytes: 16 << 20, threads: 8 });
  for (const name of ['there', 'back']) region.createChannel(name, { capacity: 4_096 });
  region.createChannel('noise', { kind: 'stream', capacity: 256 });
  return region;
}

/** Sends so many messages to two workers, and reads what they send back; each comes once, whole. */
async function messages(count: number, size: number): Promise<object> {
  await ready();
  using region = regionOf();
  const workers = [await startWorker(region, 'echo'), await startWorker(region, 'echo')];
  using producer = region.openProducer('there');
  using consumer = region.openConsumer('back', { signal: AbortSignal.timeout(3 * PATIENCE_MS) });
  const seen = new Uint8Array(count);
  let sent = 0;
  let read = 0;
  const send = () => {
    while (sent < count) {
      const batch = Array.from({ length: Math.min(256, count - sent) }, (_, index) => messageOf(sent + index, size));
      const written = producer.writeBatch(batch);
      sent += written;
      if (written < batch.length) return;
    }
  };
  const began = performance.now();
  send();
  for await (const batch of consumer) {
    for (const { payload } of batch) {
      const index = indexOf(payload);
      seen[index]! += 1;
      if (payload.length !== size) throw new Error(`message ${index} has ${payload.length} bytes`);
    }
    read += batch.length;
    if (read >= count) break;
    send();
  }
  const seconds = (performance.now() - began) / 1_000;
  const echoes = region.stats().participants.filter(({ label, role }) => label === 'echo' && role === 'consumer');
  for (const worker of workers) worker.terminate();
  const buried = await Promise.all(workers.map((worker) => region.ended(worker)));
  const left = region.stats().participants.length;
  const each = echoes.map(({ messages }) => Number(messages));
  return { read, isOnce: seen.every((times) => times === 1), each, buried, left, seconds };
}

async function textsOf(consumer: Consumer, count: number): Promise<[number, boolean][]> {
  const found: [number, boolean][] = [];
  for await (const batch of consumer) {
    for (const message of batch) found.push([indexOf(message.payload), message.redelivered]);
    if (found.length >= count) break;
  }
  return found.sort(([one], [other]) => one - other);
}

/** A worker, or another page, ends in the middle: with five claimed messages, writing to a stream. The rest goes on. */
async function end(what: Other, delayMs: number): Promise<object> {
  await ready();
  using region = regionOf();
  using noise = region.openConsumer('noise', { signal: AbortSignal.timeout(PATIENCE_MS) });
  using producer = region.openProducer('there');
  producer.writeBatch(Array.from({ length: 9 }, (_, index) => messageOf(index, 64)));
  const thread = await starts[what](region);
  using consumer = region.openConsumer('there', { signal: AbortSignal.timeout(PATIENCE_MS) });
  const before = await textsOf(consumer, 4);
  await new Promise((resolve) => setTimeout(resolve, delayMs));
  await stop(thread);
  const buried = await region.ended(thread);
  const after = await textsOf(consumer, 5);
  const helper = await startWorker(region, 'echo');
  using back = region.openConsumer('back', { signal: AbortSignal.timeout(PATIENCE_MS) });
  producer.write(messageOf(77, 64));
  // The echo may have been handed what this page has not read.
  consumer.close();
  const [echoed] = await textsOf(back, 1);
  while (noise.poll().length > 0);
  using loud = region.openProducer('noise');
  loud.write(messageOf(5, 64));
  const heard = await textsOf(noise, 1);
  helper.terminate();
  const { corrupt } = region.channels()[2]!.counters;
  return { before, buried, after, echoed, heard, corrupt: Number(corrupt) };
}

type Stopped = 'worker' | 'nested' | 'tab';

/** Starts a worker of this page, of a worker or of a tab, which stops in the middle of a call; whoever is to be ended. */
async function startStopped(region: Region, what: Stopped, told: Omit<Stopping, 'shared'>): Promise<Worker | Caller> {
  if (what === 'tab') {
    const tab = await openTab();
    const stopped = saidBy(tab, 'stopped');
    const given: Given = { shared: region.share(tab), does: 'host', inner: told };
    tab.postMessage(given);
    await stopped;
    return tab;
  }
  const worker = newWorker(what === 'worker' ? 'stopped' : 'thread');
  const stopped = said('stopped', (call) => {
    worker.onmessage = ({ data }) => call(data);
  });
  const shared = region.share(worker);
  const given: Stopping | Given = what === 'worker' ? { ...told, shared } : { shared, does: 'host', inner: told };
  worker.postMessage(given);
  await stopped;
  return worker;
}

/** A worker ends in the middle of a call. The rest goes on. */
async function stopped(what: Stopped, step: string, does: Stopping['does']): Promise<object> {
  await ready();
  using region = regionOf();
  using producer = region.openProducer('there');
  producer.writeBatch(Array.from({ length: 9 }, (_, index) => messageOf(index, 64)));
  const other = await startStopped(region, what, { step, does });
  await stop(other);
  const buried = await region.ended(other);
  using late = region.openProducer('there');
  late.write(messageOf(9, 64));
  using consumer = region.openConsumer('there', { signal: AbortSignal.timeout(PATIENCE_MS) });
  const read = await textsOf(consumer, 10);
  region.unblock();
  return { buried, read, left: region.stats().participants.length };
}

/** What is left running. */
const left: unknown[] = [];

/** Starts a worker and a tab that hold messages and write, and leaves them. */
async function leave(): Promise<void> {
  await ready();
  const region = regionOf();
  using producer = region.openProducer('there');
  producer.writeBatch(Array.from({ length: 10 }, (_, index) => messageOf(index, 64)));
  left.push(region, await startWorker(region, 'hold'), await startTab(region));
}

/** How many threads of any page of this origin live. */
async function lifelines(): Promise<number> {
  const { held } = await around.navigator.locks.query();
  return held.filter(({ name }) => name.startsWith('tailrace ')).length;
}

around.trials = { ...around.trials, messages, end, stopped, leave, lifelines } as Around['trials'];
