/**
 * Shell: runs commands as somebody would who types them, and reads what they print.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import * as assert from 'uvu/assert';
import { packaged } from './built.ts';
import { eventually } from './scratch.ts';

const WORDS = packaged('sdk/command/main.ts').slice(1);

/** Runs a command to its end. */
export function run(...words: string[]): { stdout: string; stderr: string; status: number | null } {
  return spawnSync(process.execPath, [...WORDS, ...words], { encoding: 'utf8' });
}

/** Lines, each split at its tabs. */
export function split(text: string): string[][] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split('\t'));
}

/** The lines of a command that ended well. */
export function lines(...words: string[]): string[][] {
  const { stdout, stderr, status } = run(...words);
  assert.is(status, 0, stderr);
  return split(stdout);
}

/** The objects that a command printed. */
export function objects(...words: string[]): Record<string, unknown>[] {
  return lines(...words, '--json').map(([line]) => JSON.parse(line!));
}

/** The objects of a command, however it ended. */
export function objectsWhatever(...words: string[]): Record<string, unknown>[] {
  return split(run(...words, '--json').stdout).map(([line]) => JSON.parse(line!));
}

/** What a command says that fails. */
export function complaint(status: number, ...words: string[]): string {
  const ending = run(...words);
  assert.is(ending.status, status, `${words.join(' ')}: ${ending.stderr}`);
  assert.is(ending.stdout, '', words.join(' '));
  return ending.stderr;
}

/** A command that goes on until it is told to end. */
export class Running implements Disposable {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';

  constructor(words: string[], before: string[] = []) {
    const [program, ...rest] = [...before, process.execPath, ...WORDS, ...words] as [string, ...string[]];
    this.child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
  }

  /** Waits until what was printed says so. */
  async printed(pattern: RegExp): Promise<void> {
    await eventually(() => pattern.test(this.stdout) || this.child.exitCode !== null);
    assert.match(this.stdout, pattern, this.stderr);
  }

  /** How it ends. */
  async ended(signal?: NodeJS.Signals): Promise<number | null> {
    if (signal) this.child.kill(signal);
    await eventually(() => this.child.exitCode !== null || this.child.signalCode !== null);
    return this.child.exitCode;
  }

  [Symbol.dispose](): void {
    this.child.kill('SIGKILL');
  }
}
