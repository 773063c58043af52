/**
 * Audit: reads the logs of an exchange from their beginning and holds them against what its clients were told.
 *
 * - *lost* = reports that a client had, and the log has not, or has otherwise.
 * - *doubled* = an order accepted twice, a report or a market message that stands there twice, a trade with more than two
 *   reports.
 * - *holes* = numbers of reports, of an account's reports or of market messages that are left out, and trades of which
 *   one side was not told.
 *
 * Ids of an account only grow, so an order was accepted twice exactly when an accepted id is not above the one before.
 */
import { type Batch, LogReader } from '../../index.ts';
import { EXEC_ACCEPTED, EXEC_FILL, EXEC_REJECTED, EXEC_REPLACED, MESSAGES } from '../../wire.ts';
import { chained, type Testimony } from './chain.ts';

const REPORT = MESSAGES.ExecutionReport.fields;
const KEPT = MESSAGES.KeptReport.fields;
const SEQUENCE_AT = MESSAGES.Added.fields.sequence.offset;
const WORD = 2 ** 32;
const BATCH = 4_096;

/** What the logs have. */
export interface LogFindings {
  reports: number;
  accepted: number;
  rejected: number;
  /** Trades; each has two reports. */
  executions: number;
  marketMessages: number;
  lost: number;
  doubled: number;
  holes: number;
  /** Testimonies that were held against the log. */
  compared: number;
}

/** Whether nothing is wrong. */
export function isKept({ lost, doubled, holes }: LogFindings): boolean {
  return lost === 0 && doubled === 0 && holes === 0;
}

interface Account {
  sequence: number;
  chain: number;
  lastId: number;
  /** Testimonies that are not reached yet, in order. */
  expected: Testimony[];
}

function wide(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * WORD;
}

/** Reads both output logs. */
export class Audit {
  readonly findings: LogFindings = {
    ...{ reports: 0, accepted: 0, rejected: 0, executions: 0, marketMessages: 0 },
    ...{ lost: 0, doubled: 0, holes: 0, compared: 0 },
  };
  readonly #accounts = new Map<number, Account>();
  #ordinal = 0;
  #market = 0;
  /** Of the last trade, and how many reports it has. */
  #match = { id: -1, reports: 2 };

  /** `testimonies` in the order in which they were given. */
  constructor(testimonies: readonly Testimony[]) {
    for (const testimony of testimonies) this.#account(testimony[0]).expected.push(testimony);
    for (const { expected } of this.#accounts.values()) expected.sort((one, other) => one[1] - other[1]);
  }

  /** Takes the next reports. */
  reports(batch: Iterable<{ payload: Uint8Array }>): void {
    for (const { payload } of batch) this.#report(new DataView(payload.buffer, payload.byteOffset, payload.length));
  }

  /** Takes the next market messages. */
  market(batch: Iterable<{ payload: Uint8Array }>): void {
    for (const { payload } of batch) {
      const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
      this.#market = this.#follow(this.#market, wide(view, SEQUENCE_AT));
      this.findings.marketMessages += 1;
    }
  }

  /** When all was taken: what is left over is missing. */
  finish(): LogFindings {
    this.#endMatch();
    for (const { expected } of this.#accounts.values()) this.findings.lost += expected.length;
    return this.findings;
  }

  /** What a reader of all reports so far would testify. */
  get testimonies(): Testimony[] {
    return Array.from(this.#accounts, ([account, { sequence, chain }]) => [account, sequence, chain]);
  }

  #account(number: number): Account {
    const known = this.#accounts.get(number);
    if (known !== undefined) return known;
    const account: Account = { sequence: 0, chain: 0, lastId: 0, expected: [] };
    this.#accounts.set(number, account);
    return account;
  }

  /** The number that follows `last` is `last` + 1. */
  #follow(last: number, next: number): number {
    if (next <= last) this.findings.doubled += 1;
    else this.findings.holes += next - last - 1;
    return Math.max(last, next);
  }

  #report(view: DataView): void {
    const { findings } = this;
    findings.reports += 1;
    this.#ordinal = this.#follow(this.#ordinal, wide(view, KEPT.ordinal.offset));
    const kind = view.getUint8(REPORT.execType.offset);
    if (kind === EXEC_REJECTED) {
      findings.rejected += 1;
      return;
    }
    const account = this.#account(view.getUint32(REPORT.account.offset, true));
    account.sequence = this.#follow(account.sequence, wide(view, REPORT.sequence.offset));
    account.chain = chained(account.chain, view);
    if (kind === EXEC_ACCEPTED || kind === EXEC_REPLACED) {
      const id = wide(view, REPORT.clientOrderId.offset);
      if (id <= account.lastId) findings.doubled += 1;
      account.lastId = id;
      if (kind === EXEC_ACCEPTED) findings.accepted += 1;
    }
    if (kind === EXEC_FILL) this.#fill(wide(view, REPORT.reference.offset));
    this.#compare(account);
  }

  #fill(match: number): void {
    if (match === this.#match.id) {
      this.#match.reports += 1;
      return;
    }
    this.#endMatch();
    this.findings.executions += 1;
    this.#match = { id: match, reports: 1 };
  }

  #endMatch(): void {
    this.findings.holes += Math.max(0, 2 - this.#match.reports);
    this.findings.doubled += Math.max(0, this.#match.reports - 2);
  }

  #compare({ expected, sequence, chain }: Account): void {
    while (expected.length > 0 && expected[0]![1] <= sequence) {
      const [, at, testified] = expected.shift()!;
      this.findings.compared += 1;
      if (at !== sequence || testified !== chain) this.findings.lost += 1;
    }
  }
}

async function readAll(log: string, take: (batch: Batch) => void): Promise<void> {
  await using reader = LogReader.open(log, { from: 'oldest' });
  for (let batch = reader.poll(BATCH); batch.length > 0; batch = reader.poll(BATCH)) take(batch);
}

/** What a reader of all reports in the folder `data` would testify. */
export async function testimoniesOf(data: string): Promise<Testimony[]> {
  const reading = new Audit([]);
  await readAll(`${data}/reports`, (batch) => reading.reports(batch));
  return reading.testimonies;
}

/** Reads the logs in the folder `data`. */
export async function audit(data: string, testimonies: readonly Testimony[]): Promise<LogFindings> {
  const reading = new Audit(testimonies);
  await readAll(`${data}/reports`, (batch) => reading.reports(batch));
  await readAll(`${data}/market`, (batch) => reading.market(batch));
  return reading.finish();
}
