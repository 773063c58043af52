/**
 * Job: the exchange as people start it, and what its proof must say.
 */
import * as assert from 'uvu/assert';
import { Job as AnyJob, directly } from '../crew/job.ts';

const NAMES = ['matcher', 'shadow', 'gateway', 'publisher', 'view', 'executions', 'feed', 'flow'];

/** What a job has said at its end. */
export interface Verdict {
  ok: boolean;
  seconds: number;
  sent: number;
  answered: number;
  open: number;
  fills: number;
  p50_us: number;
  p99_us: number;
  longest_silence_ms: number;
  accepted: number;
  executions: number;
  market_messages: number;
  lost: number;
  doubled: number;
  holes: number;
  compared: number;
  live: { sequence: number; state_hash: string; output_hash: string; market: number };
  is_replayed: boolean;
  are_books_same: boolean;
  readers: { name: string; seen: number; gaps: number; duplicates: number; p50_us: number; image: string | null }[];
  trades: number;
  kept: number | null;
  kills: { process: string; pid: number; signal: string; back_ms: number | null }[];
  resumed: boolean;
}

const DIRECTLY = directly('sdk/exchange/job/main.ts');

/** A started exchange. */
export class Job extends AnyJob {
  constructor(args: string[], command = DIRECTLY) {
    super(command, args, NAMES);
  }

  /** The last line, as JSON; the proof must hold. */
  async proved(): Promise<Verdict> {
    const code = await this.end();
    const verdict = this.verdict as Verdict;
    for (const name of ['lost', 'doubled', 'holes', 'open'] as const)
      assert.is(verdict[name], 0, `${name}: ${this.output}`);
    assert.ok(verdict.is_replayed && verdict.are_books_same, this.output);
    assert.ok(verdict.compared > 0 && verdict.sent > 0, this.output);
    for (const { name, gaps, duplicates } of verdict.readers) {
      if (name !== 'feed') assert.equal([gaps, duplicates], [0, 0], `${name}: ${this.output}`);
    }
    assert.ok(verdict.ok && code === 0, this.output + this.complaints);
    return verdict;
  }
}
