/**
 * Recordings: the checks of recorded channels and of their logs.
 */
import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { TailraceError } from '../error.ts';
import { Log, type LogStat } from '../log.ts';
import type { ChannelInfo, RecorderInfo, RegionStats } from '../stats.ts';
import { type Finding, ok } from './checks.ts';
import { size } from './paper.ts';

const ROOMY_BYTES = 256 * 1024 * 1024;

/** A channel that has a recorder, or should. */
interface Recording {
  id: string;
  path: string;
  channel: ChannelInfo;
  recorder: RecorderInfo;
}

/** Where the log of a channel is, as its last recorder has said. */
export function logOf(path: string, channel: ChannelInfo): string | undefined {
  if (!channel.recorder) return undefined;
  try {
    return readlinkSync(`${path}.${channel.index}.log`);
  } catch {
    return undefined;
  }
}

/** How groups are, in words. */
export function groupsInWords({ groups }: ChannelInfo): string {
  return groups.map(({ name, lag }) => `${name}:${lag ?? '-'}`).join(',');
}

function stopped({ id, path, channel, recorder }: Recording): Finding {
  const { lag, pid, error } = recorder;
  const why = `writers stop when ${channel.capacity} messages wait, and nobody is told that theirs is on disk`;
  if (error === 'DISK_FULL') {
    const advice = 'free some space, or record with --retention-bytes; it goes on within a second';
    return { id, verdict: 'fail', seen: `the disk is full; ${lag} messages wait to be recorded`, why, advice };
  }
  if (error !== null) {
    const seen = `recording has stopped with ERR_${error}; ${lag} messages wait to be recorded`;
    const end = pid === null ? '' : `end process ${pid}, `;
    const advice = `look at the disk (dmesg), ${end}then record again: ${again(path, channel)}`;
    return { id, verdict: 'fail', seen, why, advice };
  }
  const who = recorder.participant === null ? 'nobody records it' : 'its recorder has died';
  const seen = `${who}; ${lag} messages wait to be recorded`;
  return { id, verdict: lag >= channel.capacity ? 'fail' : 'warn', seen, why, advice: again(path, channel) };
}

function again(path: string, channel: ChannelInfo): string {
  return `tailrace record ${path} ${channel.name} --dir ${logOf(path, channel) ?? 'DIR'}`;
}

function recording(recording: Recording): Finding {
  const { id, channel, recorder } = recording;
  if (recorder.error !== null || recorder.pid === null) return stopped(recording);
  const groups = channel.groups.length > 0 ? `; groups behind: ${groupsInWords(channel)}` : '';
  const seen = `process ${recorder.pid}, ${recorder.lag} behind, on disk up to ${recorder.durableSequence}${groups}`;
  if (recorder.lag * 2 <= channel.capacity) return ok(id, seen);
  const why = `writers stop when ${channel.capacity} messages wait`;
  const advice = `look whether process ${recorder.pid} runs and how busy its disk is, or give the channel more capacity`;
  return { id, verdict: 'warn', seen, why, advice };
}

function judge(id: string, stat: LogStat, { channel, recorder }: Recording): Finding {
  const writer = stat.isWriterAlive ? 'its writer lives' : 'it has no writer';
  const seen = `sequences ${stat.firstSequence} to ${stat.lastSequence}, ${writer}, ${size(stat.freeBytes)} free`;
  if (recorder.logId !== stat.id) {
    const why = 'consumers of the channel that want what the ring no longer holds get ERR_FOREIGN';
    const advice = `find the log ${recorder.logId} and record with it again, or begin anew with --rebase`;
    return { id, verdict: 'fail', seen: `it is not the log of "${channel.name}"; ${seen}`, why, advice };
  }
  if (stat.freeBytes < Math.max(ROOMY_BYTES, 2 * (stat.segments.at(-1)?.bytes ?? 0))) {
    const why = 'when the disk is full, recording stops, and then the writers of the channel';
    return { id, verdict: 'warn', seen, why, advice: 'free some space, or record with --retention-bytes' };
  }
  return ok(id, seen);
}

async function log(path: string, recording: Recording): Promise<Finding> {
  const id = `log ${path}`;
  try {
    return judge(id, await Log.stat(path), recording);
  } catch (error) {
    if (!(error instanceof TailraceError)) throw error;
    const verdict = error.code === 'ERR_PERMISSION' ? 'warn' : 'fail';
    const why = `it is the log of "${recording.channel.name}", and cannot be read`;
    const advice = error.code === 'ERR_CORRUPT' ? `tailrace log repair ${path}` : 'see the message';
    return { id, verdict, seen: error.message, why, advice };
  }
}

/** Every check of a region's recorded channels. */
export async function recordingChecks(path: string, stats: RegionStats): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const channel of stats.channels) {
    const { recorder } = channel;
    if (!recorder) continue;
    const seen = { id: `recorder ${basename(path)} ${channel.name}`, path, channel, recorder };
    findings.push(recording(seen));
    const place = logOf(path, channel);
    if (place !== undefined && recorder.base !== null) findings.push(await log(place, seen));
  }
  return findings;
}
