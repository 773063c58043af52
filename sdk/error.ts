/**
 * Error: the one class of failure, with a code of the table that all languages share.
 *
 * The message says what happened, what was seen, and what to do next; `cause` keeps the operating system's error.
 */
import { getSystemErrorName } from 'node:util';
import { ADVICE, CODES, type Code, TEXTS } from './generated/errors.ts';

export type { Code };

/** Whatever tailrace throws or rejects with, except an abort, which rejects with its signal's reason. */
export class TailraceError extends Error {
  /** Which failure it is; the same in every language. */
  readonly code: Code;

  constructor(code: Code, message: string = TEXTS[code], options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return 'TailraceError';
  }
}

/** An error with the advice that belongs to its code. */
export function failure(code: Code, message: string, cause?: unknown): TailraceError {
  return new TailraceError(code, `${message}; ${ADVICE[code]}`, cause === undefined ? undefined : { cause });
}

/** A wrong argument; `advice` is what to write instead. */
export function wrongArgument(message: string): TailraceError {
  return new TailraceError('ERR_ARGUMENT', message);
}

/** Throws what the native library has to say: the number of a code, the whole message, and the system's number or 0. */
export function throwNative(number: number, message: string, errno: number): never {
  const code = CODES.get(number) ?? 'ERR_INTERNAL';
  throw new TailraceError(code, message, errno > 0 ? { cause: systemError(errno) } : undefined);
}

function systemError(errno: number): Error {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${code} (errno ${errno})`), { code, errno: -errno });
}
