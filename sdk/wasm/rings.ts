/**
 * Rings: writing and reading, with the numbers on the desk.
 *
 * Payloads and records cross on the stage of the instance, in the shared memory: one copy into it and one out of it, for a
 * whole batch. A batch that is larger than the stage is written in parts, after all of its lengths were looked at.
 */
import { ANSWER, AT, BYTES, COUNT, HANDLE, NUMBER, numbers, stage, TYPE, words } from '../desk.ts';
import { type ConsumerEntry, find, type ProducerEntry, TOO_LARGE } from './handles.ts';
import type { Instance } from './instance.ts';
import { checked, refuse } from './refusal.ts';

/** From here on, one call copies faster than a loop over words. */
const LOOP_BYTES_MAX = 64;

const staged = new Uint32Array(stage.buffer, stage.byteOffset, stage.length / 4);

function tooLarge(bytes: number, most: number): never {
  return refuse('ERR_TOO_LARGE', `a message of ${bytes} bytes, and this channel takes at most ${most}`, most);
}

function written(producer: ProducerEntry, answer: number, bytes: number): number {
  if (answer >= 0) return answer;
  const { instance } = producer;
  if (answer === TOO_LARGE) return tooLarge(bytes, instance.number);
  return checked(answer, () => instance.number);
}

/** Writes the payload on the desk, whose length is the count. */
export function writeStaged(): void {
  const producer = find('producer', numbers[HANDLE]!);
  const { instance, at } = producer;
  const length = words[COUNT]!;
  const place = instance.stage;
  if (length <= LOOP_BYTES_MAX) {
    const memory = instance.words;
    for (let from = 0, to = place >>> 2; from * 4 < length; from += 1, to += 1) memory[to] = staged[from]!;
  } else {
    instance.bytes.set(stage.subarray(0, length), place);
  }
  words[ANSWER] = written(producer, instance.calls.producer_write(at, place, length, words[TYPE]!), length);
}

/** Writes one payload. */
export function write(payload: Uint8Array): void {
  const producer = find('producer', numbers[HANDLE]!);
  const { instance, at } = producer;
  if (!ArrayBuffer.isView(payload) || (payload as { BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT !== 1) {
    refuse(
      'ERR_ARGUMENT',
      'a payload must be a Uint8Array (a Buffer is one); give text as Buffer.from(text), and other views as ' +
        'new Uint8Array(view.buffer, view.byteOffset, view.byteLength)',
    );
  }
  if (payload.length > instance.stageBytes) tooLarge(payload.length, instance.calls.producer_message_max(at));
  instance.bytes.set(payload, instance.stage);
  const answer = instance.calls.producer_write(at, instance.stage, payload.length, words[TYPE]!);
  words[ANSWER] = written(producer, answer, payload.length);
}

/** Where the payloads behind so many lengths begin. */
function offsetOf(count: number): number {
  return (count * 4 + 7) & ~7;
}

/** Writes a packed batch. */
export function writePacked(packed: Uint8Array): void {
  const producer = find('producer', numbers[HANDLE]!);
  const count = words[COUNT]!;
  const start = offsetOf(count);
  if (start > packed.length) refuse('ERR_ARGUMENT', 'the lengths do not fit the bytes');
  const lengths = new Uint32Array(packed.buffer, packed.byteOffset, count);
  let end = start;
  let longest = 0;
  for (let index = 0; index < count; index += 1) {
    const length = lengths[index]!;
    end = ((end + length + 7) & ~7) >>> 0;
    if (length > longest) longest = length;
  }
  words[ANSWER] =
    end <= producer.instance.stageBytes
      ? writePart(producer, packed, Math.min(end, packed.length), count, longest)
      : writeParts(producer, packed, lengths, longest);
}

function writePart(producer: ProducerEntry, packed: Uint8Array, end: number, count: number, longest: number): number {
  const { instance, at } = producer;
  instance.bytes.set(packed.subarray(0, end), instance.stage);
  const answer = instance.calls.producer_write_packed(at, instance.stage, end, count, words[TYPE]!);
  return written(producer, answer, longest);
}

function writeParts(producer: ProducerEntry, packed: Uint8Array, lengths: Uint32Array, longest: number): number {
  const { instance, at } = producer;
  const most = instance.calls.producer_message_max(at);
  if (longest > most) tooLarge(longest, most);
  let from = offsetOf(lengths.length);
  let done = 0;
  while (done < lengths.length) {
    let count = 0;
    let bytes = 0;
    while (done + count < lengths.length) {
      const padded = (lengths[done + count]! + 7) & ~7;
      if (count > 0 && offsetOf(count + 1) + bytes + padded > instance.stageBytes) break;
      bytes += padded;
      count += 1;
    }
    const payloads = packed.subarray(from, from + bytes);
    const part = new Uint8Array(offsetOf(count) + payloads.length);
    new Uint32Array(part.buffer, 0, count).set(lengths.subarray(done, done + count));
    part.set(payloads, offsetOf(count));
    const answer = writePart(producer, part, part.length, count, longest);
    done += answer;
    from += bytes;
    if (answer < count) break;
  }
  return done;
}

/** Leaves the sequence of the newest message. */
export function lastSequence(): void {
  const { instance, at } = find('producer', numbers[HANDLE]!);
  instance.calls.producer_last(at);
  numbers[NUMBER] = instance.number;
}

type HandOut = (consumer: number, into: number, bytes: number, limit: number) => number;

function handOut(consumer: ConsumerEntry, call: HandOut, buffer: Uint8Array): void {
  const { instance, at } = consumer;
  const to = words[AT]!;
  const room = buffer.length - to;
  if (!(room >= 0)) refuse('ERR_ARGUMENT', 'the records would begin after the end of the buffer');
  const count = words[COUNT]!;
  const limit = count < 0 ? 0xffff_ffff : count;
  const answer = call(at, instance.stage, Math.min(room, instance.stageBytes), limit);
  const bytes = instance.count;
  words[BYTES] = bytes;
  words[ANSWER] = answer;
  if (answer > 0) {
    buffer.set(instance.bytes.subarray(instance.stage, instance.stage + bytes), to);
  } else if (answer < 0 && answer !== TOO_LARGE) {
    checked(answer, () => instance.number, {
      ERR_BUSY: () => 'a claim is open on this handle: release it, or keep it, first',
      ERR_UNSUPPORTED: () => 'a stream has no take: poll it',
    });
  }
  numbers[NUMBER] = answer < 0 ? 0 : instance.number;
}

/** Copies messages into a buffer, and releases them. */
export function poll(buffer: Uint8Array): void {
  const consumer = find('consumer', numbers[HANDLE]!);
  handOut(consumer, consumer.instance.calls.consumer_poll, buffer);
}

/** Copies messages into a buffer, and keeps them claimed. */
export function take(buffer: Uint8Array): void {
  const consumer = find('consumer', numbers[HANDLE]!);
  handOut(consumer, consumer.instance.calls.consumer_take, buffer);
}

function ask(answer: number, instance: Instance): void {
  numbers[NUMBER] = checked(answer, () => instance.number, {
    ERR_ARGUMENT: (open) => `${words[COUNT]} to release, and ${open} open`,
    ERR_UNSUPPORTED: () => 'a stream has no take: poll it',
  });
  words[ANSWER] = 0;
}

/** Releases the first messages of the open claim, or all. */
export function release(): void {
  const { instance, at } = find('consumer', numbers[HANDLE]!);
  ask(instance.calls.consumer_release(at, words[COUNT]!), instance);
}

/** Ends the open claim. */
export function keep(): void {
  const { instance, at } = find('consumer', numbers[HANDLE]!);
  ask(instance.calls.consumer_keep(at), instance);
}

function numberOf(which: number): void {
  const { instance, at } = find('consumer', numbers[HANDLE]!);
  instance.calls.consumer_number(at, which);
  numbers[NUMBER] = instance.number;
}

/** Leaves how many messages are there. */
export function depth(): void {
  numberOf(0);
}

/** Leaves how many positions were lost. */
export function lost(): void {
  numberOf(1);
}

/** Leaves the next position. */
export function position(): void {
  numberOf(2);
}
