/**
 * Portable: what the package has everywhere, in Node and in a page: nothing of it needs files or processes.
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
export type { Consumer, ConsumerOptions } from './consumer.ts';
export { type Code, TailraceError } from './error.ts';
export type { BookEvent, Events, Reason } from './events.ts';
export { RUNTIME_C, RUNTIME_NODE, RUNTIME_PYTHON, RUNTIME_RUST, RUNTIME_WASM } from './generated/layout.ts';
export type { KernelKind } from './kernel/compile.ts';
export { kernel } from './kernel/door.ts';
export { type Diagnostic, KernelError, type KernelReason } from './kernel/failure.ts';
export type { Kernel, KernelCounters, KernelOptions } from './kernel/kernel.ts';
export type { Pipe } from './kernel/pipe.ts';
export type { Results } from './kernel/results.ts';
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
export type {
  ChannelInfo,
  ClaimedSlot,
  Counters,
  ParticipantInfo,
  RegionStats,
  Unblocked,
} from './stats.ts';
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

/** What the package runs on in this thread: the native library, or WebAssembly; where it came from, and what was tried. */
export function backend(): { name: 'native' | 'wasm'; file: string; tried: readonly string[] } {
  const { name, file, tried } = loadedBackend();
  return { name, file, tried };
}
