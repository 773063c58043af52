/**
 * Execution report: what became of a command, and of the orders it met; in the words of a book's events.
 */
import { type Reason, reasonOf } from '../../events.ts';
import { MESSAGES, REPORT_DONE, REPORT_MAKER, REPORT_REPEAT, REPORT_SELL } from '../../wire.ts';

const { size: BYTES, fields: FIELDS } = MESSAGES.ExecutionReport;

/** One report. */
export class ExecutionReport {
  /** Its 48 bytes, as they came. */
  readonly bytes: Uint8Array;
  /** `EXEC_*`: the kind of report. */
  readonly execType: number;
  /** Why, in a word. */
  readonly reason: Reason;
  /** The side of the order. */
  readonly side: 'buy' | 'sell';
  /** Whether the order rested. */
  readonly isMaker: boolean;
  /** Whether nothing is left of the order. */
  readonly isDone: boolean;
  /** Whether it was sent before, to an earlier session. */
  readonly isRepeat: boolean;
  readonly account: number;
  /** Dense per account; 0 in a rejection. */
  readonly sequence: bigint;
  /** Of the order, or of the command that was rejected. */
  readonly clientOrderId: bigint;
  /** Accepted: public order id; fill: match id; replaced: previous client order id; else 0. */
  readonly reference: bigint;
  /** Ticks; of a fill, the resting order's price. */
  readonly price: bigint;
  /** Accepted: of the order; replaced: new leaves; fill, cancelled, decremented: that amount; done: orders. */
  readonly quantity: bigint;

  /** Reads the bytes of a report. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset, BYTES);
    const flags = view.getUint8(FIELDS.flags.offset);
    this.execType = view.getUint8(FIELDS.execType.offset);
    this.reason = reasonOf(view.getUint8(FIELDS.reason.offset));
    this.side = (flags & REPORT_SELL) === 0 ? 'buy' : 'sell';
    this.isMaker = (flags & REPORT_MAKER) !== 0;
    this.isDone = (flags & REPORT_DONE) !== 0;
    this.isRepeat = (flags & REPORT_REPEAT) !== 0;
    this.account = view.getUint32(FIELDS.account.offset, true);
    this.sequence = view.getBigUint64(FIELDS.sequence.offset, true);
    this.clientOrderId = view.getBigUint64(FIELDS.clientOrderId.offset, true);
    this.reference = view.getBigUint64(FIELDS.reference.offset, true);
    this.price = view.getBigInt64(FIELDS.price.offset, true);
    this.quantity = view.getBigUint64(FIELDS.quantity.offset, true);
  }
}
