/**
 * Tailrace: messages between processes of one host, through shared memory that survives any kill.
 *
 * Everything people use is here and in `portable.ts`; `region.ts` is where to begin reading.
 */
import { backend } from './native.ts';

export { type Checkpoint, Checkpoints, type Place } from './checkpoint/checkpoints.ts';
export type { RecoverOptions, Recovery } from './checkpoint/recovery.ts';
export type { Progress } from './errand.ts';
export { type AppendOptions, Log, type LogOptions, type LogStat, type Repaired, type Verified } from './log.ts';
export * from './portable.ts';
export { LogReader, type LogReaderOptions } from './reader.ts';
export type { Recorder, RecorderStatus, RecordOptions, WritingOptions } from './recorder.ts';
export type { CreateOptions, OpenOptions } from './region.ts';
export type { GroupInfo, RecorderInfo } from './stats.ts';

/** Loads what the package runs on: a page has to await it before it makes regions or books; in Node nobody has to. */
export async function ready(): Promise<void> {
  backend();
}
