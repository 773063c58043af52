/**
 * Stream: one channel of the kind *stream* with one writer, read and written in AssemblyScript.
 *
 * It is an independent reading: written from docs/reference/layout.md, docs/internals/ring-protocol.md and the comments of
 * test/vectors alone, with none of the core's code in it, and held to the same vectors (test/kernel/twin.ts). Whoever
 * wants to know whether a page of ours is missing something finds out here. The region lies in this module's memory from
 * address `region` on.
 *
 * Slot `x mod capacity` serves position x, and its `sequence` is its whole state: x + 1 says published. A writer looks
 * whether the slots at `tail` are free, moves tail before it touches them, so that every hole below it is its own, marks
 * each slot as being rewritten (x), fills it, and publishes it last (x + 1). A reader copies what is published and looks
 * at the sequence again: a writer may have begun the next lap in between, and then the copy is nothing.
 *
 * Left out, because the page asks it of nobody with one writer: intents, sleepers, repair.
 */
import {
  ANNEX_OFFSET,
  AnnexHeader,
  CHANNEL_CHECKSUM,
  CHANNEL_GATED,
  CHANNELS_OFFSET,
  ChannelEntry,
  COUNTERS_OFFSET,
  Counters,
  MESSAGE_ABANDONED,
  MESSAGE_CONTINUATION,
  MESSAGE_CRC,
  MESSAGE_MAX,
  PARTICIPANTS_OFFSET,
  Participant,
  RECORD_HEADER_BYTES,
  ROLE_GATING_SUBSCRIBER,
  ROLE_SUBSCRIBER,
  SLOT_PAYLOAD,
  Slot,
  STATE_LIVE,
} from './layout';

/** The message is longer than the channel allows. */
const TOO_LARGE: i32 = -6;
/** The next record has no room in the caller's buffer; `used` says what it takes. */
const NO_ROOM: i32 = -1;

/** What the last `poll` used of its buffer, and positions that it found overwritten. */
export let used: u32 = 0;
export let lost: u64 = 0;

function channelAt(region: usize, channel: u32): usize {
  return region + CHANNELS_OFFSET + channel * ChannelEntry.SIZE;
}

function participantAt(region: usize, entry: u32): usize {
  return region + PARTICIPANTS_OFFSET + entry * Participant.SIZE;
}

function countersAt(region: usize, channel: u32): usize {
  return region + COUNTERS_OFFSET + channel * Counters.SIZE;
}

function slotAt(region: usize, channel: usize, position: u64): usize {
  const index = <usize>(position & (load<u64>(channel, ChannelEntry.capacity) - 1));
  return region + <usize>load<u64>(channel, ChannelEntry.band_offset) + index * Slot.SIZE;
}

function add(address: usize, amount: u64): void {
  atomic.store<u64>(address, atomic.load<u64>(address) + amount);
}

/** A word of nobody's: changing it by nothing orders what is around it. `asc` has a fence that its validator refuses. */
const FENCE = memory.data(4, 4);

function fence(): void {
  atomic.add<u32>(FENCE, 0);
}

function slotsFor(length: u32): u64 {
  return length === 0 ? 1 : (length + SLOT_PAYLOAD - 1) / SLOT_PAYLOAD;
}

/** Longest message of a channel: a quarter of its slots, and never more than `MESSAGE_MAX`. */
export function messageMax(region: usize, channel: u32): u32 {
  const capacity = load<u64>(channelAt(region, channel), ChannelEntry.capacity);
  const slots = max<u64>(1, capacity / 4);
  return <u32>min<u64>(slots * SLOT_PAYLOAD, MESSAGE_MAX);
}

/** CRC-32 (IEEE), bit by bit. */
export function crc32(at: usize, length: u32): u32 {
  let crc: u32 = 0xffffffff;
  for (let index: u32 = 0; index < length; index++) {
    crc ^= load<u8>(at + index);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc;
}

/** A slot is free when nobody wrote it in this lap; from the second lap on the lap before is still in it. */
function isFree(region: usize, channel: usize, position: u64): bool {
  const capacity = load<u64>(channel, ChannelEntry.capacity);
  const expected = position < capacity ? position : position - capacity + 1;
  return atomic.load<u64>(slotAt(region, channel, position) + Slot.sequence) === expected;
}

/** Whether every subscriber that holds writers back has read what these slots held. */
function isRead(region: usize, channel: u32, end: u64): bool {
  const entry = channelAt(region, channel);
  const capacity = load<u64>(entry, ChannelEntry.capacity);
  const isGated = (load<u32>(entry, ChannelEntry.flags) & CHANNEL_GATED) !== 0;
  const high = atomic.load<u32>(region + ANNEX_OFFSET + AnnexHeader.participants_high);
  for (let index: u32 = 0; index < high; index++) {
    const other = participantAt(region, index);
    const role = load<u32>(other, Participant.role);
    const holds = role === ROLE_GATING_SUBSCRIBER || (isGated && role === ROLE_SUBSCRIBER);
    if (!holds || atomic.load<u32>(other + Participant.state) !== STATE_LIVE) continue;
    if (load<u32>(other, Participant.channel) !== channel) continue;
    if (end > atomic.load<u64>(other + Participant.cursor) + capacity) return false;
  }
  return true;
}

/** Fills and publishes the slots of one message, from its position on; who calls has claimed them. */
export function publish(
  region: usize,
  channel: u32,
  first: u64,
  atNs: u64,
  messageType: u32,
  pid: u32,
  runtime: u16,
  payload: usize,
  length: u32,
): void {
  const entry = channelAt(region, channel);
  const hasChecksum = (load<u32>(entry, ChannelEntry.flags) & CHANNEL_CHECKSUM) !== 0;
  const count = slotsFor(length);
  for (let index: u64 = 0; index < count; index++) {
    const position = first + index;
    const slot = slotAt(region, entry, position);
    const start = <u32>index * SLOT_PAYLOAD;
    const piece = min<u32>(length - start, SLOT_PAYLOAD);
    atomic.store<u64>(slot + Slot.sequence, position);
    fence();
    store<u64>(slot, position, Slot.message_id);
    store<u64>(slot, atNs, Slot.timestamp_ns);
    store<u32>(slot, channel, Slot.channel_id);
    store<u32>(slot, messageType, Slot.message_type);
    store<u32>(slot, pid, Slot.sender_pid);
    store<u16>(slot, runtime, Slot.sender_runtime);
    store<u32>(slot, piece, Slot.payload_len);
    store<u32>(slot, index === 0 && count > 1 ? length : 0, Slot.total_len);
    store<u16>(slot, 1, Slot.delivery_count);
    memory.copy(slot + Slot.payload, payload + start, piece);
    let flags: u32 = index > 0 ? MESSAGE_CONTINUATION : 0;
    if (hasChecksum) {
      flags |= MESSAGE_CRC;
      store<u32>(slot, crc32(slot + Slot.payload, piece), Slot.crc32);
    }
    store<u16>(slot, <u16>flags, Slot.flags);
    atomic.store<u64>(slot + Slot.sequence, position + 1);
  }
}

/** Writes one message as the channel's one writer: 1, or 0 when there is no room, or -6 when it is too large. */
export function write(region: usize, entry: u32, atNs: u64, messageType: u32, payload: usize, length: u32): i32 {
  const me = participantAt(region, entry);
  const index = load<u32>(me, Participant.channel);
  if (length > messageMax(region, index)) return TOO_LARGE;
  const channel = channelAt(region, index);
  const tail = atomic.load<u64>(channel + ChannelEntry.tail);
  const end = tail + slotsFor(length);
  let free = tail;
  while (free < end && isFree(region, channel, free)) free++;
  if (free < end || !isRead(region, index, end)) {
    add(countersAt(region, index) + Counters.full, 1);
    add(me + Participant.full, 1);
    return 0;
  }
  atomic.store<u64>(channel + ChannelEntry.tail, end);
  const pid = load<u32>(me, Participant.pid);
  publish(region, index, tail, atNs, messageType, pid, load<u16>(me, Participant.runtime), payload, length);
  add(me + Participant.messages, 1);
  add(me + Participant.bytes, length);
  return 1;
}

/** What stands at a position. */
enum Found {
  Nothing,
  Message,
  /** A tombstone, a piece without its beginning: passed over. */
  Gap,
  /** Bytes that cannot be right: passed over and counted. */
  Corrupt,
  /** The writers were faster. */
  Lapped,
}

/** Slots of the message that `look` has found, and its bytes. */
let foundSlots: u64 = 0;
let foundLength: u32 = 0;

function stateOf(sequence: u64, position: u64): Found {
  if (sequence === position + 1) return Found.Message;
  // A slot that is being rewritten for a later lap has that lap's position; one that waits for this lap has this one.
  return sequence > position + 1 ? Found.Lapped : Found.Nothing;
}

/** Copies the message at `position` behind a record's header, without trust in any length. */
function look(region: usize, index: u32, position: u64, out: usize, room: u32): Found {
  const channel = channelAt(region, index);
  const first = slotAt(region, channel, position);
  const state = stateOf(atomic.load<u64>(first + Slot.sequence), position);
  if (state !== Found.Message) return state;
  foundSlots = 1;
  const flags = load<u16>(first, Slot.flags);
  const total = load<u32>(first, Slot.total_len);
  const piece = load<u32>(first, Slot.payload_len);
  if (flags & MESSAGE_ABANDONED || flags & MESSAGE_CONTINUATION) return again(first, position, Found.Gap);
  if (total !== 0 && (total <= SLOT_PAYLOAD || total > messageMax(region, index) || piece !== SLOT_PAYLOAD)) {
    return again(first, position, Found.Corrupt);
  }
  if (piece > SLOT_PAYLOAD) return again(first, position, Found.Corrupt);
  foundLength = total === 0 ? piece : total;
  foundSlots = slotsFor(foundLength);
  if (RECORD_HEADER_BYTES + ((foundLength + 7) & ~7) > room) return again(first, position, Found.Message);
  for (let next: u64 = 0; next < foundSlots; next++) {
    const slot = slotAt(region, channel, position + next);
    const nextState = stateOf(atomic.load<u64>(slot + Slot.sequence), position + next);
    if (nextState !== Found.Message) return nextState;
    const verdict = copyPiece(slot, next, out + RECORD_HEADER_BYTES + <u32>next * SLOT_PAYLOAD);
    const after = again(slot, position + next, verdict);
    if (after === Found.Corrupt) foundSlots = next === 0 ? 1 : next;
    if (after !== Found.Message) return after;
  }
  store<u64>(out, position + 1);
  store<u64>(out, load<u64>(first, Slot.timestamp_ns), 8);
  store<u32>(out, load<u32>(first, Slot.message_type), 16);
  store<u32>(out, foundLength, 20);
  store<u32>(out, load<u32>(first, Slot.sender_pid), 24);
  store<u16>(out, load<u16>(first, Slot.sender_runtime), 28);
  store<u16>(out, 0, 30);
  store<u16>(out, load<u16>(first, Slot.delivery_count), 32);
  store<u16>(out, 0, 34);
  store<u32>(out, 0, 36);
  const end = RECORD_HEADER_BYTES + foundLength;
  memory.fill(out + end, 0, ((end + 7) & ~7) - end);
  return again(first, position, Found.Message);
}

/** What was found, unless the slot was rewritten while it was looked at. */
function again(slot: usize, position: u64, found: Found): Found {
  fence();
  return atomic.load<u64>(slot + Slot.sequence) === position + 1 ? found : Found.Lapped;
}

function copyPiece(slot: usize, index: u64, out: usize): Found {
  const length = load<u32>(slot, Slot.payload_len);
  const flags = load<u16>(slot, Slot.flags);
  const expected = min<u32>(foundLength - <u32>index * SLOT_PAYLOAD, SLOT_PAYLOAD);
  if (length !== expected) return Found.Corrupt;
  if (index > 0 && !(flags & MESSAGE_CONTINUATION)) return Found.Corrupt;
  if (flags & MESSAGE_CRC && load<u32>(slot, Slot.crc32) !== crc32(slot + Slot.payload, length)) return Found.Corrupt;
  memory.copy(out, slot + Slot.payload, length);
  return Found.Message;
}

/**
 * Copies up to `limit` messages behind the cursor of a subscriber to `out`, as records; how many. -1 when not even the
 * first one has room: then `used` says what it takes.
 */
export function poll(region: usize, entry: u32, limit: u32, out: usize, room: u32): i32 {
  const me = participantAt(region, entry);
  const index = load<u32>(me, Participant.channel);
  const channel = channelAt(region, index);
  let cursor = load<u64>(me, Participant.cursor);
  let count: u32 = 0;
  let bytes: u64 = 0;
  used = 0;
  lost = 0;
  while (count < limit) {
    const found = look(region, index, cursor, out + used, room - used);
    if (found === Found.Nothing) break;
    if (found === Found.Lapped) {
      if (count > 0) break;
      const tail = atomic.load<u64>(channel + ChannelEntry.tail);
      const oldest = max<u64>(cursor + 1, tail - load<u64>(channel, ChannelEntry.capacity));
      lost += oldest - cursor;
      cursor = oldest;
      continue;
    }
    if (found === Found.Message) {
      const record = RECORD_HEADER_BYTES + ((foundLength + 7) & ~7);
      if (record > room - used) {
        if (count > 0) break;
        used = record;
        return NO_ROOM;
      }
      used += record;
      bytes += foundLength;
      count++;
    } else if (found === Found.Corrupt) {
      add(countersAt(region, index) + Counters.corrupt, 1);
    }
    cursor += foundSlots;
  }
  atomic.store<u64>(me + Participant.cursor, cursor);
  add(me + Participant.messages, count);
  add(me + Participant.bytes, bytes);
  add(me + Participant.lost, lost);
  add(countersAt(region, index) + Counters.lost, lost);
  return count;
}
