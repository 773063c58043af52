/**
 * Side: one end of a measurement between two processes, in Node over tailrace.
 *
 *     node side.ts read|write|pong|ping REGION BYTES BATCH COUNT
 *
 * `read` and `pong` make the region and say `ready`; the other end, in whatever language, opens it then. `read` and `ping`
 * print the sample.
 */
import { type Consumer, type Producer, Region } from 'tailrace';
import { print } from './spread.ts';
import { Checker, isRight, stamp, template } from './stamp.ts';

const CAPACITY = 4_096;
const [role, path, ...numbers] = process.argv.slice(2) as [string, string, ...string[]];
const [bytes, batch, count] = numbers.map(Number) as [number, number, number];

function make(): Region {
  const region = Region.create(path);
  region.createChannel('there', { capacity: CAPACITY });
  region.createChannel('back', { capacity: CAPACITY });
  return region;
}

async function read(): Promise<void> {
  const consumer = make().openConsumer('there', { limit: Math.max(batch, 32), pin: 0 });
  const checker = new Checker(bytes, count);
  console.log('ready');
  for await (const some of consumer) {
    for (const message of some) checker.see(message.payload);
    if (checker.isDone) break;
  }
  print('node', 'one-way', checker.times, checker.end());
}

function write(): void {
  const producer = Region.open(path).openProducer('there', { pin: 1 });
  const messages = Array.from({ length: batch }, () => template(bytes));
  for (let sent = 0; sent < count; ) {
    const some = count - sent < batch ? messages.slice(0, count - sent) : messages;
    for (const [index, message] of some.entries()) stamp(message, sent + index);
    if (batch === 1) while (!producer.write(messages[0]!));
    else writeAll(producer, some);
    sent += some.length;
  }
}

function writeAll(producer: Producer, messages: Uint8Array[]): void {
  let written = producer.writeBatch(messages);
  while (written < messages.length) written += producer.writeBatch(messages.slice(written));
}

function take(consumer: Consumer, number: number): void {
  for (;;) {
    for (const message of consumer.poll(1)) {
      if (!isRight(message.payload, number, bytes)) throw new Error(`message ${number} arrived wrong`);
      return;
    }
  }
}

function ping(): void {
  const region = Region.open(path);
  const producer = region.openProducer('there', { pin: 1 });
  const consumer = region.openConsumer('back');
  const message = template(bytes);
  const times: number[] = [];
  const warm = count / 5;
  let start = 0n;
  for (let number = 0; number < count; number += 1) {
    stamp(message, number);
    const from = process.hrtime.bigint();
    if (number === warm) start = from;
    producer.write(message);
    take(consumer, number);
    if (number >= warm) times.push(Number(process.hrtime.bigint() - from));
  }
  print('node', 'round-trip', times, times.length / (Number(process.hrtime.bigint() - start) / 1e9));
}

function pong(): void {
  const region = make();
  const consumer = region.openConsumer('there', { pin: 0 });
  const producer = region.openProducer('back');
  const message = template(bytes);
  console.log('ready');
  for (let number = 0; number < count; number += 1) {
    take(consumer, number);
    stamp(message, number);
    producer.write(message);
  }
}

const roles: Record<string, () => void | Promise<void>> = { read, write, ping, pong };
await roles[role]!();
