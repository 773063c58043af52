/**
 * Regions: making them in linear memory, sharing them with other threads, and burying whoever ended there.
 *
 * A worker that is ended in the middle of anything leaves an instance behind: `bury` declares its participants dead, breaks
 * the lock if it had that, and gives its home to the next. That its thread has ended is known to who ended it, and to
 * nobody else.
 */
import type { Memory, Module } from './engine.ts';
import {
  type ConsumerEntry,
  type Entry,
  find,
  handles,
  insert,
  type ProducerEntry,
  type RegionEntry,
  remove,
} from './handles.ts';
import { Instance } from './instance.ts';
import { createMemory, Plan, type Tenant, THREADS_MAX } from './plan.ts';
import { checked, refuse } from './refusal.ts';
import { forget } from './waits.ts';

/** What other threads need; it can be posted to them. */
export interface SharedMemory {
  readonly tailrace: 'memory';
  readonly backend: 'wasm';
  readonly memory: Memory;
  readonly module: Module;
  readonly ticket: number;
}

/** The two modules: regions and frames, and books. */
export type ModuleName = 'rings' | 'books';

/** What the backend has to know of the thread that it runs in. */
export interface Surroundings {
  /** One of the modules, compiled. */
  module(name: ModuleName): Module;
  /** Number of the thread, from 1; 0 where threads have none. */
  thread: number;
  /** Process id, for people. */
  pid: number;
  /** Whether this thread may sleep; a main thread never does. */
  maySleep: boolean;
}

/** How long a thread that may not sleep tries to get the lock. */
const SPIN_MS_MAX = 50;
const ID_BYTES = 16;
const LOCK_BUSY = 2 ** 32;
const UNBLOCKED_BYTES = 16;
const ACTIONS = ['tombstone', 'forced', 'dropped'] as const;

/** The bit of `openConsumer` and those of `unblock` are those of the native library. */
let surroundings: Surroundings;

/** Says what is around. */
export function settle(around: Surroundings): void {
  surroundings = around;
}

/** What is around. */
export function around(): Surroundings {
  return surroundings;
}

function begin(module: Module, memory: Memory, ticket: number, lockTimeoutMs: number, isNew: boolean): number {
  const { thread, pid, maySleep } = surroundings;
  const plan = Plan.of(memory);
  const home = plan.take({ ticket, thread });
  if (home === undefined) {
    return refuse('ERR_NO_SPACE', `all ${plan.homes} threads of this memory are taken; give Region.memory more`);
  }
  try {
    const instance = Instance.inHome(module, memory, home);
    let id = 0;
    if (isNew) {
      id = instance.stage;
      instance.bytes.set(crypto.getRandomValues(new Uint8Array(ID_BYTES)), id);
    }
    const timeoutMs = maySleep ? lockTimeoutMs : Math.min(lockTimeoutMs, SPIN_MS_MAX);
    const { calls } = instance;
    const place = [plan.regionOffset, plan.regionBytes, id, home.number, pid, timeoutMs, maySleep ? 1 : 0] as const;
    checked(calls.region_begin(...place), () => instance.number);
    const content = { kind: 'region', module, instance, plan, home, lockTimeoutMs, users: 0, isClosed: false } as const;
    return insert<RegionEntry>(content).handle;
  } catch (error) {
    plan.leave(home);
    throw error;
  }
}

/** Makes a region in a memory of its own. */
export function createRegion(limitBytes: number, threads: number, lockTimeoutMs: number): number {
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= THREADS_MAX)) {
    refuse('ERR_ARGUMENT', `threads is ${threads}; give a whole number from 1 to ${THREADS_MAX}`);
  }
  const memory = createMemory(limitBytes, threads);
  Plan.create(memory, threads, limitBytes);
  return begin(surroundings.module('rings'), memory, 0, lockTimeoutMs, true);
}

/** What another thread needs to attach. */
export function share(region: number): SharedMemory {
  const { module, instance, plan } = find('region', region);
  const ticket = plan.nextTicket();
  return { tailrace: 'memory', backend: 'wasm', memory: instance.memory, module, ticket };
}

/** Attaches to the region of another thread. */
export function attach(shared: SharedMemory, lockTimeoutMs: number): number {
  return begin(shared.module, shared.memory, shared.ticket, lockTimeoutMs, false);
}

/** The threads that these tickets, or this number, stand for. */
function tenantsOf(tickets: readonly number[], thread: number): Tenant[] {
  const numbered = thread > 0 ? [{ ticket: 0, thread }] : [];
  return [...tickets.map((ticket) => ({ ticket, thread: 0 })), ...numbered];
}

/** Says that a worker which this thread has started, and which has this ticket or this number, ends with this thread. */
export function adopt(region: number, ticket: number, thread: number): void {
  const { plan, home } = find('region', region);
  plan.adopt({ ticket, thread }, home);
}

/** The tickets of all who end with those who have these. */
export function ticketsOf(region: number, tickets: readonly number[]): number[] {
  return find('region', region).plan.ticketsOf(tenantsOf(tickets, 0));
}

/**
 * Declares dead what a thread that has ended left behind, and the workers that it had started; how many participants
 * that were.
 */
export function bury(region: number, tickets: readonly number[], thread: number): number {
  const { instance, plan, home: own } = find('region', region);
  const tenants = tenantsOf(tickets, thread);
  let buried = 0;
  for (const home of plan.homesOf(tenants)) {
    if (home.number === own.number) continue;
    buried += instance.calls.bury(home.number);
    plan.leave(home);
  }
  plan.disown(tenants);
  return buried;
}

/** Why a call of the control plane failed, in words. */
export function busy(region: RegionEntry, what: (pid: number) => string): (value: number) => string {
  return (value) =>
    value < LOCK_BUSY
      ? what(value)
      : `instance ${value - LOCK_BUSY} holds the lock of this memory for ${region.lockTimeoutMs} ms`;
}

/** Adds a channel, or finds it with the same options. */
export function createChannel(handle: number, name: string, flags: number, capacity: number): number {
  const region = find('region', handle);
  const { instance } = region;
  const quoted = JSON.stringify(name);
  const length = instance.putText(name);
  const answer = instance.calls.channel_create(instance.stage, length, flags, capacity);
  return checked(answer, () => instance.number, {
    ERR_ARGUMENT: () =>
      capacity >= 2 && Number.isInteger(Math.log2(capacity))
        ? `channel ${quoted} with flags 0x${flags.toString(16)}: a name has 1 to 63 bytes without control characters, gated is for streams, an exclusive consumer for queues`
        : `capacity is ${capacity}; it must be a power of two, at least 2`,
    ERR_UNSUPPORTED: () => 'recorded and foreign channels need a file, which linear memory is not',
    ERR_EXISTS: () =>
      `channel ${quoted} has another capacity, or other flags, than ${capacity} and 0x${flags.toString(16)}`,
    ERR_NO_SPACE: (room) => `${capacity} slots need ${capacity * 1_088} bytes; this memory has room for ${room}`,
    ERR_BUSY: busy(region, (pid) => `process ${pid} is busy`),
  });
}

/** Repairs now; what was done, as JSON. */
export function unblock(handle: number, channel: string | null, flags: number, count: number): string {
  const region = find('region', handle);
  const { instance } = region;
  const channels =
    channel === null ? Array.from({ length: count }, (_, index) => index) : [findChannel(region, channel)];
  const done = channels.flatMap((index) => {
    const answer = instance.calls.region_unblock(index, flags, instance.stage, instance.stageBytes);
    const touched = checked(answer, () => instance.number, {
      ERR_BUSY: busy(region, (pid) => `process ${pid} is busy`),
    });
    const view = new DataView(instance.memory.buffer, instance.stage, instance.stageBytes);
    const shown = Math.min(touched, Math.floor(instance.stageBytes / UNBLOCKED_BYTES));
    return Array.from({ length: shown }, (_, place) => ({
      channel: view.getUint32(place * UNBLOCKED_BYTES, true),
      action: ACTIONS[view.getUint32(place * UNBLOCKED_BYTES + 4, true)],
      position: Number(view.getBigUint64(place * UNBLOCKED_BYTES + 8, true)),
    }));
  });
  return JSON.stringify(done);
}

function findChannel(region: RegionEntry, name: string): number {
  const { instance } = region;
  const answer = instance.calls.channel_find(instance.stage, instance.putText(name));
  return checked(answer, () => instance.number, {
    ERR_NOT_FOUND: () => `this memory has no channel ${JSON.stringify(name)}`,
    ERR_CORRUPT: () => `channel ${JSON.stringify(name)} cannot be right`,
  });
}

/** Opens a producer. */
export function openProducer(handle: number, channel: string, label: string): number {
  const region = find('region', handle);
  const { instance } = region;
  const index = findChannel(region, channel);
  const at = checked(
    instance.calls.producer_open(index, instance.stage, instance.putText(label)),
    () => instance.number,
    {
      ERR_BUSY: busy(region, (pid) => `process ${pid} is the one producer of channel ${JSON.stringify(channel)}`),
      ERR_NO_SPACE: (count) => `all ${count} participants of this memory are in use`,
    },
  );
  region.users += 1;
  return insert<ProducerEntry>({ kind: 'producer', at, region, instance }).handle;
}

/** Opens a consumer of a queue, or a subscriber of a stream. */
export function openConsumer(handle: number, channel: string, label: string, from: number, flags: number): number {
  const region = find('region', handle);
  const { instance } = region;
  const index = findChannel(region, channel);
  const opened = instance.calls.consumer_open(index, instance.stage, instance.putText(label), from, flags & 1);
  const at = checked(opened, () => instance.number, {
    ERR_ARGUMENT: () => `channel ${JSON.stringify(channel)} is a queue: it has no \`from\` and no gating`,
    ERR_BUSY: busy(region, (pid) => `process ${pid} is the one consumer of channel ${JSON.stringify(channel)}`),
    ERR_NO_SPACE: (count) => `all ${count} participants of this memory are in use`,
  });
  region.users += 1;
  return insert<ConsumerEntry>({ kind: 'consumer', at, region, instance }).handle;
}

function leave(region: RegionEntry): void {
  if (region.isClosed && region.users === 0) region.plan.leave(region.home);
}

/** Closes whatever the handle is; says whether it was open. */
export function close(handle: number): boolean {
  const entry = remove(handle);
  if (entry === undefined) return false;
  forget(handle);
  shut(entry);
  return true;
}

function shut(entry: Entry): void {
  if (entry.kind === 'region') {
    entry.isClosed = true;
    leave(entry);
  } else if (entry.kind !== 'book') {
    const { calls } = entry.instance;
    if (entry.kind === 'producer') calls.producer_close(entry.at);
    else calls.consumer_close(entry.at);
    entry.region.users -= 1;
    leave(entry.region);
  }
}

/** Closes everything: for the end of a thread that can still say so. */
export function closeAll(): void {
  for (const handle of handles()) close(handle);
}
