/**
 * Backend: the core in WebAssembly behind the same functions as the native library.
 *
 * Rings, books, frames: the very code of the core, in linear memory. What needs an operating system (files, so regions that
 * processes share, and logs) is ERR_UNSUPPORTED here, with the reason why there is no native library. Nothing in this
 * folder needs Node.
 */
import { LAYOUT_HASH } from '../generated/layout.ts';
import type { Native, SharedRegion } from '../native.ts';
import * as books from './books.ts';
import { wallNs } from './clock.ts';
import * as listeners from './listeners.ts';
import { refuse } from './refusal.ts';
import * as regions from './regions.ts';
import * as rings from './rings.ts';
import * as stats from './stats.ts';
import * as waits from './waits.ts';

export type { Surroundings } from './regions.ts';

/** The functions that need files. */
const NEEDS_FILES = {
  regionCreate: 'a region in a file',
  regionOpen: 'a region in a file',
  regionOpenOrCreate: 'a region in a file',
  regionRemove: 'a region in a file',
  openRecorded: 'a recorded channel',
  record: 'recording a channel',
  recorderStatus: 'recording a channel',
  recorderClose: 'recording a channel',
  logOpen: 'a log',
  logAppend: 'a log',
  logSync: 'a log',
  logSequences: 'a log',
  logTrim: 'a log',
  logClose: 'a log',
  logReader: 'a log',
  logStat: 'a log',
  logVerify: 'a log',
  logRepair: 'a log',
  seek: 'a recorded channel',
  commit: 'a recorded channel',
} as const;

/** The backend of this thread. `why` says why it is not the native library. */
export function wasmBackend(surroundings: regions.Surroundings, why: string): Native {
  regions.settle(surroundings);
  const refused = Object.fromEntries(
    Object.entries(NEEDS_FILES).map(([name, what]) => [
      name,
      () => refuse('ERR_UNSUPPORTED', `${what} needs the native library, and this is the WebAssembly backend (${why})`),
    ]),
  ) as unknown as Pick<Native, keyof typeof NEEDS_FILES>;
  return {
    ...refused,
    attach: (_desk, _fail, come) => {
      waits.onReady((ready) => come(ready, []));
      listeners.onGrown((grown) => come([], grown));
    },
    deskFields: () => [],
    layoutHashOfLibrary: () => LAYOUT_HASH,
    sleepsOnMany: () => true,
    regionMemory: regions.createRegion,
    share: regions.share,
    attachShared: (shared: SharedRegion, lockTimeoutMs) => {
      if (shared.backend === 'wasm') return regions.attach(shared, lockTimeoutMs);
      return refuse('ERR_UNSUPPORTED', 'this region was shared by a thread with the native library; use it here, too');
    },
    adopt: regions.adopt,
    bury: regions.bury,
    ended: async (region, tickets, thread) => regions.bury(region, tickets, thread),
    createChannel: regions.createChannel,
    channels: stats.channels,
    stats: stats.stats,
    unblock: (region, channel, flags) => regions.unblock(region, channel, flags, stats.channelCount(region)),
    listen: listeners.listen,
    openProducer: (region, channel, label) => regions.openProducer(region, channel, label),
    openConsumer: (region, channel, label, _pin, from, flags) =>
      regions.openConsumer(region, channel, label, from, flags),
    checkDurability: () => {
      refuse('ERR_UNSUPPORTED', 'linear memory has no recorders: nothing of it is ever on disk');
    },
    progress: () => [],
    close: (handle) => {
      listeners.forget(handle);
      return regions.close(handle);
    },
    bookCreate: books.bookCreate,
    bookRestore: books.bookRestore,
    bookSnapshot: books.bookSnapshot,
    bookDepth: books.bookDepth,
    bookAccount: books.bookAccount,
    now: wallNs,
    writeStaged: rings.writeStaged,
    write: rings.write,
    writePacked: rings.writePacked,
    lastSequence: rings.lastSequence,
    poll: rings.poll,
    take: rings.take,
    release: rings.release,
    keep: rings.keep,
    depth: rings.depth,
    lost: rings.lost,
    position: rings.position,
    isDurable: () => {
      refuse('ERR_UNSUPPORTED', 'linear memory has no recorders: nothing of it is ever on disk');
    },
    wait: waits.begin,
    cancel: waits.cancel,
    bookApply: books.bookApply,
    bookState: books.bookState,
  };
}
