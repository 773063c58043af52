/**
 * Drive: starts a driver of any language and talks to it, one JSON object a line (README.md has the protocol).
 *
 * What a driver says is kept as it came: answers settle the oldest question, lines of a load go to `onLoad`. A line that
 * a kill cut off is dropped, as nobody said it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { bundled } from '../built.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The languages with a driver that holds messages for others: the C driver writes and reads like the others. */
export type Language = 'rust' | 'node' | 'python' | 'c';

/** One JSON object. */
export type Line = Record<string, unknown>;

/** Where the builds are: of cargo's release profile, or of one with pause points. */
export interface Builds {
  rust: string;
  c?: string;
  library: string;
}

function must(command: string, args: string[]): void {
  const made = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${made.stdout}${made.stderr}`);
}

/**
 * Builds the Rust driver and the library; with `pause`, so that they stop at named steps, in a folder of its own.
 * `TAILRACE_BUILDS`, or `TAILRACE_PAUSE_BUILDS`, names a folder where they are already.
 */
export function build(pause: boolean): Builds {
  const told = process.env[pause ? 'TAILRACE_PAUSE_BUILDS' : 'TAILRACE_BUILDS'];
  if (told) {
    const [rust, c, library] = ['tailrace-driver', 'tailrace-driver-c', 'libtailrace_native.so'].map(
      (name) => `${told}/${name}`,
    );
    return { rust: rust!, c: c!, library: library! };
  }
  const target = pause ? 'target/pause' : 'target';
  const features = pause ? ['--features', 'tailrace-driver/pause_points,tailrace-native/pause_points'] : [];
  const quick = pause ? ['--config', 'profile.release.lto="off"', '--config', 'profile.release.codegen-units=16'] : [];
  const crates = ['-p', 'tailrace-driver', '-p', 'tailrace-native'];
  must('cargo', [
    'build',
    '--release',
    '--locked',
    '--quiet',
    '--target-dir',
    target,
    ...quick,
    ...crates,
    ...features,
  ]);
  const library = `${root}${target}/release/libtailrace_native.so`;
  const c = `${root}${target}/release/tailrace-driver-c`;
  const builds: Builds = { rust: `${root}${target}/release/tailrace-driver`, library };
  if (existsSync(`${root}test/drivers/c/driver.c`)) {
    const include = `${root}bindings/native/include`;
    // Renamed into place: another suite may be about to start it.
    const fresh = `${c}.${process.pid}`;
    must('gcc', [
      '-O2',
      '-I',
      include,
      '-o',
      fresh,
      `${root}test/drivers/c/driver.c`,
      library,
      `-Wl,-rpath,${root}${target}/release`,
    ]);
    renameSync(fresh, c);
    builds.c = c;
  }
  return builds;
}

function commandOf(language: Language, builds: Builds): string[] {
  switch (language) {
    case 'rust':
      return [builds.rust];
    case 'node':
      return bundled('test/drivers/driver.ts');
    case 'python':
      return [`${root}.venv/bin/python`, `${root}test/drivers/driver.py`];
    case 'c':
      if (builds.c === undefined) throw new Error('there is no C driver');
      return [builds.c];
  }
}

/** One driver process. */
export class Driver {
  readonly process: ChildProcess;
  /** When it ended, and by what. */
  readonly ended: Promise<NodeJS.Signals | number | null>;
  onLoad: (line: Line) => void = () => {};
  #questions: { resolve: (answer: Line) => void; reject: (error: Error) => void }[] = [];
  #onPause: (step: string) => void = () => {};
  #errors = '';
  #isOver = false;

  constructor(
    readonly language: Language,
    builds: Builds,
    environment: Record<string, string> = {},
  ) {
    const [command, ...args] = commandOf(language, builds);
    this.process = spawn(command as string, args, {
      cwd: root,
      env: { ...process.env, TAILRACE_LIBRARY: builds.library, TAILRACE_PAUSE_FD: '3', ...environment },
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    const { stdin, stdout, stderr, stdio } = this.process;
    if (stdin === null || stdout === null || stderr === null) throw new Error('a driver has pipes');
    stdin.on('error', () => {});
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    this.#listen(stdout);
    const steps = createInterface({ input: stdio[3] as NodeJS.ReadableStream });
    steps.on('line', (step) => this.#onPause(step));
    this.ended = new Promise((resolve) => {
      this.process.on('error', (error) => {
        this.#errors += error.message;
      });
      this.process.on('close', (code, signal) => {
        this.#isOver = true;
        const how = new Error(`the ${language} driver ended with ${signal ?? code}: ${this.#errors.slice(-2_000)}`);
        for (const question of this.#questions.splice(0)) question.reject(how);
        resolve(signal ?? code);
      });
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  #listen(stdout: NodeJS.ReadableStream): void {
    let rest = '';
    stdout.setEncoding('utf8');
    stdout.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const text of lines) {
        const line = JSON.parse(text) as Line;
        if ('ok' in line) this.#questions.shift()?.resolve(line);
        else this.onLoad(line);
      }
    });
  }

  /** Asks, and gives the whole answer; rejects when the process ends first. */
  ask(question: Line): Promise<Line> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) return reject(new Error(`the ${this.language} driver has ended`));
      this.#questions.push({ resolve, reject });
      this.process.stdin?.write(`${JSON.stringify(question)}\n`);
    });
  }

  /** Asks, and throws when the answer is a failure. */
  async must(question: Line): Promise<Line> {
    const answer = await this.ask(question);
    if (answer['ok'] !== true)
      throw new Error(`${this.language}: ${JSON.stringify(question)} gave ${JSON.stringify(answer)}`);
    return answer;
  }

  /** The name of the step at which it stopped itself. */
  paused(): Promise<string> {
    return new Promise((resolve) => {
      this.#onPause = resolve;
    });
  }

  /** What it wrote to stderr. */
  get errors(): string {
    return this.#errors;
  }

  /** Sends a signal to this process alone. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#isOver) this.process.kill(signal);
  }

  /** Ends it in peace: its stdin ends. Killed when that takes more than ten seconds. */
  async end(): Promise<void> {
    this.process.stdin?.end();
    const timer = setTimeout(() => this.signal('SIGKILL'), 10_000);
    await this.ended;
    clearTimeout(timer);
  }
}
