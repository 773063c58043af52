/**
 * Plain: a region in a plain buffer, and the bytes that operations leave in it.
 *
 * Written from `test/vectors/region.json` and the printed layout alone, as somebody would who has only those: one thread,
 * no atomics, no files. The library has another opinion of the same bytes, and so have Rust and Python; the vectors hold
 * them together.
 */
import { crc32 } from 'node:zlib';
import * as layout from '../sdk/generated/layout.ts';

/** What a case is given from outside. */
export interface Inputs {
  boot_id: string;
  region_id: string;
  created_ns: string;
  pid: number;
  process_start: number;
  pid_namespace: number;
  runtime: number;
  limit_bytes: number;
}

/** What a slot is filled with, besides its payload. */
export interface Stamp {
  at_ns: bigint;
  type: number;
}

/** A message as it is handed out. */
export interface Handed {
  sequence: string;
  length: number;
  redelivered: boolean;
}

/** Slots of one message in a claim, and its length; none: passed over. */
type Piece = { slots: bigint; length: number | undefined };

type Place = { start: number; field: layout.Field };

const SLOT = layout.Slot;
const PAYLOAD = layout.SLOT_PAYLOAD;
const FOREIGN = layout.CHANNEL_FOREIGN_CODE | layout.CHANNEL_FOREIGN_DOCUMENT;

const FIRST: Record<string, number> = {
  RegionHeader: 0,
  ChannelEntry: layout.CHANNELS_OFFSET,
  AnnexHeader: layout.ANNEX_OFFSET,
  ChannelName: layout.NAMES_OFFSET,
  Counters: layout.COUNTERS_OFFSET,
  Participant: layout.PARTICIPANTS_OFFSET,
};

/** The payload rule. */
export function payload(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index % 251);
}

/** The word of an intent. */
export function packIntent(kind: number, position: bigint, count: bigint): bigint {
  return (BigInt(kind) << 61n) | (count << 48n) | BigInt.asUintN(48, position);
}

/** Kind, first position modulo 2^48, and count; a kind that does not exist is none. */
export function unpackIntent(word: bigint): { kind: number; first: bigint; count: bigint } {
  const kind = Number(word >> 61n);
  const first = BigInt.asUintN(48, word);
  return { kind: kind > layout.INTENT_TAKING ? 0 : kind, first, count: (word >> 48n) & 0x1fffn };
}

function fieldOf(path: string): { size: number; field: layout.Field } {
  const [name = '', member = ''] = path.split('.');
  const structure = layout.STRUCTS[name as keyof typeof layout.STRUCTS] as Record<string, unknown> & { size: number };
  const field = structure?.[member];
  if (typeof field !== 'object') throw new Error(`there is no ${path}`);
  return { size: structure.size, field: field as layout.Field };
}

/** A region, or any bytes that have its layout. */
export class Plain {
  bytes: Uint8Array;
  readonly #inputs: Inputs;
  readonly #claims = new Map<number, { position: bigint; pieces: Piece[] }>();

  /** A new region without channels. */
  constructor(inputs: Inputs) {
    this.#inputs = inputs;
    this.bytes = new Uint8Array(layout.FIRST_BAND_OFFSET);
    this.putBytes('RegionHeader.boot_id', 0, Buffer.from(inputs.boot_id, 'hex'));
    this.putBytes('RegionHeader.region_id', 0, Buffer.from(inputs.region_id, 'hex'));
    const values: Record<string, bigint | number> = {
      'RegionHeader.magic': layout.MAGIC,
      'RegionHeader.version': layout.VERSION,
      'RegionHeader.max_channels': layout.CHANNEL_MAX,
      'RegionHeader.annex_offset': layout.ANNEX_OFFSET,
      'RegionHeader.limit_bytes': inputs.limit_bytes,
      'RegionHeader.annex_version': layout.ANNEX_VERSION,
      'RegionHeader.layout_hash': layout.LAYOUT_HASH,
      'RegionHeader.created_ns': BigInt(inputs.created_ns),
      'AnnexHeader.names_offset': layout.NAMES_OFFSET,
      'AnnexHeader.counters_offset': layout.COUNTERS_OFFSET,
      'AnnexHeader.participants_offset': layout.PARTICIPANTS_OFFSET,
      'AnnexHeader.recorders_offset': layout.RECORDERS_OFFSET,
      'AnnexHeader.groups_offset': layout.GROUPS_OFFSET,
      'AnnexHeader.names_count': layout.CHANNEL_MAX,
      'AnnexHeader.counters_count': layout.CHANNEL_MAX,
      'AnnexHeader.participants_count': layout.PARTICIPANT_MAX,
      'AnnexHeader.recorders_count': layout.CHANNEL_MAX,
      'AnnexHeader.groups_count': layout.GROUP_MAX,
    };
    for (const [path, value] of Object.entries(values)) this.put(path, 0, value);
  }

  #place(path: string, index: number): Place {
    const { size, field } = fieldOf(path);
    const first = FIRST[path.split('.')[0] ?? ''];
    if (first === undefined) throw new Error(`${path} has no fixed place`);
    return { start: first + index * size + field.offset, field };
  }

  #slotPlace(channel: number, position: bigint, name: string): Place {
    const { field } = fieldOf(`Slot.${name}`);
    const index = Number(position % this.get('ChannelEntry.capacity', channel));
    const band = Number(this.get('ChannelEntry.band_offset', channel));
    return { start: band + index * SLOT.size + field.offset, field };
  }

  #read({ start, field }: Place): bigint {
    let value = 0n;
    for (let at = start + field.size - 1; at >= start; at -= 1) value = (value << 8n) | BigInt(this.bytes[at] ?? 0);
    return value;
  }

  #store({ start, field }: Place, value: bigint | number): void {
    let left = BigInt(value);
    for (let at = start; at < start + field.size; at += 1, left >>= 8n) this.bytes[at] = Number(left & 0xffn);
  }

  get(path: string, index: number): bigint {
    return this.#read(this.#place(path, index));
  }

  put(path: string, index: number, value: bigint | number): void {
    this.#store(this.#place(path, index), value);
  }

  add(path: string, index: number, amount: bigint | number): void {
    this.put(path, index, this.get(path, index) + BigInt(amount));
  }

  putBytes(path: string, index: number, value: Uint8Array): void {
    const { start, field } = this.#place(path, index);
    this.bytes.fill(0, start, start + field.size).set(value, start);
  }

  slot(channel: number, position: bigint, name: string): bigint {
    return this.#read(this.#slotPlace(channel, position, name));
  }

  putSlot(channel: number, position: bigint, name: string, value: bigint | number): void {
    this.#store(this.#slotPlace(channel, position, name), value);
  }

  /** The bytes of the slot that serves `position`. */
  slotBytes(channel: number, position: bigint): Uint8Array {
    const { start } = this.#slotPlace(channel, position, 'sequence');
    return this.bytes.subarray(start, start + SLOT.size);
  }

  #flags(channel: number): number {
    return Number(this.get('ChannelEntry.flags', channel));
  }

  #isStream(channel: number): boolean {
    return (this.#flags(channel) & layout.CHANNEL_KIND_MASK) === layout.CHANNEL_STREAM;
  }

  #channelOf(entry: number): number {
    return Number(this.get('Participant.channel', entry));
  }

  /** Adds a channel after the others. */
  addChannel(name: string, flags: number, capacity: number): void {
    const channel = Number(this.get('RegionHeader.channel_count', 0));
    const offset = Math.ceil(this.bytes.length / layout.BAND_ALIGN) * layout.BAND_ALIGN;
    const grown = new Uint8Array(offset + capacity * SLOT.size);
    grown.set(this.bytes);
    this.bytes = grown;
    this.put('ChannelEntry.channel_id', channel, channel);
    this.put('ChannelEntry.flags', channel, flags);
    this.put('ChannelEntry.capacity', channel, capacity);
    this.put('ChannelEntry.band_offset', channel, offset);
    for (let position = 0; position < capacity; position += 1) {
      this.putSlot(channel, BigInt(position), 'sequence', position);
    }
    this.putBytes('ChannelName.text', channel, Buffer.from(name));
    this.add('RegionHeader.channel_count', 0, 1);
  }

  /** The index of a channel. */
  channel(name: string): number {
    const text = Buffer.alloc(layout.ChannelName.size);
    text.write(name);
    for (let channel = 0; channel < layout.CHANNEL_MAX; channel += 1) {
      const { start } = this.#place('ChannelName.text', channel);
      if (text.equals(this.bytes.subarray(start, start + text.length))) return channel;
    }
    throw new Error(`there is no channel ${name}`);
  }

  /** Opens a handle in the lowest free entry; its index. */
  join(channel: number, role: number, label: string, isOldest: boolean): number {
    let entry = 0;
    while (this.get('Participant.state', entry) !== 0n) entry += 1;
    let cut = label;
    while (Buffer.byteLength(cut) > layout.Participant.label.size) cut = cut.slice(0, -1);
    const tail = this.get('ChannelEntry.tail', channel);
    const lap = this.get('ChannelEntry.capacity', channel);
    const oldest = tail > lap ? tail - lap : 0n;
    const isSubscriber = role === layout.ROLE_SUBSCRIBER || role === layout.ROLE_GATING_SUBSCRIBER;
    const { pid, process_start, pid_namespace, runtime } = this.#inputs;
    const generation = this.get('Participant.generation', entry) + 1n;
    const start = this.#place('Participant.state', entry).start;
    this.bytes.fill(0, start, start + layout.Participant.size);
    const values: Record<string, bigint | number> = {
      role,
      channel,
      pid,
      process_start,
      generation,
      runtime,
      pid_namespace,
      cursor: !isSubscriber ? 0n : isOldest ? oldest : tail,
      state: layout.STATE_LIVE,
    };
    for (const [name, value] of Object.entries(values)) this.put(`Participant.${name}`, entry, value);
    this.putBytes('Participant.label', entry, Buffer.from(cut));
    const high = Number(this.get('AnnexHeader.participants_high', 0));
    this.put('AnnexHeader.participants_high', 0, Math.max(high, entry + 1));
    return entry;
  }

  /** Ends a handle. */
  close(entry: number): void {
    for (const name of ['intent', 'role', 'state']) this.put(`Participant.${name}`, entry, 0);
  }

  /** Longest message of a channel, bytes. */
  messageMax(channel: number): number {
    const flags = this.#flags(channel);
    if (flags & layout.CHANNEL_FOREIGN_DOCUMENT) return layout.FOREIGN_DOCUMENT_PAYLOAD;
    if (flags & layout.CHANNEL_FOREIGN_CODE) return PAYLOAD;
    const slots = Math.max(1, Math.floor(Number(this.get('ChannelEntry.capacity', channel)) / 4));
    return Math.min(slots * PAYLOAD, layout.MESSAGE_MAX);
  }

  /** One write call: as many of the first messages as there is room for. */
  write(entry: number, stamp: Stamp, lengths: number[]): number {
    const channel = this.#channelOf(entry);
    let written = 0;
    for (const length of lengths) {
      const tail = this.get('ChannelEntry.tail', channel);
      const slots = BigInt(Math.max(1, Math.ceil(length / PAYLOAD)));
      let free = 0n;
      while (free < slots && this.#isFree(channel, tail + free)) free += 1n;
      if (free < slots) break;
      this.put('ChannelEntry.tail', channel, tail + slots);
      this.publish(channel, tail, stamp, length);
      this.add('Participant.messages', entry, 1);
      this.add('Participant.bytes', entry, length);
      written += 1;
    }
    if (written < lengths.length) {
      this.add('Participant.full', entry, 1);
      this.add('Counters.full', channel, 1);
    }
    if (written > 0 && this.#flags(channel) & FOREIGN) this.add('ChannelEntry.signal', channel, 1);
    return written;
  }

  #isFree(channel: number, position: bigint): boolean {
    const capacity = this.get('ChannelEntry.capacity', channel);
    const isLater = this.#isStream(channel) && position >= capacity;
    return this.slot(channel, position, 'sequence') === (isLater ? position - capacity + 1n : position);
  }

  /** Fills and publishes the slots of one message. */
  publish(channel: number, first: bigint, stamp: Stamp, length: number): void {
    const flags = this.#flags(channel);
    const isByCode = (flags & layout.CHANNEL_FOREIGN_CODE) !== 0;
    const whole = payload(length);
    const count = Math.max(1, Math.ceil(length / PAYLOAD));
    for (let index = 0; index < count; index += 1) {
      const position = first + BigInt(index);
      const piece = whole.subarray(index * PAYLOAD, (index + 1) * PAYLOAD);
      const values: Record<string, bigint | number> = {
        message_id: position,
        timestamp_ns: stamp.at_ns,
        channel_id: channel,
        message_type: stamp.type,
        sender_pid: this.#inputs.pid,
        sender_runtime: this.#inputs.runtime,
        flags: index > 0 ? layout.MESSAGE_CONTINUATION : 0,
        payload_len: piece.length,
        sequence: position + 1n,
      };
      if (!isByCode) {
        values.total_len = index === 0 && count > 1 ? length : 0;
        values.delivery_count = 1;
      }
      if (flags & layout.CHANNEL_CHECKSUM) {
        values.flags = Number(values.flags) | layout.MESSAGE_CRC;
        values.crc32 = crc32(piece);
      }
      for (const [name, value] of Object.entries(values)) this.putSlot(channel, position, name, value);
      this.slotBytes(channel, position).set(piece, isByCode ? layout.FOREIGN_CODE_PAYLOAD_OFFSET : SLOT.payload.offset);
    }
  }

  /** Makes the slot of a dead writer's position a tombstone. */
  bury(channel: number, position: bigint): void {
    this.putSlot(channel, position, 'message_id', position);
    this.putSlot(channel, position, 'flags', layout.MESSAGE_ABANDONED);
    this.putSlot(channel, position, 'payload_len', 0);
    if (!(this.#flags(channel) & layout.CHANNEL_FOREIGN_CODE)) this.putSlot(channel, position, 'total_len', 0);
    this.putSlot(channel, position, 'sequence', position + 1n);
  }

  #pieces(channel: number, from: bigint, limit: number): Piece[] {
    const pieces: Piece[] = [];
    let messages = 0;
    for (let x = from; messages < limit && this.slot(channel, x, 'sequence') === x + 1n; ) {
      const isSkipped =
        Number(this.slot(channel, x, 'flags')) & (layout.MESSAGE_ABANDONED | layout.MESSAGE_CONTINUATION);
      const total = this.#flags(channel) & layout.CHANNEL_FOREIGN_CODE ? 0n : this.slot(channel, x, 'total_len');
      const length = Number(total || this.slot(channel, x, 'payload_len'));
      const slots = isSkipped ? 1n : BigInt(Math.max(1, Math.ceil(length / PAYLOAD)));
      pieces.push({ slots, length: isSkipped ? undefined : length });
      messages += isSkipped ? 0 : 1;
      x += slots;
    }
    return pieces;
  }

  /** Claims up to `limit` messages of a queue. */
  take(entry: number, limit: number): Handed[] {
    const channel = this.#channelOf(entry);
    const head = this.get('ChannelEntry.head', channel);
    const pieces = this.#pieces(channel, head, limit);
    this.put(
      'ChannelEntry.head',
      channel,
      pieces.reduce((end, { slots }) => end + slots, head),
    );
    return this.#claim(entry, head, pieces, false);
  }

  #claim(entry: number, position: bigint, pieces: Piece[], redelivered: boolean): Handed[] {
    const channel = this.#channelOf(entry);
    const slots = pieces.reduce((sum, piece) => sum + piece.slots, 0n);
    if (slots === 0n) return [];
    this.put('Participant.intent', entry, packIntent(layout.INTENT_TAKING, position, slots));
    const handed: Handed[] = [];
    let x = position;
    for (const piece of pieces) {
      if (piece.length !== undefined) {
        if (redelivered) {
          this.putSlot(channel, x, 'delivery_count', this.slot(channel, x, 'delivery_count') + 1n);
        }
        handed.push(this.#hand(entry, x, piece.length, redelivered));
      }
      x += piece.slots;
    }
    this.#claims.set(entry, { position, pieces });
    return handed;
  }

  #hand(entry: number, position: bigint, length: number, redelivered: boolean): Handed {
    this.add('Participant.messages', entry, 1);
    this.add('Participant.bytes', entry, length);
    return { sequence: String(position + 1n), length, redelivered };
  }

  /** Releases the first `count` messages of a claim, or all of it. */
  release(entry: number, count = Number.POSITIVE_INFINITY): void {
    const channel = this.#channelOf(entry);
    const capacity = this.get('ChannelEntry.capacity', channel);
    const claim = this.#claims.get(entry);
    if (!claim) return;
    let released = 0;
    for (let piece = claim.pieces[0]; piece; piece = claim.pieces[0]) {
      if (piece.length !== undefined && released === count) return;
      released += piece.length === undefined ? 0 : 1;
      for (const end = claim.position + piece.slots; claim.position < end; claim.position += 1n) {
        this.putSlot(channel, claim.position, 'sequence', claim.position + capacity);
      }
      claim.pieces.shift();
    }
    this.#claims.delete(entry);
    this.put('Participant.intent', entry, 0);
  }

  /** Takes and releases, or moves a subscriber's cursor. */
  poll(entry: number, limit: number): Handed[] {
    const channel = this.#channelOf(entry);
    if (!this.#isStream(channel)) {
      for (;;) {
        const handed = this.take(entry, limit);
        const isOver = handed.length > 0 || !this.#claims.has(entry);
        this.release(entry);
        if (isOver) return handed;
      }
    }
    const handed: Handed[] = [];
    let cursor = this.get('Participant.cursor', entry);
    for (const { slots, length } of this.#pieces(channel, cursor, limit)) {
      if (length !== undefined) handed.push(this.#hand(entry, cursor, length, false));
      cursor += slots;
    }
    this.put('Participant.cursor', entry, cursor);
    return handed;
  }

  /** A writer claims `count` positions and dies before it writes any. */
  dieWriting(entry: number, count: number): void {
    const channel = this.#channelOf(entry);
    const tail = this.get('ChannelEntry.tail', channel);
    this.put('Participant.intent', entry, packIntent(layout.INTENT_WRITING, tail, BigInt(count)));
    this.put('ChannelEntry.tail', channel, tail + BigInt(count));
  }

  /** Makes tombstones of what a dead writer claimed, and frees its entry. */
  repair(entry: number): void {
    const channel = this.#channelOf(entry);
    const { first, count } = unpackIntent(this.get('Participant.intent', entry));
    for (let index = 0n; index < count; index += 1n) this.bury(channel, first + index);
    this.add('Counters.abandoned', channel, count);
    this.close(entry);
  }

  /** The heir takes over what a dead consumer had taken, and releases it; the dead entry is freed. */
  inherit(heir: number, dead: number): Handed[] {
    const claim = this.#claims.get(dead);
    if (!claim) return [];
    this.#claims.delete(dead);
    const handed = this.#claim(heir, claim.position, claim.pieces, true);
    this.add('Counters.redelivered', this.#channelOf(heir), handed.length);
    this.release(heir);
    this.close(dead);
    return handed;
  }
}
