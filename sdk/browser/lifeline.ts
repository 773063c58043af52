/**
 * Lifeline: how a page knows that a worker of it, or another page, has really ended.
 *
 * `terminate()` returns while the worker runs on: Chromium lets a busy one go on for tens of milliseconds, and 2 s at most.
 * Whoever were declared dead in that time would go on writing. So each thread that attaches holds a Web Lock, which its
 * browser takes away after the last of its code has run, whatever ended it; who gets the lock then has the proof. That a
 * thread holds it stands in the memory's table: a thread that was ended before it did is given more time than any browser
 * takes.
 */
import { RegionHeader } from '../generated/layout.ts';
import type { Memory } from '../wasm/engine.ts';
import { Plan } from '../wasm/plan.ts';

/** Longer than a browser lets a worker run on. */
const GRACE_MS = 5_000;

interface Locks {
  request(name: string, hold: () => Promise<void> | void): Promise<unknown>;
}

const { locks } = (globalThis as unknown as { navigator: { locks: Locks } }).navigator;

/** One name for each handle by which a memory was ever shared. */
function nameOf(memory: Memory, ticket: number): string {
  const at = Plan.of(memory).regionOffset + RegionHeader.region_id.offset;
  const id = new Uint8Array(memory.buffer).slice(at, at + RegionHeader.region_id.size);
  return `tailrace ${Array.from(id, (byte) => byte.toString(16).padStart(2, '0')).join('')} ${ticket}`;
}

/** Holds this thread's lifeline until it ends. */
export function hold(memory: Memory, ticket: number): void {
  const held = () => {
    Plan.of(memory).tie(ticket);
    return new Promise<void>(() => {});
  };
  locks.request(nameOf(memory, ticket), held).catch(() => {});
}

/** Waits until the thread has ended that had this ticket. */
export async function untilEnded(memory: Memory, ticket: number): Promise<void> {
  await locks.request(nameOf(memory, ticket), () => {});
  if (!Plan.of(memory).isTied(ticket)) await new Promise((resolve) => setTimeout(resolve, GRACE_MS));
}
