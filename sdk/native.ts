/**
 * Native: the functions of the Rust core, looked for when they are first needed.
 *
 * There are two backends behind them: the native library, and the same core in WebAssembly where that is not to be had
 * (`load.ts` chooses). Importing this package never fails; where there is none of the two, the first call throws
 * ERR_UNSUPPORTED and lists what was tried.
 */
import { desk } from './desk.ts';
import { throwNative } from './error.ts';
import { load } from './load.ts';
import type { SharedMemory } from './wasm/regions.ts';

export * from './desk.ts';

/** Bits of `open` and `create`. */
export const OPEN = { READ_ONLY: 1, NO_RECOVERY: 2, HUGEPAGES: 4, LOCK_MEMORY: 8 } as const;
/** Where a subscriber begins. */
export const FROM = { DEFAULT: 0, LATEST: 1, OLDEST: 2, SEQUENCE: 3, TIME: 4 } as const;
/** How safe a message is, or has to be before it is seen. */
export const LEVEL = { memory: 0, wal: 1, replicated: 2 } as const;
/** Bits of a log, and of a recorder. */
export const LOG = { COMPRESS: 1, NO_CREATE: 2, REBASE: 4 } as const;
/** Bit of a reader of a log. */
export const DURABLE_ONLY = 1;
/** Bits of `openConsumer`. */
export const GATING = 1;
/** Bits of `unblock`. */
export const UNBLOCK = { FORCE: 1, DROP: 2 } as const;

/** How a log is written, as the library wants it. */
export interface Writing {
  segmentBytes: number;
  spares: number;
  mode: number;
  flags: number;
  retentionDays: number;
  retentionBytes: number;
  errand: number;
}

/** How work off the event loop ended. */
export interface Ended {
  code: number;
  message: string;
  errno: number;
  value: number;
  number: number;
  text: string;
}

/** How large a book is, and its limits, as the library wants them. */
export interface BookConfig {
  slotCount: number;
  accountCount: number;
  bandTicks: number;
  openOrdersMax: number;
  quantityMax: bigint;
  collarTicks: bigint;
}

/** A region that another thread of this process attaches to; it can be posted to it. */
export type SharedRegion = SharedMemory | SharedNative;

/** The same with the native library: its handle is the whole process's. */
export interface SharedNative {
  readonly tailrace: 'memory';
  readonly backend: 'native';
  readonly region: number;
  readonly pid: number;
}

/** Handles that have something to do; then region, channel, kind and count of what has grown, one after the other. */
type Come = (ready: number[], grown: number[]) => void;

/** The functions of the library; those in the second half take and leave their numbers on the desk. */
export interface Native {
  attach(desk: Uint8Array, fail: typeof throwNative, come: Come): void;
  deskFields(): string[];
  layoutHashOfLibrary(): number;
  sleepsOnMany(): boolean;
  regionCreate(path: string, limitBytes: number, mode: number, lockTimeoutMs: number, flags: number): number;
  regionOpen(path: string, lockTimeoutMs: number, payloadOffset: number, flags: number): number;
  regionOpenOrCreate(
    path: string,
    limitBytes: number,
    mode: number,
    lockTimeoutMs: number,
    payloadOffset: number,
    flags: number,
  ): number;
  regionRemove(path: string): void;
  regionMemory(limitBytes: number, threads: number, lockTimeoutMs: number): number;
  share(region: number): SharedRegion;
  attachShared(shared: SharedRegion, lockTimeoutMs: number): number;
  adopt(region: number, ticket: number, thread: number): void;
  bury(region: number, tickets: readonly number[], thread: number): number;
  ended(region: number, tickets: readonly number[], thread: number): Promise<number>;
  createChannel(region: number, name: string, flags: number, capacity: number): number;
  channels(region: number): string;
  stats(region: number): string;
  unblock(region: number, channel: string | null, flags: number): string;
  listen(region: number, isListening: boolean): void;
  openProducer(region: number, channel: string, label: string, pin: number): number;
  openConsumer(region: number, channel: string, label: string, pin: number, from: number, flags: number): number;
  openRecorded(
    region: number,
    channel: string,
    label: string,
    pin: number,
    from: number,
    fromValue: bigint,
    flags: number,
    level: number,
    log: string | null,
    group: string | null,
  ): number;
  record(region: number, channel: string, log: string, label: string, writing: Writing): number;
  recorderStatus(recorder: number): string;
  recorderClose(recorder: number): Promise<Ended>;
  checkDurability(producer: number, level: number): void;
  logOpen(path: string, writing: Writing): Promise<Ended>;
  logAppend(
    log: number,
    packed: Uint8Array,
    count: number,
    type: number,
    timestamp: bigint,
    isDurable: boolean,
  ): number;
  logSync(log: number): Promise<Ended>;
  logSequences(log: number): number[];
  logTrim(log: number, below: bigint, isForced: boolean): Promise<Ended>;
  logClose(log: number): Promise<Ended>;
  logReader(path: string, from: number, fromValue: bigint, flags: number): number;
  logStat(path: string): Promise<Ended>;
  logVerify(path: string, errand: number): Promise<Ended>;
  logRepair(path: string, errand: number): Promise<Ended>;
  seek(consumer: number, from: number, fromValue: bigint): number;
  commit(consumer: number, timeoutMs: number): Promise<Ended>;
  progress(errand: number): number[];
  close(handle: number): boolean;
  bookCreate(config: BookConfig, key: Uint8Array): number;
  bookRestore(config: BookConfig, key: Uint8Array, snapshot: Uint8Array): number;
  bookSnapshot(book: number): Uint8Array;
  bookDepth(book: number, side: number, limit: number): Uint8Array;
  bookAccount(book: number, account: number): Uint8Array;

  now(): bigint;
  writeStaged(): void;
  write(payload: Uint8Array): void;
  writePacked(packed: Uint8Array): void;
  lastSequence(): void;
  poll(buffer: Uint8Array): void;
  take(buffer: Uint8Array): void;
  release(): void;
  keep(): void;
  depth(): void;
  lost(): void;
  position(): void;
  isDurable(): void;
  wait(): void;
  cancel(): void;
  bookApply(commands: Uint8Array, events: Uint8Array): void;
  bookState(summary: Uint8Array): void;
}

/** What the library is, and what was tried before it. */
export interface Backend {
  /** The native library, or the core in WebAssembly. */
  name: 'native' | 'wasm';
  /** The file that it is. */
  file: string;
  /** What was not loaded, and why not; one sentence each. */
  tried: string[];
  native: Native;
}

let loaded: Backend | undefined;
let come: Come = () => {};

/** Says who hears the news of the waiting thread. */
export function onNews(hear: Come): void {
  come = hear;
}

/** The backend of this thread. */
export function backend(): Backend {
  if (loaded === undefined) {
    loaded = load();
    loaded.native.attach(desk, throwNative, (ready, grown) => come(ready, grown));
  }
  return loaded;
}

/** The library. */
export function native(): Native {
  return (loaded ?? backend()).native;
}
