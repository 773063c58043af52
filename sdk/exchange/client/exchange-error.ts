/**
 * Exchange error: what the exchange itself refuses, with its reason beside the code.
 */
import { type Code, TailraceError } from '../../error.ts';
import type { Reason } from '../../events.ts';
import { REASON_TEXTS } from '../../wire.ts';

const CODES: Partial<Record<Reason, Code>> = {
  LOGIN: 'ERR_PERMISSION',
  LOGIN_VERSION: 'ERR_VERSION',
  UNAVAILABLE: 'ERR_BUSY',
  MALFORMED: 'ERR_ARGUMENT',
};

/** The exchange refused a session. */
export class ExchangeError extends TailraceError {
  /** Why, by the exchange's own word. */
  readonly reason: Reason;

  constructor(what: string, reason: Reason) {
    super(CODES[reason] ?? 'ERR_UNSUPPORTED', `${what}: ${REASON_TEXTS[reason]}`);
    this.reason = reason;
  }
}
