/**
 * Appender process: one of the programs that write logs (README.md has their lines), as a test holds it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bundled } from '../built.ts';
import type { Builds, Language } from '../drivers/drive.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const PATIENCE_MS = 60_000;

function commandOf(language: Language, builds: Builds): string[] {
  if (language === 'rust') return [builds.rust.replace(/tailrace-driver$/, 'tailrace-appender')];
  if (language === 'node') return bundled('test/faults/appender.ts');
  return [`${root}.venv/bin/python`, `${root}test/faults/appender.py`];
}

/** One program. */
export class AppenderProcess {
  readonly process: ChildProcess;
  readonly ended: Promise<NodeJS.Signals | number | null>;
  /** Hears every line, as words. */
  onLine: (words: string[]) => void = () => {};
  /** Failures that it told. */
  readonly failures: { code: string; outcome: string; verb: string; message: string }[] = [];
  #waiting: { word: string; resolve: (words: string[]) => void; reject: (error: Error) => void }[] = [];
  /** What it said and nobody has waited for. */
  #unheard: string[][] = [];
  /** What was asked for, and how the answer begins. */
  #asking: { verb: string; answer: string } | undefined;
  #errors = '';
  #isOver = false;
  static readonly #living = new Set<AppenderProcess>();

  /** Kills all that are left. */
  static async killAll(): Promise<void> {
    await Promise.all([...AppenderProcess.#living].map((one) => one.kill()));
  }

  /** With `around`, the program is run by that command. */
  constructor(
    readonly language: Language,
    builds: Builds,
    around: string[] = [],
  ) {
    AppenderProcess.#living.add(this);
    const [command, ...args] = [...around, ...commandOf(language, builds)];
    const environment = { ...process.env, TAILRACE_LIBRARY: builds.library };
    this.process = spawn(command!, args, { cwd: root, env: environment, stdio: ['pipe', 'pipe', 'pipe'] });
    const { stdin, stdout, stderr } = this.process;
    stdin!.on('error', () => {});
    stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    let rest = '';
    stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#hear(line.split(' '));
    });
    this.ended = new Promise((resolve) => {
      this.process.on('error', (error) => {
        this.#errors += error.message;
      });
      this.process.on('close', (code, signal) => {
        this.#isOver = true;
        AppenderProcess.#living.delete(this);
        const how = this.#wrong(`ended with ${signal ?? code}`);
        for (const { reject } of this.#waiting.splice(0)) reject(how);
        resolve(signal ?? code);
      });
    });
  }

  #wrong(what: string): Error {
    const told = this.failures.slice(-3).map((failure) => JSON.stringify(failure));
    return new Error(`the ${this.language} appender ${what}: ${told.join(' ')} ${this.#errors.slice(-2_000)}`);
  }

  #hear(words: string[]): void {
    const [word = ''] = words;
    if (word === 'failed') {
      const [, code = '', outcome = '', verb = '', ...message] = words;
      this.failures.push({ code, outcome, verb, message: message.join(' ') });
      if (verb === this.#asking?.verb) this.#refuse(this.#asking.answer, words.join(' '));
    }
    this.onLine(words);
    const waiting = this.#waiting.findIndex((one) => one.word === word);
    if (waiting >= 0) this.#waiting.splice(waiting, 1)[0]?.resolve(words);
    else if (!['d', 'm', 'c', 'r', 'failed'].includes(word)) this.#unheard.push(words);
  }

  #refuse(word: string, message: string): void {
    const at = this.#waiting.findIndex((one) => one.word === word);
    if (at >= 0) this.#waiting.splice(at, 1)[0]?.reject(new Error(message));
  }

  say(...words: unknown[]): void {
    this.process.stdin?.write(`${words.join(' ')}\n`);
  }

  /** The next line that begins with this word, or one that came before and was not heard. */
  hear(word: string): Promise<string[]> {
    const before = this.#unheard.findIndex((words) => words[0] === word);
    if (before >= 0) return Promise.resolve(this.#unheard.splice(before, 1)[0]!);
    return new Promise((resolve, reject) => {
      if (this.#isOver) return reject(this.#wrong('has ended'));
      const late = () => reject(this.#wrong(`did not say ${word}`));
      const clock = setTimeout(late, PATIENCE_MS);
      clock.unref();
      const settled = <T>(settle: (value: T) => void) => {
        return (value: T) => {
          clearTimeout(clock);
          settle(value);
        };
      };
      this.#waiting.push({ word, resolve: settled(resolve), reject: settled(reject) });
    });
  }

  /** Says, and hears what that is answered with; a failure of that verb rejects. */
  async ask(word: string, ...words: unknown[]): Promise<string[]> {
    const answer = this.hear(word);
    this.#asking = { verb: String(words[0]), answer: word };
    this.say(...words);
    try {
      return await answer;
    } finally {
      this.#asking = undefined;
    }
  }

  /** What it wrote to stderr. */
  get errors(): string {
    return this.#errors;
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.#isOver) this.process.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }
}
