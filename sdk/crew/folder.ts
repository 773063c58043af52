/**
 * Folder: where a run keeps its logs and what is needed to go on with it, said in `run.json`.
 *
 * One that people have named stays. Without a name it is temporary, and goes at a proved end.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../directory.ts';
import { OptionError } from './mistakes.ts';

/** What every run remembers of itself. */
export interface Made {
  version: 1;
}

/** The folder of one run. */
export class Folder {
  readonly dir: string;
  #isTemporary: boolean;

  private constructor(dir: string, isTemporary: boolean) {
    this.dir = dir;
    this.#isTemporary = isTemporary;
  }

  /** A temporary one; whatever is there is of a run that had the same number, long ago. */
  static temporary(dir: string): Folder {
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { mode: 0o700 });
    return new Folder(dir, true);
  }

  /**
   * One that people have named, for a new run.
   *
   * @throws OptionError when it cannot be made, or is not empty.
   */
  static begin(dir: string): Folder {
    try {
      makeDirectory(dir, 0o700);
    } catch (cause) {
      throw new OptionError(`--data ${dir} cannot be made: ${(cause as Error).message}`, { cause });
    }
    if (readdirSync(dir).length > 0) {
      throw new OptionError(`--data ${dir} is not empty; --resume goes on with the run in it, or name another one`);
    }
    return new Folder(dir, false);
  }

  /** One in which a run lies. */
  static resume(dir: string): Folder {
    return new Folder(dir, false);
  }

  /** Remembers what the run is made of. */
  write(made: Made): void {
    writeFileSync(this.#record, `${JSON.stringify(made)}\n`, { flush: true, mode: 0o600 });
  }

  /**
   * What the run is made of, if `isIt` recognizes it.
   *
   * @throws OptionError when there is no run, or one of another kind.
   */
  read<T extends Made>(isIt: (made: Partial<T>) => boolean): T {
    let made: Partial<T>;
    try {
      made = JSON.parse(readFileSync(this.#record, 'utf8'));
    } catch (cause) {
      throw new OptionError(`there is no run to resume: ${(cause as Error).message}`, { cause });
    }
    if (made?.version === 1 && isIt(made)) return made as T;
    throw new OptionError(`${this.#record} is not of this version, or of another job`);
  }

  /** Removes a folder that nobody has asked to keep. */
  remove(): void {
    if (this.#isTemporary) rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Keeps the folder, for people who want to find out what went wrong; where it is then. */
  keep(): string {
    if (!this.#isTemporary || !existsSync(this.dir)) return this.dir;
    this.#isTemporary = false;
    const kept = `${this.dir}.kept`;
    rmSync(kept, { recursive: true, force: true });
    renameSync(this.dir, kept);
    return kept;
  }

  get #record(): string {
    return join(this.dir, 'run.json');
  }
}
