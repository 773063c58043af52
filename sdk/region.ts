/**
 * Region: a file of shared memory with channels in it, which every process maps that opens it.
 */
import { EventEmitter } from 'node:events';
import { Consumer, type ConsumerOptions } from './consumer.ts';
import { failure, wrongArgument } from './error.ts';
import {
  CHANNEL_CHECKSUM,
  CHANNEL_EXCLUSIVE_CONSUMER,
  CHANNEL_EXCLUSIVE_PRODUCER,
  CHANNEL_FOREIGN_CODE,
  CHANNEL_FOREIGN_DOCUMENT,
  CHANNEL_GATED,
  CHANNEL_QUEUE,
  CHANNEL_RECORDED,
  CHANNEL_STREAM,
} from './generated/layout.ts';
import { GATING, LEVEL, native, OPEN, type SharedRegion, UNBLOCK } from './native.ts';
import { Producer, type ProducerOptions } from './producer.ts';
import { Recorder, type RecordOptions } from './recorder.ts';
import { encodeStart } from './start.ts';
import { type ChannelInfo, parseStats, type RegionStats, type Unblocked } from './stats.ts';
import { forget, listen } from './waiting.ts';
import { THREADS } from './wasm/plan.ts';

/** How a region is made. */
export interface CreateOptions {
  /** The file may grow up to this; default 64 MiB. */
  limitBytes?: number | undefined;
  /** Permission bits: 0o600, 0o640 or 0o660; default 0o600. */
  mode?: number | undefined;
  /** Longest wait for the region's lock, when channels are made and handles opened; default 1,000. */
  lockTimeoutMs?: number | undefined;
  /** Asks the kernel for huge pages. */
  hugepages?: boolean | undefined;
  /** Keeps the pages in memory once they were touched. */
  lock?: boolean | undefined;
}

/** How a region is made that has no file. */
export interface MemoryOptions {
  /** Room for channels; default 64 MiB. */
  limitBytes?: number | undefined;
  /** Threads that can attach at once, with WebAssembly, this one included; default 16. */
  threads?: number | undefined;
  /** Longest wait for the region's lock, when channels are made and handles opened; default 1,000. */
  lockTimeoutMs?: number | undefined;
}

/** Whatever runs in a thread of its own: a Worker of Node or of a page. */
export type Thread = object;

/** What is known of the handles that a worker got, or has made. */
interface Tie {
  tickets: number[];
  /** Number of its thread, as `load.ts` counts them; 0 where threads have none. */
  thread: number;
}

/** How a region is opened. */
export interface OpenOptions {
  /** Maps for reading only: ungated streams, no entry among the participants. */
  readOnly?: boolean | undefined;
  /** False opens regions of programs that know only the published layout, too; default true. */
  recovery?: boolean | undefined;
  /** Where payloads begin in the slots of such a region; default 48. */
  payloadOffset?: 48 | 64 | undefined;
  /** Longest wait for the region's lock, when channels are made and handles opened; default 1,000. */
  lockTimeoutMs?: number | undefined;
  /** Asks the kernel for huge pages. */
  hugepages?: boolean | undefined;
  /** Keeps the pages in memory once they were touched. */
  lock?: boolean | undefined;
}

/** How a channel is made. */
export interface ChannelOptions {
  /** 'queue': each message to one consumer; 'stream': each message to every subscriber. Default 'queue'. */
  kind?: 'queue' | 'stream' | undefined;
  /** Slots, a power of two; default 1,024. A message of up to 1,024 bytes needs one. */
  capacity?: number | undefined;
  /** One producer at a time, which is faster. */
  exclusiveProducer?: boolean | undefined;
  /** One consumer at a time, which is faster; queues only. */
  exclusiveConsumer?: boolean | undefined;
  /** Writers wait for the slowest subscriber; streams only. */
  gated?: boolean | undefined;
  /** Every message carries a CRC. */
  checksum?: boolean | undefined;
  /** Kept in a log: writers wait for a recorder (`record`); streams only. */
  recorded?: boolean | undefined;
  /** Shared with programs that know only the published layout: by its document, or by its code. Queues only. */
  foreign?: 'document' | 'code' | undefined;
}

/** What can be done by hand. */
export interface UnblockOptions {
  /** Only this channel. */
  channel?: string | undefined;
  /** Makes tombstones of holes that nobody known owns. */
  force?: boolean | undefined;
  /** Releases what dead consumers had taken, where no consumer is left. */
  drop?: boolean | undefined;
}

/** What has grown since the last time, at most every 100 ms. */
export interface Growth {
  /** Name of the channel. */
  channel: string;
  count: number;
}

/** What `on` tells of. */
export interface RegionEvents {
  /** Something that a dead process left behind was repaired. */
  recovered: [growth: Growth];
  /** Subscribers lost positions, because they were slower than the writers. */
  lost: [growth: Growth];
  /** Positions whose writer died were skipped. */
  abandoned: [growth: Growth];
}

const EVENTS = ['recovered', 'lost', 'abandoned'] as const;
const DEFAULTS = { limitBytes: 64 * 1024 * 1024, mode: 0o600, lockTimeoutMs: 1_000, capacity: 1_024 };

/** Closes the handle of a region that was forgotten. */
const forgotten = new FinalizationRegistry<number>((handle) => native().close(handle));

/** A region. */
export class Region extends EventEmitter<RegionEvents> {
  /** The name of the file, as it was given. */
  readonly path: string;
  readonly #handle: number;
  readonly #isRecovering: boolean;
  readonly #ties = new WeakMap<Thread, Tie>();
  #isClosed = false;

  private constructor(path: string, handle: number, isRecovering: boolean) {
    super();
    this.path = path;
    this.#handle = handle;
    this.#isRecovering = isRecovering;
    forgotten.register(this, handle, this);
    this.on('newListener' as never, this.#listen as never);
  }

  /** Makes a region's file, which must not exist. */
  static create(path: string, options: CreateOptions = {}): Region {
    const { limitBytes = DEFAULTS.limitBytes, mode = DEFAULTS.mode, lockTimeoutMs = DEFAULTS.lockTimeoutMs } = options;
    checkPath(path);
    checkNumber('limitBytes', limitBytes);
    const handle = native().regionCreate(path, limitBytes, mode, lockTimeoutMs, openFlags(options));
    return new Region(path, handle, true);
  }

  /** Opens a region's file. */
  static open(path: string, options: OpenOptions = {}): Region {
    const lockTimeoutMs = options.lockTimeoutMs ?? DEFAULTS.lockTimeoutMs;
    checkPath(path);
    const handle = native().regionOpen(path, lockTimeoutMs, options.payloadOffset ?? 48, openFlags(options));
    return new Region(path, handle, options.recovery ?? true);
  }

  /** Opens a region's file, or makes it when there is none. */
  static openOrCreate(path: string, options: CreateOptions & OpenOptions = {}): Region {
    const { limitBytes = DEFAULTS.limitBytes, mode = DEFAULTS.mode, lockTimeoutMs = DEFAULTS.lockTimeoutMs } = options;
    checkPath(path);
    checkNumber('limitBytes', limitBytes);
    const offset = options.payloadOffset ?? 48;
    const handle = native().regionOpenOrCreate(path, limitBytes, mode, lockTimeoutMs, offset, openFlags(options));
    return new Region(path, handle, options.recovery ?? true);
  }

  /** Removes a region's file; whoever has it open gets ERR_GONE. */
  static remove(path: string): void {
    checkPath(path);
    native().regionRemove(path);
  }

  /**
   * Makes a region without a file, for the threads of this process: with the native library, and with WebAssembly, where
   * there is no other. It is gone with its last handle.
   */
  static memory(options: MemoryOptions = {}): Region {
    const { limitBytes = DEFAULTS.limitBytes, threads = THREADS, lockTimeoutMs = DEFAULTS.lockTimeoutMs } = options;
    checkNumber('limitBytes', limitBytes);
    return new Region('memory', native().regionMemory(limitBytes, threads, lockTimeoutMs), true);
  }

  /** Attaches to a region without a file that another thread of this process shares. */
  static attach(shared: SharedRegion, options: Pick<MemoryOptions, 'lockTimeoutMs'> = {}): Region {
    if (shared?.tailrace !== 'memory') throw wrongArgument('give what share() of a region gave, in another thread');
    const handle = native().attachShared(shared, options.lockTimeoutMs ?? DEFAULTS.lockTimeoutMs);
    return new Region('memory', handle, true);
  }

  /**
   * What another thread needs to attach: post it to the worker, or give it as workerData. Keep this region open until it
   * has. With the worker, what is left when it ends is known to be its (`bury`).
   */
  share(worker?: Thread): SharedRegion {
    if (this.path !== 'memory') throw failure('ERR_UNSUPPORTED', 'a region with a file is shared by its path');
    const shared = native().share(this.#handle);
    if (worker !== undefined && shared.backend === 'wasm') {
      const { tickets, thread } = this.#tie(worker);
      tickets.push(shared.ticket);
      // A tab lives longer than the page that has opened it; a worker does not.
      if ('terminate' in worker) native().adopt(this.#handle, shared.ticket, thread);
    }
    return shared;
  }

  #tie(worker: Thread): Tie {
    const tie = this.#ties.get(worker) ?? { tickets: [], thread: threadOf(worker) };
    this.#ties.set(worker, tie);
    return tie;
  }

  /**
   * Buries whatever a worker of Node leaves behind, when it ends, and what workers leave behind that it has attached
   * likewise: what it had claimed goes to others, what it was writing is skipped, and nobody waits for a lock that it
   * held. A page calls `ended` itself.
   */
  attach(worker: Thread & { once(event: 'exit', call: () => void): unknown }): void {
    const { thread } = this.#tie(worker);
    if (thread > 0) native().adopt(this.#handle, 0, thread);
    worker.once('exit', () => {
      if (!this.#isClosed) this.bury(worker);
    });
  }

  /**
   * Declares dead what a worker of Node left behind that was shared this region (`share(worker)`) and has ended:
   * `terminate()` has resolved. How many handles that were.
   */
  bury(worker: Thread): number {
    const { tickets, thread } = this.#tie(worker);
    return native().bury(this.#handle, tickets, thread);
  }

  /**
   * The same for a page, where a worker runs on for a while after `terminate()`, and a frame's page after it was removed:
   * waits until it has really ended, which can take seconds, and buries it then. How many handles that were.
   */
  async ended(worker: Thread): Promise<number> {
    const { tickets, thread } = this.#tie(worker);
    return native().ended(this.#handle, tickets, thread);
  }

  /** Adds a channel, or finds it with the same options; its index. */
  createChannel(name: string, options: ChannelOptions = {}): number {
    const capacity = options.capacity ?? DEFAULTS.capacity;
    checkNumber('capacity', capacity);
    return native().createChannel(this.#handle, name, channelFlags(options), capacity);
  }

  /** What there is to know of every channel. */
  channels(): ChannelInfo[] {
    return parseStats(native().channels(this.#handle)) as ChannelInfo[];
  }

  /** What there is to know of the region, its channels, and who is attached. */
  stats(): RegionStats {
    return parseStats(native().stats(this.#handle)) as RegionStats;
  }

  /** A handle that writes to a channel. */
  openProducer(channel: string, options: ProducerOptions = {}): Producer {
    const handle = native().openProducer(this.#handle, channel, options.label ?? '', options.pin ?? -1);
    return new Producer(handle, channel);
  }

  /** A handle that reads a channel. */
  openConsumer(channel: string, options: ConsumerOptions = {}): Consumer {
    const info = this.channels().find((info) => info.name === channel);
    const { level, log, group } = options;
    if (info && info.flags & CHANNEL_RECORDED) return this.#openRecorded(channel, options);
    const [name] = Object.entries({ level, log, group }).find(([, value]) => value !== undefined) ?? [];
    if (info && name) throw failure('ERR_UNSUPPORTED', `${name} is for recorded channels, and ${channel} is none`);
    const { gating, label = '', pin = -1 } = options;
    const [start, value] = encodeStart(options.from);
    if (value > 0n)
      throw failure('ERR_UNSUPPORTED', `channel ${channel} is not recorded: it has no sequences or times`);
    const handle = native().openConsumer(this.#handle, channel, label, pin, start, gating ? GATING : 0);
    return new Consumer(handle, channel, info?.kind === 'queue' && this.#isRecovering, options);
  }

  #openRecorded(channel: string, options: ConsumerOptions): Consumer {
    const { gating, label = '', pin = -1, level = 'memory', log = null, group = null } = options;
    if (LEVEL[level] === undefined) throw wrongArgument(`level is ${JSON.stringify(level)}; give 'memory' or 'wal'`);
    const [start, value] = encodeStart(options.from);
    const flags = gating ? GATING : 0;
    const region = this.#handle;
    const handle = native().openRecorded(region, channel, label, pin, start, value, flags, LEVEL[level], log, group);
    return new Consumer(handle, channel, group !== null, options);
  }

  /**
   * Records a recorded channel in a log, on native threads of this process, until it is closed.
   *
   * Throws ERR_BUSY while another recorder lives, ERR_EXISTS when the channel belongs to another log or somebody else
   * appended to this one, ERR_CORRUPT when the log has lost what the channel no longer holds, ERR_UNSUPPORTED for a
   * channel that is not recorded.
   */
  record(channel: string, options: RecordOptions): Recorder {
    return new Recorder(this.#handle, channel, options);
  }

  /** Repairs now what the dead left behind, and what the options allow besides; what was done. */
  unblock(options: UnblockOptions = {}): Unblocked[] {
    const flags = (options.force ? UNBLOCK.FORCE : 0) | (options.drop ? UNBLOCK.DROP : 0);
    return parseStats(native().unblock(this.#handle, options.channel ?? null, flags)) as Unblocked[];
  }

  /** Counters are looked at from the first listener on. */
  #listen(event: string): void {
    if (!(EVENTS as readonly string[]).includes(event) || this.#isClosed) return;
    this.off('newListener' as never, this.#listen as never);
    listen(this.#handle, (channel, kind, count) => {
      const name = this.channels()[channel]?.name ?? String(channel);
      const event = EVENTS[kind];
      if (event) queueMicrotask(() => this.emit(event, { channel: name, count }));
    });
  }

  /** Closes the region; its producers and consumers stay open. A second time is nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    forgotten.unregister(this);
    forget(this.#handle);
    native().close(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** The number of a worker's thread, while it has one. */
function threadOf(worker: Thread): number {
  const { threadId } = worker as { threadId?: unknown };
  return typeof threadId === 'number' ? threadId + 1 : 0;
}

function openFlags(options: CreateOptions & OpenOptions): number {
  return (
    (options.readOnly ? OPEN.READ_ONLY : 0) |
    (options.recovery === false ? OPEN.NO_RECOVERY : 0) |
    (options.hugepages ? OPEN.HUGEPAGES : 0) |
    (options.lock ? OPEN.LOCK_MEMORY : 0)
  );
}

function channelFlags(options: ChannelOptions): number {
  const { kind, foreign } = options;
  if (kind !== undefined && kind !== 'queue' && kind !== 'stream') {
    throw wrongArgument(`kind is ${JSON.stringify(kind)}; give 'queue' or 'stream'`);
  }
  if (foreign !== undefined && foreign !== 'document' && foreign !== 'code') {
    throw wrongArgument(`foreign is ${JSON.stringify(foreign)}; give 'document' or 'code'`);
  }
  return (
    (kind === 'stream' ? CHANNEL_STREAM : CHANNEL_QUEUE) |
    (options.exclusiveProducer ? CHANNEL_EXCLUSIVE_PRODUCER : 0) |
    (options.exclusiveConsumer ? CHANNEL_EXCLUSIVE_CONSUMER : 0) |
    (options.gated ? CHANNEL_GATED : 0) |
    (options.checksum ? CHANNEL_CHECKSUM : 0) |
    (options.recorded ? CHANNEL_RECORDED : 0) |
    (foreign === 'document' ? CHANNEL_FOREIGN_DOCUMENT : foreign === 'code' ? CHANNEL_FOREIGN_CODE : 0)
  );
}

function checkPath(path: unknown): void {
  if (typeof path !== 'string') throw wrongArgument(`path is a ${typeof path}; give the name of a file`);
}

function checkNumber(name: string, value: unknown): void {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw wrongArgument(`${name} is ${String(value)}; give a whole number`);
  }
}
