/**
 * Instance: the module in one thread, with a home of its own in a memory; the signatures of bindings/wasm.
 *
 * A memory is either shared, and then never grows, or belongs to one instance (a book), and then it does; views of such a
 * memory are made anew when it has grown.
 */
import { LAYOUT_HASH } from '../generated/layout.ts';
import { wallMs } from './clock.ts';
import { type Global, instantiate, type Memory, type Module, newMemory } from './engine.ts';
import { HEAP_BYTES, type Home, STACK_BYTES, STAGE_BYTES, TABLE_OFFSET, THREAD_BYTES } from './plan.ts';
import { refuse } from './refusal.ts';

const ABI_VERSION = 1;
const WASM_PAGE_BYTES = 64 * 1024;
/** Pages of a private memory at first: constants and stack, and the first of its heap. */
const PRIVATE_PAGES = 8;
const PAGES_MAX = 65_536;

/** What the module exports; pointers and counts are numbers, answers below 0 are codes. */
export interface Exports {
  readonly __stack_pointer: Global;
  readonly __heap_base: Global;
  readonly __tls_size: Global;
  __wasm_init_tls(at: number): void;
  abi_version(): number;
  layout_hash_of_module(): number;
  start(heap: number, end: number, mayGrow: number): void;
  desk(): number;
  allocate(bytes: number): number;
  release(at: number, bytes: number): void;
  region_begin(
    base: number,
    bytes: number,
    id: number,
    number: number,
    pid: number,
    lockTimeoutMs: number,
    maySleep: number,
  ): number;
  channel_create(name: number, length: number, flags: number, capacity: number): number;
  channel_find(name: number, length: number): number;
  bury(number: number): number;
  region_unblock(channel: number, flags: number, into: number, bytes: number): number;
  producer_open(channel: number, label: number, length: number): number;
  producer_write(producer: number, payload: number, length: number, type: number): number;
  producer_write_packed(producer: number, packed: number, bytes: number, count: number, type: number): number;
  producer_last(producer: number): number;
  producer_message_max(producer: number): number;
  producer_wait(producer: number, slots: number, timeoutMs: number): number;
  producer_watch(producer: number, slots: number): number;
  producer_look(producer: number): number;
  producer_after(producer: number, hasTimedOut: number): number;
  producer_close(producer: number): void;
  consumer_open(channel: number, label: number, length: number, from: number, isGating: number): number;
  consumer_poll(consumer: number, into: number, bytes: number, limit: number): number;
  consumer_take(consumer: number, into: number, bytes: number, limit: number): number;
  consumer_release(consumer: number, count: number): number;
  consumer_keep(consumer: number): number;
  consumer_number(consumer: number, which: number): number;
  consumer_wait(consumer: number, timeoutMs: number): number;
  consumer_watch(consumer: number): number;
  consumer_look(consumer: number): number;
  consumer_after(consumer: number, hasTimedOut: number): number;
  consumer_pass_on(consumer: number): void;
  consumer_close(consumer: number): void;
  book_open(config: number, snapshot: number, bytes: number): number;
  book_apply(book: number, commands: number, bytes: number, events: number, room: number): number;
  book_state(book: number, into: number, bytes: number): number;
  book_account(book: number, account: number, into: number, bytes: number): number;
  book_depth(book: number, side: number, into: number, bytes: number): number;
  book_snapshot_bytes(book: number): number;
  book_snapshot(book: number, into: number, bytes: number): number;
  frame_encode(head: number, payload: number, into: number, bytes: number): number;
  frame_check(bytes: number, length: number, head: number): number;
  payload_decompress(stored: number, length: number, into: number, bytes: number): number;
  checksum(bytes: number, length: number): number;
}

/** Called at named steps by a module that was built for the kill matrix. */
export type Step = (name: string) => void;

let step: Step = () => {};

/** Says who hears of steps. */
export function onStep(hear: Step): void {
  step = hear;
}

/** The module in one memory. */
export class Instance {
  readonly memory: Memory;
  readonly calls: Exports;
  /** Where payloads, names and records cross, and how much room there is. */
  readonly stage: number;
  readonly stageBytes: number;
  readonly #desk: number;
  #buffer: SharedArrayBuffer;
  #bytes: Uint8Array;
  #doubles: Float64Array;
  #words: Uint32Array;

  private constructor(memory: Memory, calls: Exports, stage: number, stageBytes: number) {
    this.memory = memory;
    this.calls = calls;
    this.stage = stage;
    this.stageBytes = stageBytes;
    this.#buffer = memory.buffer;
    this.#bytes = new Uint8Array(this.#buffer);
    this.#doubles = new Float64Array(this.#buffer);
    this.#words = new Uint32Array(this.#buffer);
    this.#desk = calls.desk();
  }

  static #exports(module: Module, memory: Memory): Exports {
    const decoder = new TextDecoder();
    const at = (name: number, length: number) =>
      step(decoder.decode(new Uint8Array(memory.buffer).slice(name, name + length)));
    const env = { memory, now: wallMs, monotonic: () => performance.now(), step: at };
    return instantiate<Exports>(module, env);
  }

  static #settle(calls: Exports, memory: Memory, start: number): number {
    const end = start + STACK_BYTES + THREAD_BYTES;
    new Uint8Array(memory.buffer).fill(0, start, end);
    if (calls.__tls_size.value > THREAD_BYTES || calls.__heap_base.value > TABLE_OFFSET) {
      refuse('ERR_VERSION', 'the WebAssembly module needs more room than it is given');
    }
    calls.__stack_pointer.value = start + STACK_BYTES;
    calls.__wasm_init_tls(start + STACK_BYTES);
    if (calls.abi_version() !== ABI_VERSION || calls.layout_hash_of_module() >>> 0 !== LAYOUT_HASH) {
      refuse('ERR_VERSION', 'the WebAssembly module belongs to another version of tailrace');
    }
    return end;
  }

  /** In a home of a shared memory. */
  static inHome(module: Module, memory: Memory, home: Home): Instance {
    const calls = Instance.#exports(module, memory);
    const heap = Instance.#settle(calls, memory, home.start);
    calls.start(heap, heap + HEAP_BYTES, 0);
    return new Instance(memory, calls, heap + HEAP_BYTES, STAGE_BYTES);
  }

  /** In a memory of its own, which grows. */
  static alone(module: Module): Instance {
    const memory = newMemory(PRIVATE_PAGES, PAGES_MAX);
    const calls = Instance.#exports(module, memory);
    const heap = Instance.#settle(calls, memory, TABLE_OFFSET);
    calls.start(heap, PRIVATE_PAGES * WASM_PAGE_BYTES, 1);
    return new Instance(memory, calls, 0, 0);
  }

  /** All of the memory. */
  get bytes(): Uint8Array {
    // Only a private memory grows, by a call of this instance.
    if (this.memory.buffer !== this.#buffer) this.#renew();
    return this.#bytes;
  }

  /** All of the memory in words, as they lie; a shared one does not grow. */
  get words(): Uint32Array {
    return this.#words;
  }

  #renew(): void {
    this.#buffer = this.memory.buffer;
    this.#bytes = new Uint8Array(this.#buffer);
    this.#doubles = new Float64Array(this.#buffer);
    this.#words = new Uint32Array(this.#buffer);
  }

  /** What the last call left: a sequence, a depth, the number of a code. */
  get number(): number {
    return this.#doubles[this.#desk >>> 3]!;
  }

  /** What the last call left: bytes used, or needed. */
  get count(): number {
    return this.#words[(this.#desk >>> 2) + 2]!;
  }

  /** Puts text on the stage; its length. */
  putText(text: string, at = this.stage): number {
    const bytes = new TextEncoder().encode(text).subarray(0, this.stageBytes);
    this.bytes.set(bytes, at);
    return bytes.length;
  }
}
