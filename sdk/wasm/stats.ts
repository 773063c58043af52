/**
 * Stats: what people are told about a region in linear memory, in the form of the native library's JSON.
 *
 * Cursors and sequences are read here and never written: by `Atomics`, which order memory as the module's own instructions
 * do. What is told is the same as `core/src/region/stats.rs` tells of a file.
 */
import {
  ANNEX_OFFSET,
  AnnexHeader,
  CHANNEL_CHECKSUM,
  CHANNEL_EXCLUSIVE_CONSUMER,
  CHANNEL_EXCLUSIVE_PRODUCER,
  CHANNEL_GATED,
  CHANNEL_KIND_MASK,
  CHANNEL_MAX,
  CHANNEL_STREAM,
  CHANNELS_OFFSET,
  ChannelEntry,
  ChannelName,
  COUNTERS_OFFSET,
  Counters,
  type Field,
  NAMES_OFFSET,
  PARTICIPANT_MAX,
  PARTICIPANTS_OFFSET,
  Participant,
  RegionHeader,
  ROLE_CONSUMER,
  ROLE_GATING_SUBSCRIBER,
  ROLE_SUBSCRIBER,
  Slot,
  STATE_FREE,
  STATE_JOINING,
  STATE_LIVE,
} from '../generated/layout.ts';
import { wallNs } from './clock.ts';
import { find, type RegionEntry } from './handles.ts';

const KINDS = ['none', 'trying-write', 'writing', 'trying-take', 'taking'] as const;
const STATES: Record<number, string> = { [STATE_JOINING]: 'joining', [STATE_LIVE]: 'live' };
const ROLES = ['unknown', 'producer', 'consumer', 'subscriber', 'gating_subscriber', 'tool'];
const OPTIONS: [number, string][] = [
  [CHANNEL_EXCLUSIVE_PRODUCER, 'exclusive_producer'],
  [CHANNEL_EXCLUSIVE_CONSUMER, 'exclusive_consumer'],
  [CHANNEL_GATED, 'gated'],
  [CHANNEL_CHECKSUM, 'checksum'],
];
const COUNTERS = [
  'abandoned',
  'redelivered',
  'lost',
  'wakes',
  'rescued_waits',
  'full',
  'recoveries',
  'unattributed',
  'corrupt',
] as const;
/** Published slots behind a hole that are looked at for its age. */
const AHEAD = 64n;
const MASK_48 = (1n << 48n) - 1n;

interface Intent {
  kind: (typeof KINDS)[number];
  first: bigint;
  count: bigint;
}

interface Member {
  index: number;
  role: number;
  channel: number;
  state: number;
  pid: number;
  isAlive: boolean;
  cursor: bigint;
  intent: Intent | undefined;
  idle: bigint | undefined;
  lag: bigint | undefined;
  told: object;
}

/** The words of a region. */
class Words {
  readonly longs: BigInt64Array;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly start: number;

  constructor({ instance, plan }: RegionEntry) {
    const { buffer } = instance.memory;
    this.longs = new BigInt64Array(buffer);
    this.words = new Int32Array(buffer);
    this.bytes = new Uint8Array(buffer);
    this.start = plan.regionOffset;
  }

  long(at: number, field: Field): bigint {
    return BigInt.asUintN(64, Atomics.load(this.longs, (this.start + at + field.offset) >>> 3));
  }

  word(at: number, field: Field): number {
    return Atomics.load(this.words, (this.start + at + field.offset) >>> 2) >>> 0;
  }

  half(at: number, field: Field): number {
    return (this.word(at, { ...field, offset: field.offset & ~3 }) >>> ((field.offset & 3) * 8)) & 0xffff;
  }

  text(at: number, field: Field): string {
    const start = this.start + at + field.offset;
    const bytes = this.bytes.slice(start, start + field.size);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  hex(at: number, field: Field): string {
    const start = this.start + at + field.offset;
    return [...this.bytes.slice(start, start + field.size)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }
}

/** How far `position` is behind `tail`; never ahead of it. */
function behind(tail: bigint, position: bigint): bigint {
  const distance = BigInt.asIntN(64, tail - position);
  return distance > 0n ? distance : 0n;
}

function least(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}

function isStream(flags: number): boolean {
  return (flags & CHANNEL_KIND_MASK) === CHANNEL_STREAM;
}

function entryOf(channel: number): number {
  return CHANNELS_OFFSET + channel * ChannelEntry.size;
}

function intentOf(word: bigint): Intent | undefined {
  const kind = KINDS[Number(word >> 61n)];
  if (kind === undefined || kind === 'none') return undefined;
  return { kind, first: word & MASK_48, count: (word >> 48n) & 0x1fffn };
}

function isOver({ first, count }: Intent, position: bigint): boolean {
  return ((position - first) & MASK_48) < count;
}

function isWrite({ kind }: Intent): boolean {
  return kind === 'writing' || kind === 'trying-write';
}

function lagOf(words: Words, role: number, channel: number, cursor: bigint): bigint | undefined {
  const at = entryOf(channel);
  const tail = words.long(at, ChannelEntry.tail);
  if (role === ROLE_SUBSCRIBER || role === ROLE_GATING_SUBSCRIBER) return behind(tail, cursor);
  if (role !== ROLE_CONSUMER) return undefined;
  return least(behind(tail, words.long(at, ChannelEntry.head)), words.long(at, ChannelEntry.capacity));
}

function memberAt(words: Words, index: number, now: bigint): Member | undefined {
  const at = PARTICIPANTS_OFFSET + index * Participant.size;
  const state = words.word(at, Participant.state);
  if (state === STATE_FREE) return undefined;
  const intent = intentOf(words.long(at, Participant.intent));
  const [role, channel] = [words.word(at, Participant.role), words.word(at, Participant.channel)];
  const [pid, cursor] = [words.word(at, Participant.pid), words.long(at, Participant.cursor)];
  const active = words.long(at, Participant.last_active_ns);
  const idle = active === 0n ? undefined : behind(now, active);
  const lag = channel < CHANNEL_MAX ? lagOf(words, role, channel, cursor) : undefined;
  const told = {
    index,
    state: STATES[state] ?? 'unknown',
    role: ROLES[role] ?? 'unknown',
    channel,
    pid,
    label: words.text(at, Participant.label),
    runtime: words.half(at, Participant.runtime),
    generation: words.long(at, Participant.generation),
    is_alive: pid !== 0,
    intent: intent ?? null,
    cursor,
    lag: lag ?? null,
    messages: words.long(at, Participant.messages),
    bytes: words.long(at, Participant.bytes),
    waits: words.word(at, Participant.waits),
    wakes: words.word(at, Participant.wakes),
    full: words.long(at, Participant.full),
    lost: words.long(at, Participant.lost),
    idle_ns: idle ?? null,
  };
  return { index, role, channel, state, pid, isAlive: pid !== 0, cursor, intent, idle, lag, told };
}

function membersOf(words: Words): Member[] {
  const high = Math.min(words.word(ANNEX_OFFSET, AnnexHeader.participants_high), PARTICIPANT_MAX);
  const now = wallNs();
  return Array.from({ length: high }, (_, index) => memberAt(words, index, now)).filter(
    (member) => member !== undefined,
  );
}

/** One channel, while it is looked at. */
class Picture {
  readonly #words: Words;
  readonly #at: number;
  readonly #members: Member[];
  readonly #capacity: bigint;
  readonly #band: number;
  readonly #flags: number;
  readonly #now = wallNs();

  constructor(words: Words, channel: number, members: Member[]) {
    this.#words = words;
    this.#at = entryOf(channel);
    this.#members = members.filter((member) => member.channel === channel);
    this.#capacity = words.long(this.#at, ChannelEntry.capacity);
    this.#band = Number(words.long(this.#at, ChannelEntry.band_offset));
    this.#flags = words.word(this.#at, ChannelEntry.flags);
  }

  told(channel: number): object {
    const words = this.#words;
    const head = words.long(this.#at, ChannelEntry.head);
    const tail = words.long(this.#at, ChannelEntry.tail);
    const isOfStream = isStream(this.#flags);
    const waiting = isOfStream ? this.#slowest(tail) : head;
    const counters = COUNTERS_OFFSET + channel * Counters.size;
    return {
      name: words.text(NAMES_OFFSET + channel * ChannelName.size, ChannelName.text),
      index: channel,
      is_valid: true,
      kind: isOfStream ? 'stream' : 'queue',
      capacity: this.#capacity,
      flags: this.#flags,
      options: OPTIONS.filter(([bit]) => this.#flags & bit).map(([, name]) => name),
      tail,
      head,
      depth: waiting === undefined ? 0n : least(behind(tail, waiting), this.#capacity),
      counters: Object.fromEntries(COUNTERS.map((name) => [name, words.long(counters, Counters[name])])),
      oldest_unread_age_ns: (waiting === undefined ? undefined : this.#age(waiting)) ?? null,
      oldest_claimed: this.#oldestClaimed(tail, waiting) ?? null,
      recorder: null,
      groups: [],
    };
  }

  #slot(position: bigint): number {
    return this.#band + Number(position & (this.#capacity - 1n)) * Slot.size;
  }

  #slowest(tail: bigint): bigint | undefined {
    const readers = this.#members.filter(
      ({ isAlive, state, role, lag }) => isAlive && state === STATE_LIVE && role !== ROLE_CONSUMER && lag !== undefined,
    );
    if (readers.length === 0) return undefined;
    const slowest = readers.map(({ cursor }) => cursor).reduce(least);
    const oldest = tail > this.#capacity ? tail - this.#capacity : 0n;
    return slowest > oldest ? slowest : oldest;
  }

  #age(position: bigint): bigint | undefined {
    const slot = this.#slot(position);
    if (this.#words.long(slot, Slot.sequence) !== position + 1n) return undefined;
    return behind(this.#now, this.#words.long(slot, Slot.timestamp_ns));
  }

  #isHole(position: bigint, tail: bigint): boolean {
    const distance = behind(tail, position);
    const ahead = BigInt.asIntN(64, this.#words.long(this.#slot(position), Slot.sequence) - position);
    return distance >= 1n && distance <= this.#capacity && ahead <= 0n;
  }

  #oldestClaimed(tail: bigint, waiting: bigint | undefined): object | undefined {
    const claimed = this.#members.flatMap(({ intent }) => {
      if (intent === undefined || !isWrite(intent)) return [];
      const first = tail - ((tail - intent.first) & MASK_48);
      return Array.from({ length: Number(intent.count) }, (_, index) => first + BigInt(index));
    });
    const holes = [...claimed, ...(waiting === undefined ? [] : [waiting])].filter((x) => this.#isHole(x, tail));
    if (holes.length === 0) return undefined;
    const position = holes.reduce(least);
    const owner = this.#owner(position);
    let age = owner?.idle;
    const most = least(behind(tail, position), AHEAD);
    for (let ahead = 1n; age === undefined && ahead <= most; ahead += 1n) age = this.#age(position + ahead);
    return { position, age_ns: age ?? null, participant: owner?.index ?? null, owner_pid: owner?.pid ?? null };
  }

  #owner(position: bigint): Member | undefined {
    if (this.#flags & CHANNEL_EXCLUSIVE_PRODUCER) {
      const holder = this.#words.word(this.#at, ChannelEntry.exclusive_writer);
      return this.#members.find(({ index }) => index + 1 === holder);
    }
    const rank = ({ intent, isAlive }: Member) => (intent?.kind === 'writing' ? 2 : 0) + (isAlive ? 1 : 0);
    const over = this.#members.filter(({ intent }) => intent && isWrite(intent) && isOver(intent, position));
    return over.sort((one, other) => rank(other) - rank(one))[0];
  }
}

function toJson(value: unknown): string {
  return JSON.stringify(value, (_, field: unknown) => (typeof field === 'bigint' ? Number(field) : field));
}

/** How many channels a region has. */
export function channelCount(handle: number): number {
  return Math.min(new Words(find('region', handle)).word(0, RegionHeader.channel_count), CHANNEL_MAX);
}

function picturesOf(words: Words, count: number, members: Member[]): object[] {
  return Array.from({ length: count }, (_, channel) => new Picture(words, channel, members).told(channel));
}

/** The channels as JSON. */
export function channels(handle: number): string {
  const words = new Words(find('region', handle));
  return toJson(picturesOf(words, channelCount(handle), membersOf(words)));
}

/** Channels, counters and participants as JSON. */
export function stats(handle: number): string {
  const region = find('region', handle);
  const words = new Words(region);
  const members = membersOf(words);
  const holder = words.word(ANNEX_OFFSET, AnnexHeader.region_lock_holder);
  return toJson({
    path: 'memory',
    region_id: words.hex(0, RegionHeader.region_id),
    created_ns: words.long(0, RegionHeader.created_ns),
    limit_bytes: words.long(0, RegionHeader.limit_bytes),
    file_bytes: words.long(0, RegionHeader.limit_bytes),
    is_foreign: false,
    lock_holder: holder === 0 ? null : holder,
    channels: picturesOf(words, channelCount(handle), members),
    participants: members.map(({ told }) => told),
  });
}

/** What listeners hear of, of each channel: recoveries, lost, abandoned. */
export function growing(handle: number): bigint[][] {
  const words = new Words(find('region', handle));
  return Array.from({ length: channelCount(handle) }, (_, channel) => {
    const at = COUNTERS_OFFSET + channel * Counters.size;
    return [Counters.recoveries, Counters.lost, Counters.abandoned].map((field) => words.long(at, field));
  });
}
