/**
 * Browser: the package in a page and its workers: what `index.ts` has, except what needs files, processes or a compiler.
 *
 * It is bundled into one file (scripts/browser.mjs), with `browser/` in the place of what belongs to Node.
 */
import { backend as loadedBackend, native } from './native.ts';

export type { Batch } from './batch.ts';
export {
  Book,
  type BookAccount,
  type BookOptions,
  type Command,
  encodeCommands,
  type Level,
  type Side,
} from './book.ts';
export { ready } from './browser/load.ts';
export type { Consumer, ConsumerOptions } from './consumer.ts';
export { type Code, TailraceError } from './error.ts';
export type { BookEvent, Events, Reason } from './events.ts';
export { RUNTIME_C, RUNTIME_NODE, RUNTIME_PYTHON, RUNTIME_RUST, RUNTIME_WASM } from './generated/layout.ts';
export type { Message } from './message.ts';
export * as mold from './mold.ts';
export type { SharedRegion } from './native.ts';
export type { Producer, ProducerOptions, SendOptions, WriteOptions } from './producer.ts';
export {
  type ChannelOptions,
  type Growth,
  type MemoryOptions,
  Region,
  type RegionEvents,
  type Thread,
  type UnblockOptions,
} from './region.ts';
export type { Start } from './start.ts';
export type { ChannelInfo, ClaimedSlot, Counters, ParticipantInfo, RegionStats, Unblocked } from './stats.ts';
export {
  bool,
  bytes,
  type Field,
  f32,
  f64,
  type Infer,
  i8,
  i16,
  i32,
  i64,
  Struct,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
  wireStruct,
} from './struct.ts';
export type { WaitOptions } from './waiting.ts';
export * as wire from './wire.ts';

/** The clock of message timestamps: nanoseconds since 1970. */
export function now(): bigint {
  return native().now();
}

/** What the package runs on: WebAssembly, and where it came from. */
export function backend(): { name: 'native' | 'wasm'; file: string; tried: readonly string[] } {
  const { name, file, tried } = loadedBackend();
  return { name, file, tried };
}
