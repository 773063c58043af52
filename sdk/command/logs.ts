/**
 * Logs: `tailrace log stat`, `verify` and `repair`, what an operator asks of a log.
 */
import { TailraceError } from '../error.ts';
import { ADVICE } from '../generated/errors.ts';
import { Log, type LogStat, type Repaired, type Verified } from '../log.ts';
import { metered } from './meter.ts';
import { age, type Column, type Paper, printable, size } from './paper.ts';

/** A log as one line. */
interface LogRow extends Omit<LogStat, 'segments' | 'cursors'> {
  path: string;
  segments: number;
}

type SegmentRow = LogStat['segments'][number];

interface GroupRow {
  name: string;
  /** Lowest sequence that is not finished. */
  sequence: bigint;
  updatedMs: number;
  /** Records from there to the end. */
  lag: bigint;
}

interface VerifiedRow extends Verified {
  path: string;
}

interface RepairedRow extends Omit<Repaired, 'lost' | 'aside'> {
  path: string;
}

/** What stands before the rows of each kind. */
const LOG = 'log';

const ago = (ms: number) => `${age(Math.max(0, Date.now() - ms))} ago`;

const LOGS: Column<LogRow>[] = [
  { title: 'LOG', value: (row) => row.path },
  { title: 'ID', value: (row) => row.id },
  { title: 'OLDEST', value: (row) => row.firstSequence },
  { title: 'NEWEST', value: (row) => row.lastSequence },
  { title: 'ON DISK', value: (row) => row.durableSequence },
  { title: 'SEGMENTS', value: (row) => row.segments },
  { title: 'BYTES', value: (row) => row.bytes, text: (row) => size(row.bytes) },
  { title: 'WRITER', value: (row) => row.isWriterAlive, text: (row) => (row.isWriterAlive ? 'alive' : 'none') },
  { title: 'STATE', value: (row) => row.state, color: (row) => (row.state === 'ok' ? undefined : 'red') },
  { title: 'FREE', value: (row) => row.freeBytes, text: (row) => size(row.freeBytes) },
];

const SEGMENTS: Column<SegmentRow>[] = [
  { title: 'SEGMENT', value: (row) => row.name },
  { title: 'FIRST', value: (row) => row.firstSequence },
  { title: 'BYTES', value: (row) => row.bytes, text: (row) => size(row.bytes) },
  { title: 'BEGUN', value: (row) => Math.round(row.createdMs), text: (row) => ago(row.createdMs) },
  { title: 'WRITTEN', value: (row) => Math.round(row.modifiedMs), text: (row) => ago(row.modifiedMs) },
];

const GROUPS: Column<GroupRow>[] = [
  { title: 'GROUP', value: (row) => row.name },
  { title: 'NEXT', value: (row) => row.sequence },
  { title: 'STORED', value: (row) => Math.round(row.updatedMs), text: (row) => ago(row.updatedMs) },
  { title: 'LAG', value: (row) => row.lag },
];

const VERIFIED: Column<VerifiedRow>[] = [
  { title: 'LOG', value: (row) => row.path },
  { title: 'SEGMENTS', value: (row) => row.segments },
  { title: 'RECORDS', value: (row) => row.records },
  { title: 'BATCHES', value: (row) => row.batches },
  { title: 'BYTES', value: (row) => row.bytes, text: (row) => size(row.bytes) },
  { title: 'OLDEST', value: (row) => row.firstSequence },
  { title: 'NEWEST', value: (row) => row.lastSequence },
  { title: 'TORN', value: (row) => row.tornBytes, text: (row) => size(row.tornBytes) },
];

const REPAIRED: Column<RepairedRow>[] = [
  { title: 'LOG', value: (row) => row.path },
  { title: 'LOST RECORDS', value: (row) => row.lostRecords, color: (row) => (row.lostRecords ? 'red' : undefined) },
  { title: 'SEGMENTS BUILT', value: (row) => row.segments },
  { title: 'POSITIONS ASIDE', value: (row) => row.isCursorsAside },
  { title: 'NEWEST', value: (row) => row.lastSequence },
];

const LOST: Column<{ first: bigint; last: bigint }>[] = [
  { title: 'LOST FROM', value: (row) => row.first },
  { title: 'TO', value: (row) => row.last },
];

const ASIDE: Column<{ file: string }>[] = [{ title: 'KEPT ASIDE', value: (row) => row.file }];

/** Prints what a log holds. */
export async function stat(paper: Paper, path: string): Promise<void> {
  const { segments, cursors, ...rest } = await Log.stat(path);
  const lag = (sequence: bigint) => (rest.lastSequence < sequence ? 0n : rest.lastSequence + 1n - sequence);
  const groups = cursors.map((group) => ({ ...group, lag: lag(group.sequence) }));
  paper.table(LOGS, [{ path, ...rest, segments: segments.length }], LOG);
  paper.further(SEGMENTS, segments, 'segment');
  paper.further(GROUPS, groups, 'group');
}

/** Reads and checks all of a log. */
export async function verify(paper: Paper, path: string): Promise<void> {
  const check = metered(`verifying ${printable(path)}`, (onProgress) => Log.verify(path, { onProgress }));
  const verified = await advised(check, `tailrace log repair ${path}`);
  paper.table(VERIFIED, [{ path, ...verified }]);
}

/** A message without the advice for everybody, where there is a better one. */
function bare({ code, message }: TailraceError): string {
  return message.replace(`; ${ADVICE[code]}`, '');
}

/** The same, with what to do about damage. */
async function advised<Result>(work: Promise<Result>, command: string): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof TailraceError && error.code === 'ERR_CORRUPT')) throw error;
    throw new TailraceError('ERR_CORRUPT', `${bare(error)}; ${command} says what can be done`, { cause: error });
  }
}

/** The first damage of a log, of its records or of the positions of its groups. */
async function damageOf(path: string): Promise<TailraceError | undefined> {
  try {
    await metered(`verifying ${printable(path)}`, (onProgress) => Log.verify(path, { onProgress }));
    await Log.stat(path);
    return undefined;
  } catch (error) {
    if (error instanceof TailraceError && error.code === 'ERR_CORRUPT') return error;
    throw error;
  }
}

/** What repairing would do. */
function plan(damage: TailraceError, path: string): TailraceError {
  const message =
    `${bare(damage)}; repairing builds the damaged segments anew, with nothing in the place of each record that ` +
    'cannot be read, and keeps the old files beside them (….broken): those records are lost to readers, and groups ' +
    `whose positions are damaged begin anew. Copy the directory, then: tailrace log repair ${path} --yes`;
  return new TailraceError('ERR_CORRUPT', message, { cause: damage });
}

/** Says what is damaged; repairs it if that is allowed. */
export async function repair(paper: Paper, path: string, isAllowed: boolean): Promise<void> {
  if (!isAllowed) {
    const damage = await damageOf(path);
    if (damage) throw plan(damage, path);
    paper.remark(`There is nothing to repair in ${printable(path)}.`);
    return;
  }
  const work = metered(`repairing ${printable(path)}`, (onProgress) => Log.repair(path, { onProgress }));
  const { lost, aside, ...rest } = await work;
  paper.table(REPAIRED, [{ path, ...rest }], LOG);
  const ranges = lost.map(([first, last]) => ({ first, last }));
  const files = aside.map((file) => ({ file }));
  paper.further(LOST, ranges, 'lost');
  paper.further(ASIDE, files, 'aside');
}
