/**
 * Crew: processes that work together, started, heard, restarted when they die, and ended, each by its own id.
 *
 * A *member* is a post that is filled all the time; a *shift* is one process that fills it. A member whose process dies
 * is started again at once, whoever killed it. One that dies `TRIES` times without ever being ready has something
 * wrong with it, and the crew gives up.
 *
 * Each process has a session of its own, so that Ctrl-C in the terminal reaches only the parent, and three pipes: its
 * standard input is the leash (`report.ts`), its standard output its reports, its standard error lines for people.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Line, Lines } from './report.ts';

const TRIES = 3;
const READY_MS = 30_000;
const LEAVE_MS = 5_000;

/** A post to be filled. */
export interface Post {
  readonly name: string;
  readonly language: string;
  /** How long until it must be ready; 30,000. */
  readonly patience_ms?: number;
  /** The command of the process; `start` counts from 0. */
  command(start: number): readonly [program: string, ...args: string[]];
}

/** A process that died without having been asked to leave. */
export interface Death {
  at_s: number;
  process: string;
  pid: number;
  signal: string;
  /** Until its successor was ready; null when the run ended first. */
  back_ms: number | null;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** One process at a post. */
export interface Shift {
  readonly pid: number;
  isReady: boolean;
}

interface Running extends Shift {
  readonly child: Child;
  readonly ended: Promise<void>;
}

/** A post and the process that fills it now. */
export class Member {
  starts = 0;
  shift: Running | undefined;
  isLeaving = false;
  failures = 0;

  constructor(readonly post: Post) {}

  get name(): string {
    return this.post.name;
  }

  get isReady(): boolean {
    return this.shift?.isReady === true;
  }
}

interface Events<R> {
  report: [member: Member, shift: Shift, report: R];
  /** A line of standard error. */
  said: [member: Member, line: string];
  died: [member: Member, death: Death];
  /** It cannot go on. */
  failed: [error: Error];
}

/** All members; `R` is what their processes report. */
export class Crew<R extends Line = Line> extends EventEmitter<Events<R>> {
  readonly members: Member[] = [];
  readonly deaths: Death[] = [];
  readonly #startMs = performance.now();

  get isWhole(): boolean {
    return this.members.every((member) => member.isReady);
  }

  /** Fills a post; resolves when its process is ready, or when `signal` is aborted. */
  async fill(post: Post, signal: AbortSignal): Promise<void> {
    const member = new Member(post);
    this.members.push(member);
    this.#start(member, undefined);
    const patience = post.patience_ms ?? READY_MS;
    const endMs = performance.now() + patience;
    while (!member.isReady && !member.isLeaving && !signal.aborted) {
      if (performance.now() > endMs) this.#fail(member, new Error(`${member.name} is not ready after ${patience} ms`));
      await sleep(5);
    }
  }

  /** Kills a member's process as nothing can be killed harder. */
  kill(member: Member): void {
    if (member.shift?.isReady) process.kill(member.shift.pid, 'SIGKILL');
  }

  /**
   * Asks a member to leave, with a word if there is one, and waits for everything it had to say; kills it when it takes
   * too long.
   */
  async dismiss(member: Member, word?: string): Promise<void> {
    member.isLeaving = true;
    const { shift } = member;
    if (shift === undefined) return;
    shift.child.stdin.end(word && `${word}\n`);
    const timer = setTimeout(() => shift.child.kill('SIGKILL'), LEAVE_MS);
    await shift.ended;
    clearTimeout(timer);
  }

  /** Ends everybody at once, from wherever; returns without waiting. */
  abandon(): void {
    for (const member of this.members) {
      member.isLeaving = true;
      member.shift?.child.kill('SIGKILL');
    }
  }

  #start(member: Member, death: Death | undefined): void {
    const [program, ...args] = member.post.command(member.starts);
    member.starts += 1;
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const shift: Running = { pid: child.pid ?? 0, isReady: false, child, ended };
    member.shift = shift;
    const startMs = performance.now();
    child.stdin.on('error', () => {});
    this.#hear(child.stdout, (line) => {
      const report = parsed<R>(line);
      if (report === undefined) return;
      if (report.report === 'ready') {
        shift.isReady = true;
        member.failures = 0;
        if (death !== undefined) death.back_ms = Math.round(performance.now() - startMs);
      }
      this.emit('report', member, shift, report);
    });
    this.#hear(child.stderr, (line) => this.emit('said', member, line));
    child.once('error', (cause) => {
      this.#fail(member, new Error(`${member.name} cannot be started: ${cause.message}`, { cause }));
    });
    child.once('exit', (code, signal) => this.#ended(member, shift, signal ?? `exit ${code}`));
  }

  #hear(stream: Readable, take: (line: string) => void): void {
    const lines = new Lines();
    stream.setEncoding('utf8');
    stream.on('data', (piece: string) => {
      for (const line of lines.push(piece)) take(line);
    });
  }

  #ended(member: Member, shift: Running, signal: string): void {
    if (member.shift === shift) member.shift = undefined;
    if (member.isLeaving) return;
    if (!shift.isReady) {
      member.failures += 1;
      if (member.failures >= TRIES) {
        this.#fail(member, new Error(`${member.name} ended ${TRIES} times before it was ready (${signal})`));
        return;
      }
    }
    const at_s = Math.round(performance.now() - this.#startMs) / 1000;
    const death: Death = { at_s, process: member.name, pid: shift.pid, signal, back_ms: null };
    this.deaths.push(death);
    this.emit('died', member, death);
    this.#start(member, death);
  }

  #fail(member: Member, error: Error): void {
    if (member.isLeaving) return;
    member.isLeaving = true;
    this.emit('failed', error);
  }
}

function parsed<R>(line: string): R | undefined {
  try {
    return JSON.parse(line) as R;
  } catch {
    return undefined;
  }
}
