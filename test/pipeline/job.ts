/**
 * Job: the main job as people start it, watched from outside: its processes, what it says, and what it leaves behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';

/** The repository. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
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

const DIRECTLY = [process.execPath, '--import', 'tsx', `${ROOT}sdk/pipeline/main.ts`];

/** A started pipeline and what it has said. */
export class Job {
  output = '';
  complaints = '';
  readonly dir = mkdtempSync(join('/dev/shm', 'tailrace-test-'));
  /** Where its temporary files go. */
  readonly temporary = mkdtempSync(join(tmpdir(), 'tailrace-test-'));
  readonly child: ChildProcess;
  readonly ended: Promise<unknown[]>;

  constructor(args: string[], command = DIRECTLY) {
    const [program, ...words] = [...command, '--dir', this.dir, ...args];
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    const env = { ...process.env, TMPDIR: this.temporary };
    this.child = spawn(program!, words, { stdio: [...stdio], cwd: ROOT, detached: true, env });
    this.child.stdout?.on('data', (piece) => {
      this.output += piece;
    });
    this.child.stderr?.on('data', (piece) => {
      this.complaints += piece;
    });
    this.ended = once(this.child, 'close');
  }

  /** Its processes, from their command lines. */
  processes(): { pid: number; name: string }[] {
    return processesOver(`${this.dir}/`);
  }

  /** Waits for something, but not longer than the job lives. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      assert.ok(this.child.exitCode === null && this.child.signalCode === null, this.output + this.complaints);
      await sleep(10);
    }
  }

  /** Waits until records have flowed for a second. */
  begin(): Promise<void> {
    return this.until(() => /^1 s: /m.test(this.output));
  }

  /** The exit code. Whatever has happened, nothing may be left. */
  async end(): Promise<number | null> {
    await this.ended;
    assert.equal(readdirSync(this.dir), [], 'files left');
    for (let turn = 0; turn < 100 && this.processes().length > 0; turn++) await sleep(20);
    assert.equal(this.processes(), [], 'processes left');
    // The loader of TypeScript has a folder of its own there.
    const left = readdirSync(this.temporary).filter((name) => name.startsWith('tailrace'));
    assert.equal(left, [], 'temporary files left');
    rmSync(this.dir, { recursive: true });
    rmSync(this.temporary, { recursive: true });
    return this.child.exitCode;
  }

  /** Waits until all processes of a job that was killed are gone, and removes what they left in shared memory. */
  async buried(): Promise<void> {
    for (let turn = 0; turn < 1_000 && this.processes().length > 0; turn++) await sleep(20);
    assert.equal(this.processes(), [], 'processes left');
    rmSync(this.dir, { recursive: true });
    rmSync(this.temporary, { recursive: true });
  }

  /** The last line, as JSON; the proof must hold. */
  async proved(): Promise<Verdict> {
    const code = await this.end();
    const verdict = JSON.parse(this.output.trimEnd().split('\n').at(-1) ?? '') as Verdict;
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

function processesOver(folder: string): { pid: number; name: string }[] {
  const found: { pid: number; name: string }[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (!words.some((word) => word.startsWith(folder))) continue;
      const name = ['view', 'analytics', 'sink', 'gateway', 'recorder'].find((name) =>
        words.some((word) => word.includes(name)),
      );
      found.push({ pid: Number(pid), name: name ?? '' });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}
