/**
 * Job: a main job as people start it, watched from outside: its processes, what it says, and what it leaves behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { packaged } from '../built.ts';

/** The repository. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The command of the main job whose source this is, without npm. */
export function directly(main: string): string[] {
  return packaged(main);
}

/** A started job and what it has said. */
export class Job {
  output = '';
  complaints = '';
  readonly dir = mkdtempSync(join('/dev/shm', 'tailrace-test-'));
  /** Where its temporary files go. */
  readonly temporary = mkdtempSync(join(tmpdir(), 'tailrace-test-'));
  readonly child: ChildProcess;
  readonly ended: Promise<unknown[]>;
  readonly #names: readonly string[];

  /** `names` of its processes, as their command lines have them. */
  constructor(command: readonly string[], args: readonly string[], names: readonly string[]) {
    this.#names = names;
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

  /** The processes that it has started, and their names from their command lines. */
  processes(): { pid: number; name: string }[] {
    return processesWith(`TMPDIR=${this.temporary}`, this.#names).filter(({ pid }) => pid !== this.child.pid);
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
    for (let turn = 0; turn < 1_500 && this.processes().length > 0; turn++) await sleep(20);
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
    for (let turn = 0; turn < 1_500 && this.processes().length > 0; turn++) await sleep(20);
    assert.equal(this.processes(), [], 'processes left');
    rmSync(this.dir, { recursive: true });
    rmSync(this.temporary, { recursive: true });
  }

  /** The last line, as JSON. */
  get verdict(): unknown {
    return JSON.parse(this.output.trimEnd().split('\n').at(-1) ?? '');
  }
}

/** Processes that were started with this among their environment. */
function processesWith(variable: string, names: readonly string[]): { pid: number; name: string }[] {
  const found: { pid: number; name: string }[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(variable)) continue;
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      const name = names.find((name) => words.some((word) => isNamed(word, name)));
      found.push({ pid: Number(pid), name: name ?? '' });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

/** Whether a word of a command line is a process's name, or the program of that name. */
function isNamed(word: string, name: string): boolean {
  return word === name || new RegExp(`(^|[/-])${name}(\\.\\w+)?$`).test(word);
}
