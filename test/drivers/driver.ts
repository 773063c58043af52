/**
 * Driver: does in Node what it is told, one JSON object a line (README.md has the protocol).
 *
 * Answers are written at once and in order, by `writeSync`: what was printed before a kill was printed.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  type Batch,
  type ChannelOptions,
  type Consumer,
  Log,
  LogReader,
  type Message,
  type Producer,
  type Recorder,
  Region,
  type Start,
  TailraceError,
} from '../../sdk/index.ts';
import { follow } from './follow.ts';
import { checkLoad, LOAD_BYTES_MIN, makeLoad } from './load.ts';

type Answer = Record<string, unknown>;

/** The fields of all operations; who asks gives those that belong to the operation. */
interface Ask {
  op: string;
  path: string;
  recovery?: boolean;
  payload_offset?: 48 | 64;
  name: string;
  kind: 'queue' | 'stream';
  capacity?: number;
  exclusive_producer?: boolean;
  exclusive_consumer?: boolean;
  gated?: boolean;
  checksum?: boolean;
  recorded?: boolean;
  foreign?: 'document' | 'code';
  channel: string;
  label?: string;
  from?: string;
  gating?: boolean;
  level?: 'memory' | 'wal';
  log: string;
  group?: string;
  durable_only?: boolean;
  segment_bytes?: number;
  durability?: 'memory' | 'wal';
  payloads: string[];
  payload: string;
  type: number;
  timeout_ms: number;
  limit: number;
  run: number;
  first?: number;
  count: number;
  batch: number;
  size: number;
  take: boolean;
  idle_ms: number;
  nap_ms: number;
  span: number;
}

let region: Region | undefined;
let producer: Producer | undefined;
let consumer: Consumer | LogReader | undefined;
let recorder: Recorder | undefined;
let log: Log | undefined;

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Writes to a pipe that does not block, until it has room. */
function writeSome(bytes: Buffer): number {
  try {
    return writeSync(1, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    Atomics.wait(pause, 0, 0, 1);
    return 0;
  }
}

function say(line: Answer): void {
  let rest = Buffer.from(`${JSON.stringify(line)}\n`);
  while (rest.length > 0) rest = rest.subarray(writeSome(rest));
}

function open<T>(thing: T | undefined, name: string): T {
  if (thing === undefined) throw new TailraceError('ERR_CLOSED', `this driver has no open ${name}`);
  return thing;
}

/** The consumer, if it is one that can take. */
function taker(): Consumer {
  const opened = open(consumer, 'consumer');
  if (opened instanceof LogReader) throw new TailraceError('ERR_UNSUPPORTED', 'nobody takes from a log');
  return opened;
}

function startOf(from: string | undefined): Start | undefined {
  return from === undefined || from === 'latest' || from === 'oldest' ? from : BigInt(from);
}

function told(message: Message): Answer {
  return {
    sequence: String(message.sequence),
    type: message.type,
    payload: Buffer.from(message.payload).toString('hex'),
    pid: message.senderPid,
    runtime: message.senderRuntime,
    redelivered: message.redelivered,
    delivery_count: message.deliveryCount,
  };
}

function channelOptions(ask: Ask): ChannelOptions {
  const { kind, capacity, gated, checksum, recorded, foreign } = ask;
  const { exclusive_producer: exclusiveProducer, exclusive_consumer: exclusiveConsumer } = ask;
  return { kind, capacity, gated, checksum, recorded, foreign, exclusiveProducer, exclusiveConsumer };
}

/** Writes the load, waiting for room; says what it wrote after each call. */
async function produce(ask: Ask): Promise<Answer> {
  const { run, first = 0, count, batch, size } = ask;
  if (size < LOAD_BYTES_MIN) throw new TailraceError('ERR_ARGUMENT', `size is ${size}; give ${LOAD_BYTES_MIN} or more`);
  const writer = open(producer, 'producer');
  const end = first + count;
  for (let index = first; index < end; ) {
    const length = Math.min(batch, end - index);
    const payloads = Array.from({ length }, (_, offset) => makeLoad(run, index + offset, size));
    let written = writer.writeBatch(payloads);
    if (written === 0) {
      await writer.send(payloads[0]!);
      written = 1;
    }
    say({ wrote: [run, index, written] });
    index += written;
  }
  return { count };
}

/** Reads the load until nothing came for a while; says what it read before it releases it. */
async function consume(ask: Ask): Promise<Answer> {
  const { batch, take, idle_ms } = ask;
  const reader = open(consumer, 'consumer');
  let count = 0;
  for (;;) {
    const messages: Batch = take ? taker().take(batch) : reader.poll(batch);
    if (messages.length === 0) {
      if (!(await reader.wait({ timeoutMs: idle_ms }))) return { count };
      continue;
    }
    let torn = 0;
    const read = [...messages].map((message) => {
      const { run, index, isWhole } = checkLoad(message.payload);
      if (!isWhole) torn += 1;
      return [run, index, Number(message.redelivered)];
    });
    say({ read, lost: messages.lost, ...(torn > 0 && { torn }) });
    messages.release();
    count += messages.length;
  }
}

const OPERATIONS: Record<string, (ask: Ask) => Answer | Promise<Answer>> = {
  async open(ask) {
    for (const opened of [producer, consumer, recorder, region, log]) await opened?.close();
    const { path, recovery, payload_offset: payloadOffset } = ask;
    region = Region.open(path, { recovery, payloadOffset });
    return { pid: process.pid };
  },
  create_channel(ask) {
    open(region, 'region').createChannel(ask.name, channelOptions(ask));
    return {};
  },
  open_producer(ask) {
    producer = open(region, 'region').openProducer(ask.channel, { label: ask.label });
    return {};
  },
  open_consumer(ask) {
    const { label, gating, level, log, group } = ask;
    const options = { label, gating, level, log, group, from: startOf(ask.from) };
    consumer = open(region, 'region').openConsumer(ask.channel, options);
    return {};
  },
  open_reader(ask) {
    consumer = LogReader.open(ask.path, { from: startOf(ask.from), durableOnly: ask.durable_only });
    return {};
  },
  write(ask) {
    const payloads = ask.payloads.map((payload) => Buffer.from(payload, 'hex'));
    const writer = open(producer, 'producer');
    const options = { type: ask.type };
    if (payloads.length === 1) return { count: Number(writer.write(payloads[0]!, options)) };
    return { count: writer.writeBatch(payloads, options) };
  },
  async send(ask) {
    const options = { type: ask.type, timeoutMs: ask.timeout_ms, durability: ask.durability };
    const sequence = await open(producer, 'producer').send(Buffer.from(ask.payload, 'hex'), options);
    return { sequence: String(sequence) };
  },
  async wait(ask) {
    return { ready: await open(consumer, 'consumer').wait({ timeoutMs: ask.timeout_ms }) };
  },
  poll(ask) {
    const batch = open(consumer, 'consumer').poll(ask.limit);
    return { lost: batch.lost, messages: [...batch].map(told) };
  },
  take(ask) {
    const batch = taker().take(ask.limit);
    taken = batch;
    return { lost: batch.lost, messages: [...batch].map(told) };
  },
  release: ({ count }) => ({ count: taken?.release(count) ?? 0 }),
  keep: () => ({ count: taken?.keep() ?? 0 }),
  depth: () => ({ depth: open(consumer, 'consumer').depth }),
  position: () => ({ sequence: String(open(consumer, 'consumer').position) }),
  seek: ({ from }) => ({ sequence: String(open(consumer, 'consumer').seek(startOf(from) ?? 'latest')) }),
  commit: async ({ timeout_ms: timeoutMs }) => ({ sequence: String(await taker().commit({ timeoutMs })) }),
  record(ask) {
    recorder = open(region, 'region').record(ask.channel, { log: ask.log, segmentBytes: ask.segment_bytes });
    return {};
  },
  async open_log(ask) {
    log = await Log.open(ask.path, { segmentBytes: ask.segment_bytes });
    return {};
  },
  async append({ payloads, type, durability }) {
    const records = payloads.map((payload) => Buffer.from(payload, 'hex'));
    return { sequence: String(await open(log, 'log').append(records, { type, durability })) };
  },
  close_producer() {
    producer?.close();
    return {};
  },
  close_consumer() {
    consumer?.close();
    return {};
  },
  async close_recorder() {
    await recorder?.close();
    return {};
  },
  async close_log() {
    await log?.close();
    return {};
  },
  produce,
  consume,
  follow: (ask) => follow(open(consumer, 'consumer'), ask),
};

let taken: ReturnType<Consumer['take']> | undefined;

for await (const line of createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line) as Ask;
  try {
    const operation = OPERATIONS[ask.op];
    if (!operation) throw new TailraceError('ERR_ARGUMENT', `there is no operation ${ask.op}`);
    say({ ok: true, ...(await operation(ask)) });
  } catch (error) {
    const code = error instanceof TailraceError ? error.code : 'ERR_INTERNAL';
    say({ ok: false, code, message: error instanceof Error ? error.message : String(error) });
  }
}
for (const opened of [producer, consumer, recorder, region, log]) await opened?.close();
