/**
 * Driver: does in Node what it is told, one JSON object a line (README.md has the protocol).
 *
 * Answers are written at once and in order, by `writeSync`: what was printed before a kill was printed.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  type ChannelOptions,
  type Consumer,
  type Message,
  type Producer,
  Region,
  TailraceError,
} from '../../sdk/index.ts';
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
  foreign?: 'document' | 'code';
  channel: string;
  label?: string;
  from?: 'latest' | 'oldest';
  gating?: boolean;
  payloads: string[];
  payload: string;
  type: number;
  timeout_ms: number;
  limit: number;
  run: number;
  count: number;
  batch: number;
  size: number;
  take: boolean;
  idle_ms: number;
}

let region: Region | undefined;
let producer: Producer | undefined;
let consumer: Consumer | undefined;

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
  const { kind, capacity, gated, checksum, foreign } = ask;
  const { exclusive_producer: exclusiveProducer, exclusive_consumer: exclusiveConsumer } = ask;
  return { kind, capacity, gated, checksum, foreign, exclusiveProducer, exclusiveConsumer };
}

/** Writes the load, waiting for room; says what it wrote after each call. */
async function produce(ask: Ask): Promise<Answer> {
  const { run, count, batch, size } = ask;
  if (size < LOAD_BYTES_MIN) throw new TailraceError('ERR_ARGUMENT', `size is ${size}; give ${LOAD_BYTES_MIN} or more`);
  const writer = open(producer, 'producer');
  for (let index = 0; index < count; ) {
    const length = Math.min(batch, count - index);
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
    const messages = take ? reader.take(batch) : reader.poll(batch);
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
  open(ask) {
    for (const opened of [producer, consumer, region]) opened?.close();
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
    const { label, from, gating } = ask;
    consumer = open(region, 'region').openConsumer(ask.channel, { label, from, gating });
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
    const options = { type: ask.type, timeoutMs: ask.timeout_ms };
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
    const batch = open(consumer, 'consumer').take(ask.limit);
    taken = batch;
    return { lost: batch.lost, messages: [...batch].map(told) };
  },
  release: ({ count }) => ({ count: taken?.release(count) ?? 0 }),
  keep: () => ({ count: taken?.keep() ?? 0 }),
  depth: () => ({ depth: open(consumer, 'consumer').depth }),
  close_producer() {
    producer?.close();
    return {};
  },
  close_consumer() {
    consumer?.close();
    return {};
  },
  produce,
  consume,
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
producer?.close();
consumer?.close();
region?.close();
