/**
 * Repair: `tailrace unblock` and `tailrace rm`, what an operator does by hand.
 */
import { TailraceError } from '../error.ts';
import { Region } from '../region.ts';
import type { Unblocked } from '../stats.ts';
import type { Column, Paper } from './paper.ts';
import { openEither, openToLook, pathOf } from './places.ts';

interface UnblockedRow extends Unblocked {
  channelName: string;
}

const DONE: Column<UnblockedRow>[] = [
  { title: 'CHANNEL', value: (row) => row.channelName },
  { title: 'POSITION', value: (row) => row.position },
  { title: 'ACTION', value: (row) => row.action },
];

/** Repairs a region now, and prints each position that it touched. */
export function unblock(paper: Paper, names: string[], options: { force: boolean; drop: boolean }): void {
  const [name, channel] = names;
  using region = openEither(pathOf(name!), false);
  const done = region.unblock({ channel, ...options });
  const channelNames = new Map(region.channels().map(({ index, name }) => [index, name]));
  const rows = done.map((row) => ({ ...row, channelName: channelNames.get(row.channel) ?? String(row.channel) }));
  if (rows.length === 0) paper.remark('There was nothing to repair.');
  else paper.table(DONE, rows);
}

/** Removes regions, unless somebody has them open. */
export function remove(paper: Paper, names: string[], isForced: boolean): void {
  for (const path of names.map(pathOf)) {
    if (!isForced) refuseInUse(path);
    Region.remove(path);
    if (paper.isJson) paper.json({ removed: path });
    else paper.line(paper.isTerminal ? `removed ${path}` : path);
  }
}

function refuseInUse(path: string): void {
  let pids: number[];
  try {
    using region = openToLook(path);
    pids = region.stats().participants.flatMap(({ isAlive, pid }) => (isAlive ? [pid] : []));
  } catch {
    // What cannot be looked at can still be removed, or `remove` knows why not.
    return;
  }
  if (pids.length === 0) return;
  const processes = [...new Set(pids)].join(', ');
  const message = `${path} is open in process ${processes}; --force removes it all the same, and they get ERR_GONE`;
  throw new TailraceError('ERR_BUSY', message);
}
