/**
 * Mistakes: what people can get wrong before a main job has begun. It says so in one line, and its exit code is 2.
 */

/** A wrong option, said in one sentence. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
  readonly code = 'ERR_OPTION';
}

/** Why an input file cannot be read, or is none. `line` counts from 1; 0 means the file as a whole. */
export class InputError extends Error {
  override readonly name = 'InputError';
  readonly code = 'ERR_INPUT';

  constructor(
    readonly file: string,
    readonly line: number,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(line > 0 ? `${file}:${line}: ${reason}` : `${file}: ${reason}`, options);
  }
}
