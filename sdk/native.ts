/**
 * Native: the library of the Rust core, looked for when it is first needed.
 *
 * Importing this package never fails: on another platform, or where the library is missing, the first call that needs it
 * throws ERR_UNSUPPORTED and lists what was tried. Numbers cross on the `desk`, an array that both sides see, because
 * each argument of a native call costs as much as the whole work on it (bindings/native/src/node/desk.rs).
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { failure, throwNative } from './error.ts';
import { LAYOUT_HASH } from './generated/layout.ts';

const DESK_FIELDS = ['handle', 'number', 'type', 'count', 'at', 'answer', 'bytes', 'spare'];
/** Longest payload that may lie on the desk. */
export const STAGE_BYTES = 1024;
const STAGE_OFFSET = 64;

const desk = new Uint8Array(STAGE_OFFSET + STAGE_BYTES);

/** The desk's doubles. */
export const numbers = new Float64Array(desk.buffer, 0, 2);
/** Whom a call is for. */
export const HANDLE = 0;
/** What a call answers that may be large: a sequence, a depth, positions that were lost. */
export const NUMBER = 1;

/** The desk's words. */
export const words = new Int32Array(desk.buffer, 16, 5);
/** The user's number for the kind of message. */
export const TYPE = 0;
/** How many messages; negative for all. */
export const COUNT = 1;
/** Where in the buffer the first record goes. */
export const AT = 2;
/** What a call answers: a count, or a code. */
export const ANSWER = 3;
/** Bytes used, or needed. */
export const BYTES = 4;

/** Where the payload of `writeStaged` lies. */
export const stage = desk.subarray(STAGE_OFFSET);

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

let loaded: Native | undefined;
let come: Come = () => {};

/** Says who hears the news of the waiting thread. */
export function onNews(hear: Come): void {
  come = hear;
}

/** Where the library may be, in the order in which it is looked for. */
export function candidates(): string[] {
  const told = process.env.TAILRACE_LIBRARY;
  if (told) return [told];
  const packaged = `../native/${process.platform}-${process.arch}/tailrace.node`;
  const built = '../target/release/libtailrace_native.so';
  return [packaged, built].map((place) => fileURLToPath(new URL(place, import.meta.url)));
}

function open(file: string): Native {
  if (!existsSync(file)) throw new Error('there is no such file');
  const module: { exports: Partial<Native> } = { exports: {} };
  process.dlopen(module, file);
  const native = module.exports as Native;
  if (!native.attach || native.deskFields().join() !== DESK_FIELDS.join()) {
    throw new Error('this file belongs to another version of tailrace');
  }
  if (native.layoutHashOfLibrary() !== LAYOUT_HASH) {
    throw new Error('this file was built with another layout of the shared bytes');
  }
  native.attach(desk, throwNative, (ready, grown) => come(ready, grown));
  // What an addon exports is a slow dictionary: 6 ns for each look into it.
  return { ...native };
}

/** The library. */
export function native(): Native {
  if (loaded) return loaded;
  const tried: string[] = [];
  if (process.platform !== 'linux') {
    tried.push(`this platform is ${process.platform}-${process.arch}, and regions need Linux (x64 or arm64)`);
  } else {
    for (const file of candidates()) {
      try {
        loaded = open(file);
        return loaded;
      } catch (error) {
        tried.push(`${file}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  throw failure('ERR_UNSUPPORTED', `the native library could not be loaded. Tried: ${tried.join(' · ')}`);
}
