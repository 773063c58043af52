/**
 * Bytes: what the module writes into slots, hands out of them and reads in regions that it finds, held against the golden
 * ones. Runs in Node and, bundled with the package's sources, in a page; whoever runs it judges what differs.
 */
import { ANSWER, AT, BYTES, COUNT, HANDLE, numbers, TYPE, words } from '../../sdk/desk.ts';
import * as layout from '../../sdk/generated/layout.ts';
import { native } from '../../sdk/native.ts';
import { Region } from '../../sdk/region.ts';
import { find } from '../../sdk/wasm/handles.ts';
import { Plan, THREADS } from '../../sdk/wasm/plan.ts';

/** Bytes at an offset, as hexadecimal digits. */
export type Run = [offset: number, hex: string];

// biome-ignore lint/suspicious/noExplicitAny: the files are data, and each test says what it expects of them
export type Data = any;

/** What was compared, and what of it differs. */
export interface Compared {
  count: number;
  differing: string[];
}

const FOREIGN = layout.CHANNEL_FOREIGN_CODE | layout.CHANNEL_FOREIGN_DOCUMENT;
/** What a real writer chooses itself. */
const OWN = [layout.Slot.timestamp_ns, layout.Slot.sender_pid, layout.Slot.sender_runtime];
/** Slots that a message has at most. */
const SLOTS_MAX = 512;

/** Bytes of a payload, by their index. */
function payload(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index % 251);
}

/** What hexadecimal digits say. */
export function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** Lays the runs over zeros. */
export function dense(runs: Run[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (const [offset, hex] of runs) bytes.set(bytesOf(hex), offset);
  return bytes;
}

/** A slot without what its writer chose: its time, and who it is. */
function common(slot: Uint8Array): string {
  const bytes = slot.slice();
  for (const { offset, size } of OWN) bytes.fill(0, offset, offset + size);
  return String(bytes);
}

/** The sequence of a slot that is free for position x. */
function slotBefore(vector: Data, x: bigint, mask: bigint): bigint {
  const isStream = (vector.flags & layout.CHANNEL_KIND_MASK) === layout.CHANNEL_STREAM;
  return isStream && x > mask ? x - mask : x;
}

/** The slots of a message that is written where the vector has it; undefined when it was refused with the right code. */
function written(vector: Data): Uint8Array[] | undefined {
  const region = native().regionMemory(vector.capacity * layout.Slot.size + (1 << 20), 2, 1_000);
  native().createChannel(region, 'orders', vector.flags, vector.capacity);
  const { instance, plan } = find('region', region);
  const view = new DataView(instance.memory.buffer, plan.regionOffset);
  const entry = layout.CHANNELS_OFFSET;
  const band = Number(view.getBigUint64(entry + layout.ChannelEntry.band_offset.offset, true));
  const mask = BigInt(vector.capacity - 1);
  const position = BigInt(vector.position);
  // As if everything before had been written and taken.
  for (let index = 0n; index <= mask; index += 1n) {
    const x = position + index;
    view.setBigUint64(band + Number(x & mask) * layout.Slot.size, slotBefore(vector, x, mask), true);
  }
  for (const cursor of [layout.ChannelEntry.tail, layout.ChannelEntry.head]) {
    view.setBigUint64(entry + cursor.offset, position, true);
  }
  const producer = native().openProducer(region, 'orders', '', -1);
  numbers[HANDLE] = producer;
  words[TYPE] = vector.type;
  try {
    native().write(payload(vector.length));
    if (words[ANSWER] !== 1) return [];
    return Array.from({ length: vector.slot_count }, (_, index) => {
      const at = plan.regionOffset + band + Number((position + BigInt(index)) & mask) * layout.Slot.size;
      return instance.bytes.slice(at, at + layout.Slot.size);
    });
  } catch (error) {
    if ((error as { code?: string }).code !== vector.error) throw error;
    return undefined;
  } finally {
    native().close(producer);
    native().close(region);
  }
}

function hasSlots(vector: Data): boolean {
  const slots = written(vector);
  if (slots === undefined || vector.error) return slots === undefined;
  const wanted: Run[][] = vector.slots ?? [vector.first_slot, vector.last_slot];
  const shown = vector.slots ? slots : [slots[0]?.subarray(0, 64), slots.at(-1)];
  return wanted.every((runs, index) => {
    const slot = shown[index];
    return slot !== undefined && common(slot) === common(dense(runs, slot.length));
  });
}

/** Messages in slots, at the edge sizes. */
export function compareSlots({ cases }: Data): Compared {
  const isOurs = (vector: Data) => !(vector.flags & (FOREIGN | layout.CHANNEL_RECORDED) || vector.abandoned);
  const ours = cases.filter(isOurs);
  const wrong = ours.filter((vector: Data) => !hasSlots(vector));
  const nameOf = ({ flags, capacity, position, length }: Data) => JSON.stringify({ flags, capacity, position, length });
  return { count: ours.length, differing: wrong.map(nameOf) };
}

function isHandedOut(producer: number, consumer: number, record: Data): boolean {
  numbers[HANDLE] = producer;
  words[TYPE] = record.type;
  native().write(payload(record.length));
  numbers[HANDLE] = consumer;
  [words[COUNT], words[AT]] = [1, 0];
  const buffer = new Uint8Array(record.length + 64);
  native().poll(buffer);
  const bytes = layout.RECORD_HEADER_BYTES + Math.ceil(record.length / 8) * 8;
  const view = new DataView(buffer.buffer);
  const seen = [words[ANSWER], words[BYTES], view.getUint32(16, true), view.getUint32(20, true)];
  const header = [...seen, view.getUint16(28, true), view.getUint16(32, true)];
  const content = buffer.subarray(layout.RECORD_HEADER_BYTES, layout.RECORD_HEADER_BYTES + record.length);
  const wanted = [1, bytes, record.type, record.length, layout.RUNTIME_WASM, 1];
  return String(header) === String(wanted) && String(content) === String(payload(record.length));
}

/** Messages as they are handed out. */
export function compareRecords({ cases }: Data): Compared {
  const found: Compared = { count: 0, differing: [] };
  for (const { name, records } of cases) {
    const region = native().regionMemory(4 << 20, 2, 1_000);
    native().createChannel(region, 'orders', 0, 2_048);
    const producer = native().openProducer(region, 'orders', '', -1);
    const consumer = native().openConsumer(region, 'orders', '', -1, 0, 0);
    for (const record of records) {
      if (record.flags !== 0 || Math.ceil(record.length / layout.SLOT_PAYLOAD) > SLOTS_MAX) continue;
      found.count += 1;
      if (!isHandedOut(producer, consumer, record)) found.differing.push(`${name}: ${record.length} bytes`);
    }
    for (const handle of [producer, consumer, region]) native().close(handle);
  }
  return found;
}

/** Attaches to a region of these bytes, in a memory with room for `roomBytes`, as if it had only `limitBytes`. */
export function openMemory(bytes: Uint8Array, limitBytes: number, roomBytes: number): Region {
  using made = Region.memory({ limitBytes: roomBytes });
  const shared = made.share();
  if (shared.backend !== 'wasm') throw new Error('the backend is another than the one that was asked for');
  const { memory } = shared;
  const place = new Uint8Array(memory.buffer, Plan.of(memory).regionOffset);
  place.fill(0);
  place.set(bytes);
  Plan.create(memory, THREADS, limitBytes);
  return Region.attach(shared);
}

/** The code of what a call throws. */
function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

function open(region: Region, channel: string) {
  return region.openConsumer(channel, channel === 'ticks' ? { from: 'oldest' } : {});
}

/** What is to be seen of a bad region: in the words of the vector, what a test says of it. */
export function seenOf(vector: Data, opened: () => Region): Data {
  const { channel, still = [] } = vector;
  if (!channel) return { code: codeOf(opened) };
  using region = opened();
  if (vector.code) {
    for (const name of still) open(region, name).close();
    const codes = [codeOf(() => region.openProducer(channel)), codeOf(() => open(region, channel))];
    return { code: [...new Set(codes)].join() };
  }
  using consumer = open(region, channel);
  const polled = Array.from({ length: 4 }, () => [...consumer.poll(100)].map(({ sequence }) => String(sequence)));
  const info = region.channels().find(({ name }) => name === channel);
  return { handed_out: polled.flat(), corrupt: Number(info?.counters.corrupt) };
}

/** The same as the vector says it. */
export function wantedOf({ channel, code, handed_out, corrupt }: Data): Data {
  return !channel || code ? { code } : { handed_out, corrupt };
}
