/**
 * Unanswered: commands that the exchange has not answered, in the order in which they were sent.
 *
 * A command with an id of its own is answered once by a report with that id. A cancel has none: the report that its
 * order is gone answers it, or a rejection with the order's id.
 */
import { EXEC_ACCEPTED, EXEC_CANCELLED, EXEC_MASS_CANCEL_DONE, EXEC_REPLACED } from '../../wire.ts';
import type { ExecutionReport } from './execution-report.ts';

/** A command that has no answer. */
export interface Question {
  /** Its own id; of a cancel, the order's. */
  id: bigint;
  isCancel: boolean;
  /** As it goes over the wire. */
  frame: Uint8Array;
  /** The exchange knows the id already, so it is only asked what became of it. */
  isKnown: boolean;
}

/** Whether a report says that a command with this id was carried out. */
export function isDoing({ execType }: ExecutionReport): boolean {
  return execType === EXEC_ACCEPTED || execType === EXEC_REPLACED || execType === EXEC_MASS_CANCEL_DONE;
}

/** Commands without an answer. */
export class Unanswered implements Iterable<Question> {
  readonly #all = new Set<Question>();
  readonly #orders = new Map<bigint, Question>();
  readonly #cancels = new Map<bigint, Question[]>();

  get count(): number {
    return this.#all.size;
  }

  /** Whether a command with this id of its own has no answer. */
  has(id: bigint): boolean {
    return this.#orders.has(id);
  }

  add(question: Question): void {
    this.#all.add(question);
    if (!question.isCancel) this.#orders.set(question.id, question);
    else {
      const others = this.#cancels.get(question.id);
      if (others === undefined) this.#cancels.set(question.id, [question]);
      else others.push(question);
    }
  }

  remove(question: Question): void {
    this.#all.delete(question);
    if (!question.isCancel) {
      this.#orders.delete(question.id);
      return;
    }
    const others = this.#cancels.get(question.id)?.filter((other) => other !== question) ?? [];
    if (others.length === 0) this.#cancels.delete(question.id);
    else this.#cancels.set(question.id, others);
  }

  /** The command that a report of something done answers. */
  doneBy(report: ExecutionReport): Question | undefined {
    if (isDoing(report)) return this.#orders.get(report.clientOrderId);
    const isCancelled = report.execType === EXEC_CANCELLED && report.reason === 'NONE';
    return isCancelled ? this.#cancels.get(report.clientOrderId)?.[0] : undefined;
  }

  /** The command that a rejection answers. */
  rejectedBy({ clientOrderId, reason }: ExecutionReport): Question | undefined {
    const order = this.#orders.get(clientOrderId);
    return order ?? (reason === 'DUPLICATE' ? undefined : this.#cancels.get(clientOrderId)?.[0]);
  }

  [Symbol.iterator](): IterableIterator<Question> {
    return this.#all.values();
  }
}
