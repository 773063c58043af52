/**
 * Handles: the small integers that the classes hold, and what they stand for in this thread.
 */
import { NUMBERS } from '../generated/errors.ts';
import type { Module } from './engine.ts';
import type { Instance } from './instance.ts';
import type { Home, Plan } from './plan.ts';
import { refuse } from './refusal.ts';

/** A region in a shared memory, as this thread has it. */
export interface RegionEntry {
  kind: 'region';
  handle: number;
  module: Module;
  instance: Instance;
  plan: Plan;
  home: Home;
  lockTimeoutMs: number;
  /** Open producers and consumers; the home is given back after the last of them. */
  users: number;
  isClosed: boolean;
}

/** A producer, and where it is in the memory. */
export interface ProducerEntry {
  kind: 'producer';
  handle: number;
  at: number;
  region: RegionEntry;
  instance: Instance;
}

/** A consumer, and where it is in the memory. */
export interface ConsumerEntry {
  kind: 'consumer';
  handle: number;
  at: number;
  region: RegionEntry;
  instance: Instance;
}

/** A book, in a memory of its own. */
export interface BookEntry {
  kind: 'book';
  handle: number;
  at: number;
  instance: Instance;
  /** Where its batches cross, and how much room is there. */
  batch: number;
  batchBytes: number;
}

/** What a handle stands for. */
export type Entry = RegionEntry | ProducerEntry | ConsumerEntry | BookEntry;

const entries = new Map<number, Entry>();
let last: Entry | undefined;
let next = 1;

/** Gives something a handle that was never used before. */
export function insert<E extends Entry>(content: Omit<E, 'handle'>): E {
  const entry = { ...content, handle: next } as E;
  next += 1;
  entries.set(entry.handle, entry);
  return entry;
}

/** What a handle stands for. Throws ERR_CLOSED, or ERR_ARGUMENT for a handle of another kind. */
export function find<K extends Entry['kind']>(kind: K, handle: number): Extract<Entry, { kind: K }> {
  let entry = last;
  if (entry === undefined || entry.handle !== handle) {
    entry = entries.get(handle);
    last = entry;
  }
  if (entry === undefined) return refuse('ERR_CLOSED', `this ${kind} was closed`);
  if (entry.kind !== kind)
    return refuse('ERR_ARGUMENT', `a ${kind} is wanted here, and this handle is a ${entry.kind}`);
  return entry as Extract<Entry, { kind: K }>;
}

/** Whatever a handle stands for. */
export function peek(handle: number): Entry | undefined {
  return entries.get(handle);
}

/** Every open handle; regions after what was opened in them. */
export function handles(): number[] {
  return [...entries.keys()].reverse();
}

/** Forgets a handle. */
export function remove(handle: number): Entry | undefined {
  const entry = entries.get(handle);
  entries.delete(handle);
  last = undefined;
  return entry;
}

/** The code that the classes look at themselves. */
export const TOO_LARGE = NUMBERS.ERR_TOO_LARGE;
