/**
 * Record: `tailrace record`, a recorder that lives as long as this command.
 *
 * Writers of the channel wait for it, so it outlives what it can: a full disk, and whoever reads what it prints.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TailraceError } from '../error.ts';
import { Log } from '../log.ts';
import type { Recorder, RecorderStatus, RecordOptions } from '../recorder.ts';
import type { Region } from '../region.ts';
import { untilAsked } from './ending.ts';
import { metered, type OnProgress } from './meter.ts';
import { type Column, type Paper, printable, short, size } from './paper.ts';
import { openEither, pathOf } from './places.ts';

const LOOK_MS = 1_000;

/** One look at the recorder. */
interface Row {
  channel: string;
  /** Records a second. */
  rate: number;
  /** Payload bytes a second. */
  byteRate: number;
  /** Messages written and not recorded. */
  lag: number;
  recordedSequence: bigint;
  durableSequence: bigint;
  state: RecorderStatus['state'] | 'closed';
}

const ROWS: Column<Row>[] = [
  { title: 'CHANNEL', value: (row) => row.channel },
  { title: 'RATE/S', value: (row) => row.rate },
  { title: 'BYTES/S', value: (row) => row.byteRate },
  { title: 'LAG', value: (row) => row.lag },
  { title: 'RECORDED', value: (row) => row.recordedSequence },
  { title: 'ON DISK', value: (row) => row.durableSequence },
  { title: 'STATE', value: (row) => row.state },
];

function print(paper: Paper, row: Row): void {
  if (!paper.isTerminal) {
    paper.table(ROWS, [row]);
    return;
  }
  const rates = `${short(row.rate)} records/s  ${size(row.byteRate)}/s`;
  const isFull = row.state === 'ERR_DISK_FULL';
  const state = isFull ? 'ERR_DISK_FULL: free some space, and it goes on by itself' : row.state;
  const text = `${rates}  lag ${row.lag}  recorded ${row.recordedSequence}  on disk ${row.durableSequence}  ${state}`;
  paper.live(printable(text), row.state === 'ok' || row.state === 'closed' ? undefined : 'red');
}

/** Recovers a log that a crash left, and shows how far that has come: the recorder then finds little to do. */
async function recover(path: string): Promise<void> {
  if (!process.stderr.isTTY) return;
  try {
    const open = (onProgress: OnProgress) => Log.open(path, { create: false, spares: 0, onProgress });
    const log = await metered(`opening ${printable(path)}`, open);
    await log.close();
  } catch (error) {
    // The recorder meets the same, if it still matters, and says it better.
    if (!(error instanceof TailraceError)) throw error;
  }
}

/** How the log was left. */
async function closed(region: Region, channel: string, path: string): Promise<Row> {
  const { lastSequence, durableSequence } = await Log.stat(path);
  const lag = region.channels().find(({ name }) => name === channel)?.recorder?.lag ?? 0;
  return { channel, rate: 0, byteRate: 0, lag, recordedSequence: lastSequence, durableSequence, state: 'closed' };
}

/** Ends a recorder; what stopped it is said in full. */
async function close(recorder: Recorder): Promise<void> {
  try {
    await recorder.close();
  } catch (error) {
    if (!(error instanceof TailraceError && error.code === 'ERR_IO')) throw error;
    const { channel, log } = recorder;
    const message =
      `the disk failed while "${channel}" was recorded in ${log}: ${error.message}. Nobody knows whether the newest ` +
      'records are on disk; none of them was acknowledged. Look at the disk (dmesg), then record again: that reads the ' +
      'log, and goes on where it ends';
    throw new TailraceError('ERR_IO', message, { cause: error });
  }
}

/** Records a channel until this process is asked to end, or cannot go on. */
export async function record(paper: Paper, names: string[], options: RecordOptions): Promise<void> {
  const [name, channel] = names as [string, string];
  const signal = untilAsked();
  using region = openEither(pathOf(name), false);
  await recover(options.log);
  const recorder = region.record(channel, options);
  paper.outlivesReader = true;
  paper.remark(`recording "${printable(channel)}" of ${printable(region.path)} in ${printable(options.log)}`, 'bold');
  let before = recorder.status;
  let looked = performance.now();
  for (let status = before; ; status = recorder.status) {
    const seconds = (performance.now() - looked) / 1_000;
    const growth = (now: number, then: number) => Math.round((now - then) / Math.max(seconds, 0.001));
    const rate = growth(status.records, before.records);
    const { lag, recordedSequence, durableSequence, state } = status;
    const byteRate = growth(status.bytes, before.bytes);
    print(paper, { channel, rate, byteRate, lag, recordedSequence, durableSequence, state });
    if (signal.aborted || (state !== 'ok' && state !== 'ERR_DISK_FULL')) break;
    before = status;
    looked = performance.now();
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
  }
  paper.remark('');
  await close(recorder);
  print(paper, await closed(region, channel, options.log));
  paper.remark('');
}
