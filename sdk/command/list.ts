/**
 * List: `tailrace ls`, the regions of a folder, or the channels of a region.
 */
import { statSync } from 'node:fs';
import { TailraceError } from '../error.ts';
import type { ChannelInfo, ParticipantInfo } from '../stats.ts';
import { age, type Column, type Paper, short, size } from './paper.ts';
import { isFolder, openToLook, pathOf, regionsIn, SHARED_MEMORY } from './places.ts';
import { groupsInWords } from './recordings.ts';

interface RegionRow {
  path: string;
  channels: number | null;
  fileBytes: number;
  limitBytes: number | null;
  live: number | null;
  dead: number | null;
  /** Why it cannot be opened. */
  refusal: string | null;
}

const REGIONS: Column<RegionRow>[] = [
  { title: 'REGION', value: (row) => row.path },
  { title: 'CHANNELS', value: (row) => row.channels },
  { title: 'BYTES', value: (row) => row.fileBytes, text: (row) => size(row.fileBytes) },
  {
    title: 'LIMIT',
    value: (row) => row.limitBytes,
    text: (row) => (row.limitBytes === null ? '-' : size(row.limitBytes)),
  },
  { title: 'LIVE', value: (row) => row.live },
  { title: 'DEAD', value: (row) => row.dead, color: (row) => (row.dead ? 'yellow' : undefined) },
  { title: 'REFUSAL', value: (row) => row.refusal, text: (row) => row.refusal ?? '', color: () => 'red' },
];

/** A channel and who is attached to it. */
interface ChannelRow extends ChannelInfo {
  producers: number;
  consumers: number;
}

const CHANNELS: Column<ChannelRow>[] = [
  { title: 'CHANNEL', value: (row) => row.name },
  { title: 'KIND', value: (row) => (row.isValid ? row.kind : 'invalid') },
  { title: 'CAPACITY', value: (row) => row.capacity },
  { title: 'DEPTH', value: (row) => row.depth },
  { title: 'WRITTEN', value: (row) => row.tail, text: (row) => short(row.tail) },
  { title: 'OLDEST', value: (row) => row.oldestUnreadAgeMs, text: (row) => age(row.oldestUnreadAgeMs) },
  { title: 'PRODUCERS', value: (row) => row.producers },
  { title: 'CONSUMERS', value: (row) => row.consumers },
  { title: 'OPTIONS', value: (row) => row.options.join(',') },
];

/** What there is to know of recorded channels besides. */
const RECORDED: Column<ChannelRow>[] = [
  { title: 'RECORDER', value: (row) => row.recorder?.pid ?? null, text: (row) => recorderText(row) },
  { title: 'BEHIND', value: (row) => row.recorder?.lag ?? null },
  { title: 'ON DISK', value: (row) => row.recorder?.durableSequence ?? null },
  { title: 'GROUPS', value: (row) => groupsInWords(row) || null },
];

function recorderText({ recorder }: ChannelRow): string {
  if (!recorder) return '-';
  return recorder.error === null ? String(recorder.pid ?? 'nobody') : `ERR_${recorder.error}`;
}

function regionRow(path: string): RegionRow {
  const nothing = { channels: null, limitBytes: null, live: null, dead: null };
  const fileBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  try {
    using region = openToLook(path);
    const { channels, limitBytes, participants } = region.stats();
    const live = participants.filter(({ isAlive }) => isAlive).length;
    const dead = participants.length - live;
    return { path, channels: channels.length, fileBytes, limitBytes, live, dead, refusal: null };
  } catch (error) {
    if (!(error instanceof TailraceError)) throw error;
    return { path, ...nothing, fileBytes, refusal: error.code };
  }
}

function channelRows(channels: ChannelInfo[], participants: ParticipantInfo[]): ChannelRow[] {
  return channels.map((channel) => {
    const members = participants.filter((member) => member.isAlive && member.channel === channel.index);
    const producers = members.filter(({ role }) => role === 'producer').length;
    return { ...channel, producers, consumers: members.length - producers };
  });
}

/** Prints what there is. */
export function list(paper: Paper, name: string = SHARED_MEMORY): void {
  if (isFolder(name)) {
    const rows = regionsIn(name).map(regionRow);
    if (rows.length === 0) paper.remark(`There is no region in ${name}.`);
    else paper.table(REGIONS, rows);
    return;
  }
  using region = openToLook(pathOf(name));
  const { channels, participants } = region.stats();
  if (channels.length === 0) paper.remark(`${region.path} has no channel.`);
  else {
    // People see these columns where they say something.
    const isRecorded = !paper.isTerminal || channels.some(({ recorder }) => recorder !== null);
    paper.table(isRecorded ? [...CHANNELS, ...RECORDED] : CHANNELS, channelRows(channels, participants));
  }
}
