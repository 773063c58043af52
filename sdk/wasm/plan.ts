/**
 * Plan: what lies where in a shared memory, and which instance has which home.
 *
 * ```text
 * 0            constants of the module, up to its `__heap_base`
 * table        header, and one entry for each home                      64 KiB, written here, by Atomics
 * homes        stack and thread block 64 KiB · heap 2 MiB · stage 1 MiB and 64 KiB
 * region       the bytes of a region's file                             written by the core alone
 * ```
 *
 * A memory is as large at the beginning as it will ever be, because the views of other threads would not follow its growth;
 * pages that nobody touches cost nothing. A home belongs to one instance, from before its first call until the thread has
 * ended: an entry is taken by one CAS, which says whose it is (a thread ended behind it leaves nothing unsaid), and given
 * back by whoever knows that nobody runs in it any more. Its generation makes the instance's number one that was never
 * used before.
 *
 * The table also says which threads end with which: a worker that starts workers takes them along when it is ended, and
 * whoever buries it does not know them.
 */
import { type Memory, newMemory } from './engine.ts';
import { refuse } from './refusal.ts';

const WASM_PAGE_BYTES = 64 * 1024;
const MAGIC = 0x4d4c5254;
const VERSION = 1;
/** Where the table begins, or the only home of a private memory; a module's constants end before. */
export const TABLE_OFFSET = 128 * 1024;
const TABLE_BYTES = 64 * 1024;
/** Bytes of an instance's stack, and of its thread block behind it. */
export const STACK_BYTES = 60 * 1024;
export const THREAD_BYTES = 4 * 1024;
/** Bytes of an instance's heap. */
export const HEAP_BYTES = 2 * 1024 * 1024;
/** Bytes through which payloads and records go: the longest message and its record. */
export const STAGE_BYTES = 1024 * 1024 + 64 * 1024;
const HOME_BYTES = STACK_BYTES + THREAD_BYTES + HEAP_BYTES + STAGE_BYTES;
/** Threads that a memory has room for, and how many it may have. */
export const THREADS = 16;
export const THREADS_MAX = 1_000;
/** The most a memory of 32 bits can be. */
const MEMORY_BYTES_MAX = 65_536 * WASM_PAGE_BYTES;

/** Words of the table's header. */
const HEADER = { magic: 0, version: 1, homes: 2, tickets: 3, regionOffset: 4, regionBytes: 5 } as const;
/** Where entries begin, and their words. */
const ENTRIES = 16;
const ENTRY = { owner: 0, generation: 1, tied: 2, words: 4 } as const;
const FREE = 0;
/** Where the pairs of a child and its parent begin, both by what entries say of them; how many, and their words. */
const KIN = 8_192;
const KIN_MAX = 1_024;
const KIN_WORDS = 2;
/** A pair that somebody is writing. */
const RESERVED = 2 ** 31 - 1;

/** Who takes a home. */
export interface Tenant {
  /** Of the handle by which the memory was shared; 0: of its maker. */
  ticket: number;
  /** Number of the thread, where threads have one. */
  thread: number;
}

/** What an entry says: below 0 a thread, above 0 a ticket. */
function ownerOf({ ticket, thread }: Tenant): number {
  return thread > 0 ? -thread : ticket + 1;
}

/** A home of one instance. */
export interface Home {
  index: number;
  /** Never used before in this memory. */
  number: number;
  start: number;
}

/** A memory for a region of so many bytes; nobody has a home in it yet. */
export function createMemory(limitBytes: number, threads: number): Memory {
  const before = TABLE_OFFSET + TABLE_BYTES + threads * HOME_BYTES;
  const pages = Math.ceil((before + limitBytes) / WASM_PAGE_BYTES);
  if (pages * WASM_PAGE_BYTES > MEMORY_BYTES_MAX) {
    const room = MEMORY_BYTES_MAX - before;
    refuse('ERR_ARGUMENT', `limitBytes is ${limitBytes}; beside ${threads} threads there is room for ${room}`);
  }
  try {
    return newMemory(pages, pages);
  } catch (error) {
    refuse('ERR_NO_SPACE', `no memory of ${pages * WASM_PAGE_BYTES} bytes (${String(error)})`);
  }
}

/** The table of one memory. */
export class Plan {
  readonly #words: Int32Array;

  private constructor(memory: Memory) {
    this.#words = new Int32Array(memory.buffer, TABLE_OFFSET, TABLE_BYTES / 4);
  }

  /** Writes the table of a memory that was just made. */
  static create(memory: Memory, threads: number, limitBytes: number): void {
    const plan = new Plan(memory);
    const words = plan.#words;
    words[HEADER.version] = VERSION;
    words[HEADER.homes] = threads;
    words[HEADER.regionOffset] = TABLE_OFFSET + TABLE_BYTES + threads * HOME_BYTES;
    words[HEADER.regionBytes] = limitBytes;
    Atomics.store(words, HEADER.magic, MAGIC);
  }

  /** The table of a memory that somebody else made. */
  static of(memory: Memory): Plan {
    const plan = new Plan(memory);
    if (Atomics.load(plan.#words, HEADER.magic) !== MAGIC || plan.#words[HEADER.version] !== VERSION) {
      refuse('ERR_VERSION', 'this memory was made by another version of tailrace, or by somebody else');
    }
    return plan;
  }

  get regionOffset(): number {
    return this.#words[HEADER.regionOffset]! >>> 0;
  }

  get regionBytes(): number {
    return this.#words[HEADER.regionBytes]! >>> 0;
  }

  get homes(): number {
    return this.#words[HEADER.homes]!;
  }

  /** A number for one more handle by which the memory is shared. */
  nextTicket(): number {
    return Atomics.add(this.#words, HEADER.tickets, 1) + 1;
  }

  #at(index: number, word: number): number {
    return ENTRIES + index * ENTRY.words + word;
  }

  /** Takes a home; undefined when all are taken. */
  take(tenant: Tenant): Home | undefined {
    const words = this.#words;
    for (let index = 0; index < this.homes; index += 1) {
      if (Atomics.compareExchange(words, this.#at(index, ENTRY.owner), FREE, ownerOf(tenant)) !== FREE) continue;
      const generation = Atomics.add(words, this.#at(index, ENTRY.generation), 1);
      return this.#home(index, generation);
    }
    return undefined;
  }

  #home(index: number, generation: number): Home {
    const number = (generation * this.homes + index + 1) >>> 0;
    return { index, number, start: TABLE_OFFSET + TABLE_BYTES + index * HOME_BYTES };
  }

  #homesWith(ticket: number): number[] {
    const owner = ownerOf({ ticket, thread: 0 });
    const indices = Array.from({ length: this.homes }, (_, index) => index);
    return indices.filter((index) => Atomics.load(this.#words, this.#at(index, ENTRY.owner)) === owner);
  }

  /** Says that the thread with this ticket can be seen to end. */
  tie(ticket: number): void {
    for (const index of this.#homesWith(ticket)) Atomics.store(this.#words, this.#at(index, ENTRY.tied), ticket);
  }

  /** Whether it can, or has no home. */
  isTied(ticket: number): boolean {
    return this.#homesWith(ticket).every((index) => Atomics.load(this.#words, this.#at(index, ENTRY.tied)) === ticket);
  }

  /** Says that this tenant ends with the one who has a home. */
  adopt(child: Tenant, parent: Home): void {
    const words = this.#words;
    const owner = Atomics.load(words, this.#at(parent.index, ENTRY.owner));
    if (this.#pairs().some(([one, other]) => one === ownerOf(child) && other === owner)) return;
    for (let at = KIN; at < KIN + KIN_MAX * KIN_WORDS; at += KIN_WORDS) {
      if (Atomics.compareExchange(words, at, FREE, RESERVED) !== FREE) continue;
      Atomics.store(words, at + 1, owner);
      Atomics.store(words, at, ownerOf(child));
      return;
    }
    refuse('ERR_NO_SPACE', `more than ${KIN_MAX} threads that nobody has buried were given this memory`);
  }

  #pairs(): [child: number, parent: number, at: number][] {
    const words = this.#words;
    const places = Array.from({ length: KIN_MAX }, (_, index) => KIN + index * KIN_WORDS);
    return places.map((at) => [Atomics.load(words, at), Atomics.load(words, at + 1), at]);
  }

  /** These tenants and all who end with them, by what entries say. */
  #family(tenants: readonly Tenant[]): Set<number> {
    const found = new Set(tenants.map(ownerOf));
    const pairs = this.#pairs().filter(([child]) => child !== FREE && child !== RESERVED);
    // A set is iterated over what is added meanwhile, too.
    for (const owner of found) for (const [child, parent] of pairs) if (parent === owner) found.add(child);
    return found;
  }

  /** The tickets of these tenants and of all who end with them. */
  ticketsOf(tenants: readonly Tenant[]): number[] {
    return [...this.#family(tenants)].filter((owner) => owner > 0).map((owner) => owner - 1);
  }

  /** The homes of these tenants and of all who end with them. */
  homesOf(tenants: readonly Tenant[]): Home[] {
    const words = this.#words;
    const family = this.#family(tenants);
    const found: Home[] = [];
    for (let index = 0; index < this.homes; index += 1) {
      const owner = Atomics.load(words, this.#at(index, ENTRY.owner));
      if (owner === FREE || !family.has(owner)) continue;
      found.push(this.#home(index, Atomics.load(words, this.#at(index, ENTRY.generation)) - 1));
    }
    return found;
  }

  /** Forgets whose children these tenants and all who end with them were. */
  disown(tenants: readonly Tenant[]): void {
    const family = this.#family(tenants);
    for (const [child, , at] of this.#pairs())
      if (family.has(child)) Atomics.compareExchange(this.#words, at, child, FREE);
  }

  /** Gives back a home in which nobody runs any more. */
  leave({ index }: Home): void {
    Atomics.store(this.#words, this.#at(index, ENTRY.owner), FREE);
  }
}
