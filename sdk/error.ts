/**
 * Error: the one class of failure, with a code of the table that all languages share.
 *
 * The message says what happened, what was seen, and what to do next; `cause` keeps the operating system's error.
 */
import { getSystemErrorName } from 'node:util';
import { ADVICE, CODES, type Code, TEXTS } from './generated/errors.ts';

export type { Code };

/** The number of an ERR_IO after which nobody knows. */
const OUTCOME_UNKNOWN = 1;

/** Whatever tailrace throws or rejects with, except an abort, which rejects with its signal's reason. */
export class TailraceError extends Error {
  /** Which failure it is; the same in every language. */
  readonly code: Code;
  /** 'unknown' when nobody knows whether the record is on disk: the disk failed while it was being written. */
  readonly outcome: 'unknown' | undefined;
  /** With ERR_GONE of a log: the oldest sequence that is kept. */
  readonly oldestSequence: bigint | undefined;

  constructor(code: Code, message: string = TEXTS[code], options?: ErrorOptions, value = 0) {
    super(message, options);
    this.code = code;
    this.outcome = code === 'ERR_IO' && value === OUTCOME_UNKNOWN ? 'unknown' : undefined;
    this.oldestSequence = code === 'ERR_GONE' && value > 0 ? BigInt(value) : undefined;
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

/**
 * Throws what the native library has to say: the number of a code, the whole message, the system's number or 0, and the
 * number that the code is about.
 */
export function throwNative(number: number, message: string, errno: number, value = 0): never {
  const code = CODES.get(number) ?? 'ERR_INTERNAL';
  throw new TailraceError(code, message, errno > 0 ? { cause: systemError(errno) } : undefined, value);
}

function systemError(errno: number): Error {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${code} (errno ${errno})`), { code, errno: -errno });
}
