/**
 * Stats: what a region tells about itself. Positions and counts are numbers, ages are milliseconds.
 */

/** What happened on a channel since the region was made. */
export interface Counters {
  /** Positions whose writer died. */
  abandoned: number;
  /** Messages delivered again. */
  redelivered: number;
  /** Positions that subscribers lost because they were slower than the writers. */
  lost: number;
  /** Times that a sleeper was woken by the system. */
  wakes: number;
  /** Sleeps that ended by time-out although something was there. */
  rescuedWaits: number;
  /** Writes that found no room. */
  full: number;
  /** Repairs. */
  recoveries: number;
  /** Holes that belong to nobody known. */
  unattributed: number;
  /** Messages skipped because a length or a checksum was wrong. */
  corrupt: number;
}

/** A position that was claimed and is not published: nothing behind it is delivered until it is. */
export interface ClaimedSlot {
  position: number;
  /** How long ago, as far as that can be known. */
  ageMs: number | null;
  /** Index of the participant that claimed it; null: a foreign program. */
  participant: number | null;
  ownerPid: number | null;
}

/** Who records a channel, and how far it has come. */
export interface RecorderInfo {
  /** Index of the participant; null: nobody. */
  participant: number | null;
  pid: number | null;
  /** Hexadecimal; zeros before the first recorder. */
  logId: string;
  /** Log sequence of position 0; null before the first recorder. */
  base: number | null;
  /** Positions below this are in the log's file. */
  recordedPosition: number;
  /** Newest log sequence on disk. */
  durableSequence: number;
  /** Code for which recording has stopped, without its prefix. */
  error: string | null;
  /** Positions written and not recorded. */
  lag: number;
}

/** A set of consumers that share the messages of a recorded channel. */
export interface GroupInfo {
  name: string;
  /** Next log sequence to hand out; 0 while the channel has no log. */
  next: number;
  /** Lowest log sequence that is not finished, as of when it was counted last. */
  committed: number;
  /** Claims of the dead that others took over. */
  takeovers: number;
  /** Members that live. */
  members: number;
  /** Sequences written and not finished; null while the channel has no log. */
  lag: number | null;
}

/** One channel. */
export interface ChannelInfo {
  name: string;
  index: number;
  /** False when its entry cannot be right; then it cannot be opened. */
  isValid: boolean;
  kind: 'queue' | 'stream';
  /** Slots. */
  capacity: number;
  /** Bits, as in the layout. */
  flags: number;
  /** Names of the options it was made with. */
  options: string[];
  /** Next position to write. */
  tail: number;
  /** Next position to take; queues only. */
  head: number;
  /** Positions waiting: of a queue, not taken; of a stream, not read by its slowest subscriber. */
  depth: number;
  counters: Counters;
  /** Time since the oldest waiting message was written. */
  oldestUnreadAgeMs: number | null;
  oldestClaimed: ClaimedSlot | null;
  /** Of a recorded channel. */
  recorder: RecorderInfo | null;
  /** Of a recorded channel. */
  groups: GroupInfo[];
}

/** One open handle. */
export interface ParticipantInfo {
  index: number;
  state: 'joining' | 'live' | 'unknown';
  role: 'producer' | 'consumer' | 'subscriber' | 'gating_subscriber' | 'tool' | 'unknown';
  /** Index of its channel. */
  channel: number;
  /** 0 once its owner gave it up. */
  pid: number;
  label: string;
  /** One of `RUNTIME_*`. */
  runtime: number;
  generation: number;
  /** False when its owner is proved dead. */
  isAlive: boolean;
  /** With which positions it is doing what; null: nothing. */
  intent: { kind: 'trying-write' | 'writing' | 'trying-take' | 'taking'; first: number; count: number } | null;
  /** Next position of a subscriber. */
  cursor: number;
  /** Positions it has not read; producers have none. */
  lag: number | null;
  messages: number;
  bytes: number;
  /** Times it slept. */
  waits: number;
  /** Times it woke somebody. */
  wakes: number;
  /** Writes that found no room. */
  full: number;
  lost: number;
  /** Time since it last did something. */
  idleMs: number | null;
}

/** A region, its channels, and who is attached. */
export interface RegionStats {
  path: string;
  /** Hexadecimal; zeros in a region of programs that know only the published layout. */
  regionId: string;
  /** Milliseconds since 1970. */
  createdMs: number;
  limitBytes: number;
  fileBytes: number;
  isForeign: boolean;
  /** Process id of who holds the region lock; a hint. */
  lockHolder: number | null;
  channels: ChannelInfo[];
  participants: ParticipantInfo[];
}

/** What `unblock` did with a position. */
export interface Unblocked {
  /** Index of the channel. */
  channel: number;
  position: number;
  action: 'tombstone' | 'forced' | 'dropped';
}

function camel(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The core's JSON with the names of this language, and its nanoseconds as milliseconds. */
export function parseStats(text: string): unknown {
  return JSON.parse(text, (_, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, field]: [string, unknown]) => {
        const renamed = camel(name);
        if (!renamed.endsWith('Ns')) return [renamed, field];
        return [`${renamed.slice(0, -2)}Ms`, typeof field === 'number' ? field / 1e6 : field];
      }),
    );
  });
}
