/**
 * Peer: a program that knows only the published layout (`drivers/c/foreign.c`), started and listened to.
 */
import { equal } from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { renameSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Line } from '../drivers/drive.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = `${root}target/release/tailrace-foreign`;

/** Where payloads begin, by the form of the layout that a program speaks. */
export const OFFSETS = { document: 64, code: 48 } as const;
/** One of the two forms. */
export type Form = keyof typeof OFFSETS;

/** Compiles the program; it has nothing of ours in it. */
export function compile(): void {
  const fresh = `${program}.${process.pid}`;
  const { status, stderr } = spawnSync(
    'gcc',
    ['-O2', '-Wall', '-Wextra', '-Werror', '-o', fresh, `${root}test/drivers/c/foreign.c`],
    { encoding: 'utf8' },
  );
  equal(status, 0, stderr);
  renameSync(fresh, program);
}

/** Makes a region as such a program does: channels without names, and nothing else. */
export function makeRegion(path: string, channels: number, capacity: number): void {
  const { status, stderr } = spawnSync(program, ['make', path, `${channels}`, `${capacity}`], { encoding: 'utf8' });
  equal(status, 0, stderr);
}

/** One process. */
export class Peer {
  readonly #process: ChildProcess;
  readonly #ended: Promise<number | NodeJS.Signals | null>;
  #last: Line = {};
  #onFirst: (line: Line) => void = () => {};
  /** Its first line. */
  readonly first = new Promise<Line>((resolve) => {
    this.#onFirst = resolve;
  });

  constructor(onLoad: (line: Line) => void, ...words: (string | number)[]) {
    this.#process = spawn(program, words.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: this.#process.stdout as NodeJS.ReadableStream });
    lines.on('line', (text) => {
      const line = JSON.parse(text) as Line;
      this.#onFirst(line);
      if ('ok' in line) this.#last = line;
      else onLoad(line);
    });
    this.#ended = new Promise((resolve) => {
      this.#process.on('close', (code, signal) => resolve(signal ?? code));
    });
  }

  /** What it says at its end, which must be a good one. */
  async done(): Promise<Line> {
    equal(await this.#ended, 0);
    return this.#last;
  }

  /** Ends a reader that would read for ever. */
  async stop(): Promise<Line> {
    // Between its look and its sleep, a signal is only noticed after the next wake.
    const again = setInterval(() => this.signal('SIGTERM'), 20);
    try {
      return await this.done();
    } finally {
      clearInterval(again);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#ended;
  }
}
