/**
 * Job: the pipeline as people start it, and what its proof must say.
 */
import * as assert from 'uvu/assert';
import { Job as AnyJob, directly } from '../crew/job.ts';

const NAMES = ['view', 'analytics', 'sink', 'gateway', 'recorder'];
const NOT_PROVED = ['lost', 'unaccounted', 'torn', 'duplicates'] as const;
const LOG_FAULTS = [
  ...(['missing', 'doubled', 'torn', 'holes', 'unread', 'invented', 'differing'] as const),
  ...(['signals_untaken', 'signals_doubled'] as const),
] as const;

/** What a job has said at its end. */
export interface Verdict {
  ok: boolean;
  seconds: number;
  written: number;
  read: number;
  lost: number;
  unaccounted: number;
  torn: number;
  duplicates: number;
  repairs: number;
  longest_stall_ms: number;
  p50_us: number;
  p99_us: number;
  blocks_compared: number;
  signals: { written: number; taken: number };
  consumers: { name: string; language: string; starts: number; read: number }[];
  kills: { process: string; pid: number; signal: string; back_ms: number | null }[];
  wal: { acknowledged: number; found: number; p50_us: number };
  log: Record<(typeof LOG_FAULTS)[number] | 'records' | 'tombstones' | 'signals', number>;
  resumed: boolean;
  totals: {
    records: number;
    trades: number;
    volume: number;
    digest: number;
    book: { hash: number };
    signals: { events: number; trades: number; volume: number };
  };
}

const DIRECTLY = directly('sdk/pipeline/main.ts');

/** A started pipeline. */
export class Job extends AnyJob {
  constructor(args: string[], command = DIRECTLY) {
    super(command, args, NAMES);
  }

  /** The last line, as JSON; the proof must hold. */
  async proved(): Promise<Verdict> {
    const code = await this.end();
    const verdict = this.verdict as Verdict;
    for (const name of NOT_PROVED) assert.is(verdict[name], 0, `${name}: ${this.output}`);
    assert.is(verdict.read, verdict.written);
    assert.is(verdict.signals.taken, verdict.signals.written);
    for (const name of LOG_FAULTS) assert.is(verdict.log[name], 0, `log, ${name}: ${this.output}`);
    assert.is(verdict.wal.found, verdict.wal.acknowledged);
    const { records, trades, volume, signals } = verdict.totals;
    assert.is(verdict.log.records, records);
    assert.ok(verdict.resumed ? records >= verdict.written : records === verdict.written, this.output);
    assert.equal(signals, { events: records, trades, volume }, 'signals speak of every record once');
    assert.ok(verdict.ok && code === 0, this.output + this.complaints);
    return verdict;
  }
}
