/**
 * Kernel: a filter, a map or an aggregate over batches of records, written in AssemblyScript.
 *
 *     const Trade = struct({ price: f64, quantity: u32 }, 'Trade');
 *     const large = await kernel(`
 *       import { Trade } from 'tailrace/record';
 *       export function filter(trade: Trade): bool { return trade.price * trade.quantity > 1e6; }
 *     `, { record: Trade });
 *     for await (const kept of consumer.pipe(large)) for (const trade of kept) …
 *
 * A batch is one call, `run(pointer, count, stride, out) -> kept`, over the memory into which the consumer's native call
 * has copied it: nothing is copied for the kernel, nothing is allocated by it. A filter answers with the addresses of
 * the records that it keeps, a map with records of `output`, an aggregate with one such record that it goes on with.
 *
 * A kernel ends when it does what it may not (`KernelReason`), and nothing else does: the batch is the caller's still, as
 * far as the kernel has not changed it, and every later run says ERR_CLOSED.
 */
import type { Batch } from '../batch.ts';
import { failure, TailraceError, wrongArgument } from '../error.ts';
import { RECORD_HEADER_BYTES } from '../generated/layout.ts';
import type { Chunk } from '../message.ts';
import type { Struct } from '../struct.ts';
import { type About, bind, pagesOf, unbind } from './artefact.ts';
import { compile, type KernelKind, KINDS, MISSING, RUN_ITSELF } from './compile.ts';
import { KernelError, type KernelReason } from './failure.ts';
import { BUDGET, instrument, REFUSED, ROWS } from './instrument.ts';
import { Results } from './results.ts';
import { Room, stagedBytes } from './room.ts';
import { readFrom } from './source.ts';

/** How a kernel is made. */
export interface KernelOptions<R extends Struct = Struct, O extends Struct = Struct> {
  /** What it reads. A kernel that `tailrace kernel build` made knows that itself. */
  record?: R | undefined;
  /** What a map or an aggregate makes. */
  output?: O | undefined;
  /** Its name in errors; default that of its file. */
  name?: string | undefined;
  /** Path of the source, for complaints of the compiler and for relative imports. */
  file?: string | undefined;
  /** Of a module that somebody else has compiled: what its `run` does; default 'filter'. */
  kind?: KernelKind | undefined;
  /** Turns of loops and calls of functions that one batch may take; default 10,000,000. */
  budget?: number | undefined;
  /** Memory of its own, for statics and heap; default 1 MiB. */
  memoryBytes?: number | undefined;
  /** Memory for a batch; default room for 256 messages, at least 64 KiB. */
  stagingBytes?: number | undefined;
  /** Only messages of this type are given to it; the others are counted. */
  type?: number | undefined;
  /** What to do with messages of another size: throw ERR_CORRUPT (the default), or count them. */
  others?: 'refuse' | 'skip' | undefined;
}

/** What a kernel has done. */
export interface KernelCounters {
  batches: number;
  /** Records that it was given, and that it kept or made. */
  records: number;
  kept: number;
  /** Messages that were not for it. */
  others: number;
  /** In the kernel; of every sixteenth batch, and of the first ones, counted for all. */
  nanoseconds: number;
  /** Times that it was ended; never more than 1. */
  traps: number;
  /** Turns that it has used of all its budgets together. */
  turns: number;
}

const BUDGET_DEFAULT = 10_000_000;
const BUDGET_MAX = 2 ** 31 - 1;
const MEMORY_BYTES = 1 << 20;
const MEMORY_BYTES_MAX = 1 << 30;
const STAGING_BYTES_MIN = 1 << 16;
const BATCH = 256;
const ARGUMENTS = 4;
const TIMED_ALL = 16;

interface Global {
  value: number;
}

interface Exports {
  run(pointer: number, count: number, stride: number, out: number): number;
  [BUDGET]: Global;
  [REFUSED]: Global;
  [ROWS](at: number, end: number, stride: number, length: number, type: number, mask: number): number;
  at?: Global;
  kind?: Global;
}

/** A kernel that can run. */
export class Kernel<Out = Record<string, unknown>> {
  readonly name: string;
  readonly kind: KernelKind;
  /** What it reads. */
  readonly record: Struct;
  /** What it makes; a filter keeps what it reads. */
  readonly output: Struct | undefined;
  /** The compiled kernel, for a file: it runs without a compiler, from Python too. */
  readonly wasm: Uint8Array<ArrayBuffer>;
  readonly #room: Room;
  readonly #exports: Exports;
  readonly #budget: number;
  readonly #type: number | undefined;
  readonly #isSkipping: boolean;
  readonly #counters: KernelCounters = {
    batches: 0,
    records: 0,
    kept: 0,
    others: 0,
    nanoseconds: 0,
    traps: 0,
    turns: 0,
  };
  #timedMs = 0;
  #timed = 0;
  #seen = 0;
  #ended: KernelError | undefined;

  /** @internal */
  constructor(about: About, wasm: Uint8Array<ArrayBuffer>, room: Room, exports: Exports, options: KernelOptions) {
    this.name = about.name;
    this.kind = about.kind;
    this.record = about.record;
    this.output = about.output;
    this.wasm = wasm;
    this.#room = room;
    this.#exports = exports;
    this.#budget = checked('budget', options.budget ?? BUDGET_DEFAULT, BUDGET_MAX);
    this.#type = options.type;
    this.#isSkipping = options.others === 'skip';
  }

  /** What it has done. */
  get counters(): KernelCounters {
    const counters = this.#counters;
    const part = this.#timed === 0 ? 0 : counters.records / this.#timed;
    return { ...counters, nanoseconds: Math.round(this.#timedMs * 1e6 * part) };
  }

  /** Why it has ended, if it has. */
  get ended(): KernelError | undefined {
    return this.#ended;
  }

  /** Most messages of a batch. */
  get capacity(): number {
    return Math.max(1, Math.floor((this.chunk.bytes.length - this.chunk.start) / stagedBytes(this.record.size)));
  }

  /** @internal Where batches have to lie; those from elsewhere are copied there. */
  get chunk(): Chunk {
    return this.#room.chunk;
  }

  /**
   * Runs over a batch; what it says is valid until it runs again. Throws KernelError when that ends it, ERR_CLOSED when it
   * has ended before, ERR_CORRUPT when a message is no record, ERR_TOO_LARGE when the batch does not fit into its memory.
   */
  run(batch: Batch): Results<Out> {
    this.check();
    const began = this.#now();
    const { chunk } = this;
    const place = batch.place;
    let { start, end } = place;
    if (place.chunk !== chunk) {
      if (!this.#room.take(place.chunk.bytes.subarray(start, end))) throw this.#tooLarge(end - start);
      end += chunk.start - start;
      start = chunk.start;
      chunk.at = end;
    }
    this.#begin();
    const kept = this.#runs(start, end);
    const { seen } = this.#finish(kept, began);
    return this.#results(kept, seen, batch.lost, true);
  }

  /** Runs over records that stand one after the other, without messages around them. */
  apply(records: Uint8Array): Results<Out> {
    this.check();
    const began = this.#now();
    const { size } = this.record;
    const count = records.length / size;
    if (!Number.isInteger(count)) {
      throw wrongArgument(`${records.length} bytes are no whole number of ${this.record.name}: it has ${size} bytes`);
    }
    const { chunk } = this;
    if (!this.#room.take(records)) throw this.#tooLarge(records.length);
    chunk.at = chunk.start + records.length;
    this.#begin();
    const kept = count === 0 ? 0 : this.#call(chunk.start, count, size, 0, 0);
    const { seen } = this.#finish(kept, began);
    return this.#results(kept, seen, 0, false);
  }

  /** Now, when this batch is one that is timed: a clock is as slow as a hundred records. */
  #now(): number {
    const { batches } = this.#counters;
    return batches < TIMED_ALL || batches % TIMED_ALL === 0 ? performance.now() : 0;
  }

  #begin(): void {
    this.#seen = 0;
    this.#exports[BUDGET].value = this.#budget;
    this.#exports[REFUSED].value = 0;
  }

  #finish(kept: number, began: number): { seen: number } {
    const counters = this.#counters;
    const seen = this.#seen;
    counters.batches += 1;
    counters.records += seen;
    counters.kept += kept;
    counters.turns += this.#budget - this.#exports[BUDGET].value;
    if (began > 0) {
      this.#timedMs += performance.now() - began;
      this.#timed += seen;
    }
    return { seen };
  }

  #results(kept: number, seen: number, lost: number, hasHeaders: boolean): Results<Out> {
    const isAddresses = this.kind === 'filter';
    const struct = this.output !== undefined && !isAddresses ? this.output : this.record;
    return new Results({ kernel: this.name, room: this.#room, struct, isAddresses, hasHeaders }, kept, seen, lost);
  }

  /** One call for each row of messages that are for this kernel; most batches are one row. */
  #runs(start: number, end: number): number {
    const { words } = this.chunk;
    const { size } = this.record;
    const stride = stagedBytes(size);
    const type = this.#type ?? 0;
    const mask = this.#type === undefined ? 0 : -1;
    let kept = 0;
    let before = 0;
    for (let at = start; ; ) {
      const stop = this.#exports[ROWS](at, end, stride, size, type, mask);
      const count = (stop - at) / stride;
      if (count > 0) kept = this.#call(at + RECORD_HEADER_BYTES, count, stride, before, kept);
      if (stop >= end) return kept;
      const length = words[(stop >>> 2) + 5]!;
      this.#passBy(length, words[(stop >>> 2) + 4]!);
      before += count + 1;
      at = stop + stagedBytes(length);
    }
  }

  /** A message that is not for this kernel. */
  #passBy(length: number, type: number): void {
    if (!this.#isSkipping && (this.#type === undefined || this.#type === type)) {
      const { name, size } = this.record;
      throw new TailraceError(
        'ERR_CORRUPT',
        `a message of ${length} bytes is no ${name}, which has ${size}; give the kernel a type, or others: 'skip'`,
      );
    }
    this.#counters.others += 1;
  }

  /** Runs over equal records; what was kept with them. `before` messages of the batch stand before them. */
  #call(pointer: number, count: number, stride: number, before: number, kept: number): number {
    const size = this.kind === 'filter' ? 4 : (this.output?.size ?? 0);
    const isAggregate = this.kind === 'aggregate';
    const out = this.#room.out + (isAggregate ? 0 : kept * size);
    if (this.kind === 'map') this.#room.clear(out, count * size);
    let answer: number;
    try {
      answer = this.#exports.run(pointer, count, stride, out) >>> 0;
    } catch (error) {
      throw this.#end(error, pointer, stride, before);
    }
    if (answer > count) {
      throw this.#close('answer', `it has kept ${answer} of ${count} records`, undefined, undefined, undefined);
    }
    this.#seen += count;
    return isAggregate ? 1 : kept + answer;
  }

  /** @internal Throws when it has ended. */
  check(): void {
    const ended = this.#ended;
    if (ended) throw failure('ERR_CLOSED', `the kernel "${this.name}" has ended: ${ended.message}`, ended);
  }

  #tooLarge(bytes: number): TailraceError {
    const room = this.chunk.bytes.length - this.chunk.start;
    return failure('ERR_TOO_LARGE', `a batch of ${bytes} bytes for a kernel with room for ${room}`);
  }

  #end(cause: unknown, pointer: number, stride: number, before: number): KernelError {
    const [reason, what] = reasonOf(cause, this.#exports, this.#budget);
    const index = this.#exports.at?.value;
    if (index === undefined || index < 0) return this.#close(reason, what, undefined, undefined, cause);
    const at = pointer + index * stride - RECORD_HEADER_BYTES;
    const sequence = stride === this.record.size ? undefined : this.chunk.longs[at >>> 3];
    return this.#close(reason, what, before + index, sequence, cause);
  }

  #close(
    reason: KernelReason,
    what: string,
    record: number | undefined,
    sequence: bigint | undefined,
    cause: unknown,
  ): KernelError {
    this.#counters.traps += 1;
    const where = record === undefined ? '' : ` at record ${record} of the batch`;
    const number = sequence === undefined ? '' : `, sequence ${sequence}`;
    const message = `the kernel "${this.name}" was ended${where}${number}: ${what}`;
    this.#ended = new KernelError(message, { kernel: this.name, reason, record, sequence, cause });
    return this.#ended;
  }
}

function reasonOf(error: unknown, exports: Exports, budget: number): [KernelReason, string] {
  const message = error instanceof Error ? error.message : String(error);
  if (exports[BUDGET].value < 0) return ['budget', `it has used up its budget of ${budget} turns`];
  if (exports[REFUSED].value !== 0) return ['memory', 'it wanted more memory than it may have (memoryBytes)'];
  return message.startsWith('abort: ') ? ['abort', message] : ['trap', message];
}

/** A kernel, as `door.ts` says. */
export async function makeKernel(from: string | Uint8Array | URL, options: KernelOptions): Promise<Kernel> {
  const { plain, about } = await made(from, options);
  const staging = options.stagingBytes ?? Math.max(STAGING_BYTES_MIN, BATCH * stagedBytes(about.record.size));
  const room = new Room(about, checked('stagingBytes', staging, MEMORY_BYTES_MAX));
  const exports = await started(instrument(plain, about.pages), about.name, room);
  const known = { ...about, kind: about.kind ?? kindOf(exports, about, options.kind) };
  return new Kernel(known, bind(plain, known), room, exports, options);
}

/** A kernel on its way: what it does is known when it has started. */
interface Unstarted {
  plain: Uint8Array<ArrayBuffer>;
  about: Omit<About, 'kind'> & { kind?: KernelKind };
}

async function made(from: string | Uint8Array | URL, options: KernelOptions): Promise<Unstarted> {
  if (!(from instanceof URL)) return madeOf(from, options);
  const { content, file } = await readFrom(from);
  return madeOf(content, { ...options, file: options.file ?? file });
}

async function madeOf(from: string | Uint8Array, options: KernelOptions): Promise<Unstarted> {
  const { file, record, output } = options;
  const bound = typeof from === 'string' ? undefined : unbind(from);
  if (bound !== undefined) {
    checkSame(bound.about.record, record);
    checkSame(bound.about.output, output);
    return bound;
  }
  if (record === undefined) throw wrongArgument('record is missing; give the struct of the records: struct({ … })');
  const name = options.name ?? (file?.replace(/^.*[\\/]/s, '').replace(/\.\w+$/, '') || 'kernel');
  const pages = pagesOf(checked('memoryBytes', options.memoryBytes ?? MEMORY_BYTES, MEMORY_BYTES_MAX));
  const plain = typeof from === 'string' ? await compile(from, { name, file, record, output }) : Uint8Array.from(from);
  return { plain, about: { name, record, output, pages } };
}

/** The instance, and its start function if it has one, within limits. */
async function started(wasm: Uint8Array<ArrayBuffer>, name: string, { memory }: Room): Promise<Exports> {
  const { instantiate } = await loader();
  let exports: Exports;
  try {
    exports = (await instantiate(wasm, { env: { memory } })).instance.exports as unknown as Exports;
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    const reason = what.startsWith('abort: ') ? 'abort' : 'trap';
    throw new KernelError(`the kernel "${name}" could not be started: ${what}`, { kernel: name, reason, cause });
  }
  if (typeof exports.run !== 'function' || exports.run.length !== ARGUMENTS) {
    throw wrongArgument(
      `the kernel "${name}" has no function run(pointer, count, stride, out) that answers how many it kept`,
    );
  }
  return exports;
}

function kindOf({ kind }: Exports, { name, output }: Omit<About, 'kind'>, told: KernelKind = 'filter'): KernelKind {
  const number = typeof kind?.value === 'number' ? kind.value : RUN_ITSELF;
  const found = number === RUN_ITSELF ? told : KINDS[number];
  const kernel = { kernel: name, reason: 'compile' } as const;
  if (found === undefined) throw new KernelError(`the kernel "${name}" exports ${MISSING}`, kernel);
  if (found === 'filter' || output !== undefined) return found;
  throw wrongArgument(
    `output is missing: the kernel "${name}" is of the kind ${found}, which makes records; give their struct`,
  );
}

function checkSame(own: Struct | undefined, given: Struct | undefined): void {
  if (given === undefined || JSON.stringify(own) === JSON.stringify(given)) return;
  const names = `${own?.name ?? 'none'} of ${own?.size ?? 0} bytes`;
  throw wrongArgument(
    `the kernel was built for ${names}, and ${given.name} of ${given.size} bytes has other fields; build it again`,
  );
}

function checked(name: string, value: number, most: number): number {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return value;
  throw wrongArgument(`${name} is ${value}; give a whole number from 1 to ${most.toLocaleString('en')}`);
}

/** The part of the loader that is used here; its own types would have to be there for everybody. */
interface Loader {
  instantiate(wasm: Uint8Array, imports: object): Promise<{ instance: { exports: object } }>;
}

async function loader(): Promise<Loader> {
  try {
    return (await import('@assemblyscript/loader')) as unknown as Loader;
  } catch (error) {
    throw failure(
      'ERR_UNSUPPORTED',
      'kernels need the npm package @assemblyscript/loader (0.28.20 or newer, below 0.29), which could not be loaded',
      error,
    );
  }
}
