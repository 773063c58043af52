/**
 * Volume: an ext4 file system in a file, whose power can fail.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Dice, pick } from '../dice.ts';

const BYTES = 384 << 20;
const POWER = fileURLToPath(new URL('power.py', import.meta.url));
/** What people mount ext4 with; each keeps and loses other things. */
const OPTIONS = ['data=ordered', 'data=writeback', 'data=ordered,nodelalloc', 'data=journal'];

function run(command: string, ...args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? undefined : `${command}: ${(stderr?.trim().split('\n')[0] || error?.message) ?? status}`;
}

/** One file system, in a folder of its own; disposed of with all that it holds. */
export class Volume implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'tailrace-volume-'));
  readonly #image = join(this.#folder, 'image');
  readonly directory = join(this.#folder, 'mount');
  #isMounted = false;
  /** How it was mounted last. */
  options = '';

  /** Why there cannot be one here. */
  static async absent(): Promise<string | undefined> {
    if (process.getuid?.() !== 0) return 'only root can mount a file system and shut it down';
    await using volume = new Volume();
    try {
      volume.make();
      volume.mount('data=ordered');
      const power = await volume.power();
      await power.fail();
      return undefined;
    } catch (error) {
      return `no ext4 of our own can be mounted and shut down here (${(error as Error).message})`;
    }
  }

  /** Makes the file system, with words for mkfs. */
  make(bytes = BYTES, ...words: string[]): void {
    writeFileSync(this.#image, '');
    truncateSync(this.#image, bytes);
    const prompt = 'lazy_itable_init=0,lazy_journal_init=0';
    const failure = run('mkfs.ext4', '-q', '-F', '-E', prompt, ...words, this.#image);
    if (failure) throw new Error(failure);
    mkdirSync(this.directory);
  }

  mount(options: string): void {
    const failure = run('mount', '-o', `loop,${options}`, this.#image, this.directory);
    if (failure) throw new Error(failure);
    this.#isMounted = true;
    this.options = options;
  }

  mountSomehow(roll: Dice): void {
    this.mount(pick(roll, OPTIONS));
  }

  async unmount(): Promise<void> {
    for (let left = 100; this.#isMounted; left -= 1) {
      const failure = run('umount', this.directory);
      if (!failure) this.#isMounted = false;
      else if (left === 0) throw new Error(failure);
      else await sleep(50);
    }
  }

  /** Somebody with a hand on the switch. */
  async power(): Promise<Power> {
    return Power.at(this.directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount().catch(() => run('umount', '-l', this.directory));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The switch of one mounted file system; it works once. */
export class Power {
  readonly #process;
  readonly #lines;
  readonly #ended;
  #errors = '';

  private constructor(directory: string) {
    this.#process = spawn('python3', [POWER, directory]);
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    this.#process.stdin.on('error', () => {});
    this.#ended = new Promise<void>((resolve) => {
      this.#process.on('close', () => resolve());
      this.#process.on('error', () => resolve());
    });
    this.#lines = createInterface({ input: this.#process.stdout });
  }

  static async at(directory: string): Promise<Power> {
    const power = new Power(directory);
    await power.#hear('ready');
    return power;
  }

  async #hear(word: string): Promise<void> {
    const [line] = await Promise.race([once(this.#lines, 'line'), this.#ended.then(() => [undefined])]);
    if (line !== word) throw new Error(`shutting the file system down: ${this.#errors.trim() || line}`);
  }

  /** Fails; with `torn`, after half of the pages that are being written in that log have reached the disk. */
  async fail(torn?: { log: string; seed: number }): Promise<void> {
    const off = this.#hear('off');
    this.#process.stdin.write(torn ? `torn ${torn.seed} ${written(torn.log).join(' ')}\n` : 'off\n');
    await off;
    await this.#ended;
  }

  /** Ends without failing. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }
}

/** What a writer may be writing: the newest segment, and those made ahead, one of which is about to become it. */
function written(log: string): string[] {
  const names = readdirSync(log).sort();
  const newest = names.filter((file) => /^\d{20}\.log$/.test(file)).slice(-1);
  return [...newest, ...names.filter((file) => /^spare.*\.tmp$/.test(file))].map((file) => join(log, file));
}
