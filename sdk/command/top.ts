/**
 * Top: `tailrace top`, what goes through a region's channels, and who is behind.
 *
 * Rates are differences between two looks. The line to look for is OLDEST CLAIMED: a position that somebody claimed and
 * has not published, which everybody behind it waits for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChannelInfo, GroupInfo, ParticipantInfo, RecorderInfo, RegionStats } from '../stats.ts';
import { age, type Column, type Paper, printable, short, size } from './paper.ts';
import { openToLook, pathOf } from './places.ts';

/** How often it looks. */
export interface TopOptions {
  /** Seconds between two looks. */
  interval: number;
  /** How many tables it prints. */
  count: number;
}

interface ChannelRow extends ChannelInfo {
  /** Messages a second. */
  rate: number;
}

interface ParticipantRow extends ParticipantInfo {
  channelName: string;
  rate: number;
}

interface RecorderRow extends RecorderInfo {
  channelName: string;
  rate: number;
  /** Newest log sequence in the file; null before the first recorder. */
  recordedSequence: number | null;
}

interface GroupRow extends GroupInfo {
  channelName: string;
}

const RUNTIMES = ['-', 'rust', 'python', 'node', 'c', 'wasm'];

const CHANNELS: Column<ChannelRow>[] = [
  { title: 'CHANNEL', value: (row) => row.name },
  { title: 'KIND', value: (row) => row.kind },
  { title: 'RATE/S', value: (row) => row.rate, text: (row) => short(row.rate) },
  { title: 'DEPTH', value: (row) => row.depth },
  { title: 'CAPACITY', value: (row) => row.capacity },
  { title: 'OLDEST UNREAD', value: (row) => row.oldestUnreadAgeMs, text: (row) => age(row.oldestUnreadAgeMs) },
  {
    title: 'OLDEST CLAIMED',
    value: (row) => row.oldestClaimed?.ageMs ?? null,
    text: (row) => (row.oldestClaimed ? age(row.oldestClaimed.ageMs) : ''),
    color: () => 'red',
  },
  {
    title: 'OWNER',
    value: (row) => row.oldestClaimed?.ownerPid ?? null,
    text: (row) => (row.oldestClaimed ? String(row.oldestClaimed.ownerPid ?? 'unknown') : ''),
    color: () => 'red',
  },
  { title: 'FULL', value: (row) => row.counters.full, text: (row) => short(row.counters.full) },
  { title: 'LOST', value: (row) => row.counters.lost, text: (row) => short(row.counters.lost) },
  { title: 'ABANDONED', value: (row) => row.counters.abandoned, text: (row) => short(row.counters.abandoned) },
  { title: 'REDELIVERED', value: (row) => row.counters.redelivered, text: (row) => short(row.counters.redelivered) },
];

const PARTICIPANTS: Column<ParticipantRow>[] = [
  { title: 'PID', value: (row) => row.pid },
  { title: 'LABEL', value: (row) => row.label },
  { title: 'ROLE', value: (row) => row.role },
  { title: 'CHANNEL', value: (row) => row.channelName },
  {
    title: 'RUNTIME',
    value: (row) => RUNTIMES[row.runtime] ?? row.runtime,
    text: (row) => RUNTIMES[row.runtime] ?? '?',
  },
  { title: 'RATE/S', value: (row) => row.rate, text: (row) => short(row.rate) },
  { title: 'LAG', value: (row) => row.lag },
  { title: 'WAITS', value: (row) => row.waits, text: (row) => short(row.waits) },
  { title: 'IDLE', value: (row) => row.idleMs, text: (row) => age(row.idleMs) },
  {
    title: 'STATE',
    value: (row) => (row.isAlive ? row.state : 'dead'),
    color: (row) => (row.isAlive ? undefined : 'yellow'),
  },
];

const RECORDERS: Column<RecorderRow>[] = [
  { title: 'RECORDED', value: (row) => row.channelName },
  {
    title: 'BY',
    value: (row) => row.pid,
    text: (row) => String(row.pid ?? 'nobody'),
    color: (row) => (row.pid === null ? 'red' : undefined),
  },
  { title: 'RATE/S', value: (row) => row.rate, text: (row) => short(row.rate) },
  { title: 'LAG', value: (row) => row.lag },
  { title: 'NEWEST', value: (row) => row.recordedSequence },
  { title: 'ON DISK', value: (row) => row.durableSequence },
  {
    title: 'STATE',
    value: (row) => (row.error === null ? 'ok' : `ERR_${row.error}`),
    color: (row) => (row.error === null ? undefined : 'red'),
  },
];

const GROUPS: Column<GroupRow>[] = [
  { title: 'GROUP OF', value: (row) => row.channelName },
  { title: 'GROUP', value: (row) => row.name },
  { title: 'MEMBERS', value: (row) => row.members, color: (row) => (row.members === 0 ? 'yellow' : undefined) },
  { title: 'NEXT', value: (row) => row.next },
  { title: 'COMMITTED', value: (row) => row.committed },
  { title: 'LAG', value: (row) => row.lag },
  { title: 'TAKEN OVER', value: (row) => row.takeovers },
];

/** Growth for each second; never below zero, for an index may be used again. */
function rate(now: number, before: number | undefined, seconds: number): number {
  return before === undefined ? 0 : Math.max(0, Math.round((now - before) / seconds));
}

function channelRows(now: RegionStats, before: RegionStats, seconds: number): ChannelRow[] {
  const tails = new Map(before.channels.map(({ index, tail }) => [index, tail]));
  return now.channels.map((channel) => ({ ...channel, rate: rate(channel.tail, tails.get(channel.index), seconds) }));
}

function participantRows(now: RegionStats, before: RegionStats, seconds: number): ParticipantRow[] {
  const names = new Map(now.channels.map(({ index, name }) => [index, name]));
  const key = (member: ParticipantInfo) => `${member.index} ${member.generation}`;
  const messages = new Map(before.participants.map((member) => [key(member), member.messages]));
  return now.participants.map((member) => ({
    ...member,
    channelName: names.get(member.channel) ?? String(member.channel),
    rate: rate(member.messages, messages.get(key(member)), seconds),
  }));
}

function recorderRows(now: RegionStats, before: RegionStats, seconds: number): RecorderRow[] {
  const positions = new Map(before.channels.map(({ index, recorder }) => [index, recorder?.recordedPosition]));
  return now.channels.flatMap(({ index, name, recorder }) => {
    if (!recorder) return [];
    const { base, recordedPosition } = recorder;
    const recordedSequence = base === null ? null : base + recordedPosition - 1;
    const speed = rate(recordedPosition, positions.get(index), seconds);
    return [{ ...recorder, channelName: name, rate: speed, recordedSequence }];
  });
}

function groupRows({ channels }: RegionStats): GroupRow[] {
  return channels.flatMap(({ name, groups }) => groups.map((group) => ({ ...group, channelName: name })));
}

function print(paper: Paper, now: RegionStats, before: RegionStats, seconds: number): void {
  if (paper.isTerminal) {
    const clock = new Date().toTimeString().slice(0, 8);
    paper.line(
      '\u001B[H\u001B[2J'.concat(paper.paint(printable(now.path), 'bold'), `  ${size(now.fileBytes)}  ${clock}`),
    );
    if (now.lockHolder !== null) paper.line(`the region lock is held by process ${now.lockHolder}`);
    paper.line();
  }
  paper.table(CHANNELS, channelRows(now, before, seconds), 'channel');
  paper.further(RECORDERS, recorderRows(now, before, seconds), 'recorder');
  paper.further(GROUPS, groupRows(now), 'group');
  paper.remark('');
  paper.table(PARTICIPANTS, participantRows(now, before, seconds), 'participant');
}

/** Prints tables until it was told to end, or has printed as many as were asked for. */
export async function top(paper: Paper, name: string, options: TopOptions): Promise<void> {
  using region = openToLook(pathOf(name));
  let before = region.stats();
  let looked = performance.now();
  for (let printed = 0; printed < options.count; printed += 1) {
    await sleep(options.interval * 1_000);
    const seconds = (performance.now() - looked) / 1_000;
    const now = region.stats();
    print(paper, now, before, seconds);
    before = now;
    looked = performance.now();
  }
}
