/**
 * Books: each in a memory of its own, so that all of it is given back when the book is closed.
 */
import { ANSWER, AT, HANDLE, NUMBER, numbers, words } from '../desk.ts';
import { MESSAGES } from '../generated/messages.ts';
import type { BookConfig } from '../native.ts';
import { type BookEntry, find, insert } from './handles.ts';
import { Instance } from './instance.ts';
import { checked, refuse } from './refusal.ts';
import { around } from './regions.ts';

const CONFIG_BYTES = 48;
const KEY_BYTES = 16;
const BATCH_BYTES_MIN = 64 * 1024;
const COMMANDS = ['NewOrder', 'CancelOrder', 'Replace', 'MassCancel', 'SetState', 'SetLimits', 'SetKilled'] as const;
const COMMAND_BYTES = MESSAGES.StampedCommand.size;
const EVENT_BYTES = MESSAGES.Event.size;
const LEVEL_BYTES = MESSAGES.DepthLevel.size;

/** Memory of the module, for as long as `use` runs. */
function borrowed<T>(instance: Instance, bytes: number, use: (at: number) => T): T {
  const at = instance.calls.allocate(bytes);
  if (at === 0) refuse('ERR_NO_SPACE', `the book's memory has no room for ${bytes} bytes more`);
  try {
    return use(at >>> 0);
  } finally {
    instance.calls.release(at, bytes);
  }
}

/** The memory in which batches of a book cross; it grows with them. */
function kept(book: BookEntry, bytes: number): number {
  if (book.batchBytes < bytes) {
    const { calls } = book.instance;
    if (book.batchBytes > 0) calls.release(book.batch, book.batchBytes);
    book.batchBytes = 2 ** Math.ceil(Math.log2(Math.max(bytes, BATCH_BYTES_MIN)));
    book.batch = calls.allocate(book.batchBytes) >>> 0;
    if (book.batch === 0) {
      book.batchBytes = 0;
      refuse('ERR_NO_SPACE', `the book's memory has no room for ${bytes} bytes more`);
    }
  }
  return book.batch;
}

function open(config: BookConfig, key: Uint8Array, snapshot: Uint8Array | undefined): number {
  if (key.length !== 0 && key.length !== KEY_BYTES) refuse('ERR_ARGUMENT', `the key has ${key.length} bytes; give 16`);
  const instance = Instance.alone(around().module('books'));
  const { slotCount, accountCount, bandTicks, openOrdersMax, quantityMax, collarTicks } = config;
  const at = borrowed(instance, CONFIG_BYTES + (snapshot?.length ?? 0), (place) => {
    const view = new DataView(instance.memory.buffer, place, CONFIG_BYTES);
    view.setBigUint64(0, quantityMax, true);
    view.setBigUint64(8, collarTicks, true);
    instance.bytes.set(key.length > 0 ? key : crypto.getRandomValues(new Uint8Array(KEY_BYTES)), place + 16);
    for (const [index, value] of [slotCount, accountCount, bandTicks, openOrdersMax].entries()) {
      view.setUint32(32 + index * 4, value, true);
    }
    if (snapshot !== undefined) instance.bytes.set(snapshot, place + CONFIG_BYTES);
    const from = snapshot === undefined ? 0 : place + CONFIG_BYTES;
    return checked(instance.calls.book_open(place, from, snapshot?.length ?? 0), () => instance.number, {
      ERR_ARGUMENT: () =>
        `a book cannot have slot_count ${slotCount}, account_count ${accountCount}, band_ticks ${bandTicks} and quantity_max ` +
        `${quantityMax}: slots and accounts are 1 to 2^28, band_ticks a power of two from 64 to 262,144, quantity_max at most ` +
        '2^63 / slot_count',
      ERR_NO_SPACE: () => 'the snapshot needs more slots or accounts, or fewer slots for its quantity_max',
      ERR_CORRUPT: () => 'these bytes are not a whole snapshot of a book',
    });
  });
  return insert<BookEntry>({ kind: 'book', at, instance, batch: 0, batchBytes: 0 }).handle;
}

/** Makes a book. */
export function bookCreate(config: BookConfig, key: Uint8Array): number {
  return open(config, key, undefined);
}

/** Makes a book from a snapshot. */
export function bookRestore(config: BookConfig, key: Uint8Array, snapshot: Uint8Array): number {
  return open(config, key, snapshot);
}

/** The whole state in bytes. */
export function bookSnapshot(handle: number): Uint8Array {
  const { instance, at } = find('book', handle);
  instance.calls.book_snapshot_bytes(at);
  const bytes = instance.count;
  return borrowed(instance, bytes, (into) => {
    const written = checked(instance.calls.book_snapshot(at, into, bytes), () => instance.number, {
      ERR_BUSY: () => 'events of a command wait for room; apply goes on with it',
    });
    return instance.bytes.slice(into, into + written);
  });
}

/** The prices of a side, best first. */
export function bookDepth(handle: number, side: number, limit: number): Uint8Array {
  const { instance, at } = find('book', handle);
  const summary = new DataView(new ArrayBuffer(MESSAGES.BookSummary.size));
  fillState(handle, new Uint8Array(summary.buffer));
  const most = Math.min(limit, summary.getUint32(MESSAGES.BookSummary.fields.orderCount.offset, true));
  return borrowed(instance, most * LEVEL_BYTES, (into) => {
    const answer = instance.calls.book_depth(at, side, into, most * LEVEL_BYTES);
    const count = checked(answer, () => side, { ERR_ARGUMENT: () => `side is ${side}: 1 is for bids, 2 for asks` });
    return instance.bytes.slice(into, into + count * LEVEL_BYTES);
  });
}

/** What the book knows of an account. */
export function bookAccount(handle: number, account: number): Uint8Array {
  const { instance, at } = find('book', handle);
  const bytes = MESSAGES.AccountRecord.size;
  return borrowed(instance, bytes, (into) => {
    checked(instance.calls.book_account(at, account, into, bytes), () => account, {
      ERR_ARGUMENT: () => `the book has no account ${account}`,
    });
    return instance.bytes.slice(into, into + bytes);
  });
}

/** Applies commands, and writes events from the byte on that the desk says. */
export function bookApply(commands: Uint8Array, events: Uint8Array): void {
  const book = find('book', numbers[HANDLE]!);
  const { instance, at } = book;
  const start = words[AT]!;
  const room = Math.floor((events.length - start) / EVENT_BYTES) * EVENT_BYTES;
  if (!(room >= 0)) refuse('ERR_ARGUMENT', 'the events would begin after the end of the buffer');
  const place = kept(book, commands.length + room);
  instance.bytes.set(commands, place);
  const into = place + commands.length;
  const answer = instance.calls.book_apply(at, place, commands.length, into, room);
  const produced = checked(answer, () => instance.number, { ERR_ARGUMENT: (index) => unreadable(commands, index) });
  events.set(instance.bytes.subarray(into, into + produced * EVENT_BYTES), start);
  numbers[NUMBER] = instance.number;
  words[ANSWER] = produced;
}

function unreadable(commands: Uint8Array, index: number): string {
  const rest = commands.length % COMMAND_BYTES;
  if (rest !== 0) return `commands have ${COMMAND_BYTES} bytes each; ${rest} bytes are left over`;
  const type = commands[index * COMMAND_BYTES + MESSAGES.StampedCommand.fields.message.offset];
  const known = COMMANDS.map((name) => MESSAGES[name]).find((message) => message.type === type);
  const what = known
    ? `is of type ${type}, and what follows its ${known.size} bytes is not zero`
    : `is of type ${type}, which is no command`;
  return `command ${index} of the batch ${what}; nothing of the batch was applied`;
}

function fillState(handle: number, summary: Uint8Array): void {
  const { instance, at } = find('book', handle);
  borrowed(instance, summary.length, (into) => {
    checked(instance.calls.book_state(at, into, summary.length), () => instance.number);
    summary.set(instance.bytes.subarray(into, into + summary.length));
  });
}

/** Fills an array with the state. */
export function bookState(summary: Uint8Array): void {
  fillState(numbers[HANDLE]!, summary);
}
