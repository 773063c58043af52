/**
 * Failure: what is wrong with a kernel, or ended it.
 */
import { type Code, TailraceError } from '../error.ts';

/** One complaint of the compiler. */
export interface Diagnostic {
  /** The file as it was given. */
  file: string;
  /** From 1. */
  line: number;
  /** From 1. */
  column: number;
  message: string;
  /** The text of the line. */
  source: string;
}

/**
 * Why: it does not compile; its budget was used up; it wanted more memory than it may have; it called `abort` (a failed
 * assertion, a `throw`); the engine stopped it (bounds, division by zero, a stack without an end); its answer makes no
 * sense.
 */
export type KernelReason = 'compile' | 'budget' | 'memory' | 'abort' | 'trap' | 'answer';

const CODES: Record<KernelReason, Code> = {
  compile: 'ERR_ARGUMENT',
  budget: 'ERR_TIMED_OUT',
  memory: 'ERR_NO_SPACE',
  abort: 'ERR_ARGUMENT',
  trap: 'ERR_ARGUMENT',
  answer: 'ERR_ARGUMENT',
};

/** What `KernelError` has to say besides its message. */
export interface KernelFailure {
  kernel: string;
  reason: KernelReason;
  /** Index of the record in its batch at which the kernel ended, where that is known. */
  record?: number | undefined;
  /** Sequence of that record's message. */
  sequence?: bigint | undefined;
  diagnostics?: readonly Diagnostic[] | undefined;
  cause?: unknown;
}

/** A kernel that does not compile, or that has ended. */
export class KernelError extends TailraceError {
  /** Name of the kernel. */
  readonly kernel: string;
  readonly reason: KernelReason;
  readonly record: number | undefined;
  readonly sequence: bigint | undefined;
  /** What the compiler said; empty when it was not the compiler. */
  readonly diagnostics: readonly Diagnostic[];

  constructor(message: string, failure: KernelFailure) {
    super(CODES[failure.reason], message, failure.cause === undefined ? undefined : { cause: failure.cause });
    this.kernel = failure.kernel;
    this.reason = failure.reason;
    this.record = failure.record;
    this.sequence = failure.sequence;
    this.diagnostics = failure.diagnostics ?? [];
  }
}
