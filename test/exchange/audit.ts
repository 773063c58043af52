/**
 * The audit finds what it is for: each fault is put into logs that are sound otherwise.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Audit, isKept, type LogFindings } from '../../sdk/exchange/job/audit.ts';
import { chained, type Testimony } from '../../sdk/exchange/job/chain.ts';
import {
  EXEC_ACCEPTED,
  EXEC_CANCELLED,
  EXEC_FILL,
  EXEC_REJECTED,
  encode,
  encodeAs,
  type Fields,
} from '../../sdk/wire.ts';

const test = suite('audit');

type Report = Partial<Fields<'ExecutionReport'>> & { execType: number; account: number };

/** Two accounts: orders, a trade between them, a rejection, a cancel. */
function story(): Report[] {
  return [
    { execType: EXEC_ACCEPTED, account: 1, sequence: 1n, clientOrderId: 1n, reference: 1n },
    { execType: EXEC_REJECTED, account: 1, sequence: 0n, clientOrderId: 1n, reason: 4 },
    { execType: EXEC_ACCEPTED, account: 2, sequence: 1n, clientOrderId: 7n, reference: 2n },
    { execType: EXEC_FILL, account: 1, sequence: 2n, clientOrderId: 1n, reference: 1n, quantity: 5n },
    { execType: EXEC_FILL, account: 2, sequence: 2n, clientOrderId: 7n, reference: 1n, quantity: 5n },
    { execType: EXEC_CANCELLED, account: 2, sequence: 3n, clientOrderId: 7n },
    { execType: EXEC_ACCEPTED, account: 1, sequence: 3n, clientOrderId: 2n, reference: 3n },
  ];
}

function bytesOf(report: Report): Uint8Array {
  return encode({ message: 'ExecutionReport', ...report });
}

/** The log of these reports. */
function logOf(reports: readonly Report[]): { payload: Uint8Array }[] {
  return reports.map((report, index) => {
    const ordinal = index + 1;
    return { payload: encodeAs('KeptReport', { report: bytesOf(report), commandSequence: ordinal, ordinal }) };
  });
}

/** What the two clients testify after all reports, and account 1 after its second. */
function testimonies(): Testimony[] {
  const given: Testimony[] = [];
  for (const account of [1, 2]) {
    let chain = 0;
    for (const report of story().filter((report) => report.account === account && report.sequence !== 0n)) {
      const bytes = bytesOf(report);
      chain = chained(chain, new DataView(bytes.buffer, bytes.byteOffset));
      if (report.sequence !== 1n) given.push([account, Number(report.sequence), chain]);
    }
  }
  return given;
}

function market(sequences: readonly number[]): { payload: Uint8Array }[] {
  return sequences.map((sequence) => ({ payload: encode({ message: 'Deleted', sequence, orderId: 1 }) }));
}

function found(reports: readonly { payload: Uint8Array }[], sequences = [1, 2, 3]): LogFindings {
  const audit = new Audit(testimonies());
  audit.reports(reports);
  audit.market(market(sequences));
  return audit.finish();
}

test('sound logs', () => {
  const findings = found(logOf(story()));
  assert.ok(isKept(findings), JSON.stringify(findings));
  const { reports, accepted, rejected, executions, marketMessages, compared } = findings;
  assert.equal([reports, accepted, rejected, executions, marketMessages, compared], [7, 3, 1, 1, 3, 4]);
});

test('a report that a client had and the log has otherwise', () => {
  const altered = story();
  altered[3] = { ...altered[3]!, quantity: 6n };
  assert.is(found(logOf(altered)).lost, 2, 'both testimonies of account 1 from there on');
});

test('reports that are missing at the end', () => {
  assert.is(found(logOf(story().slice(0, -1))).lost, 1);
});

test('an order that was accepted twice', () => {
  const twice = story();
  twice.push({ ...twice[6]!, sequence: 4n, reference: 4n });
  assert.is(found(logOf(twice)).doubled, 1);
});

test('a report that stands there twice', () => {
  const log = logOf(story());
  log.splice(4, 0, log[3]!);
  assert.ok(found(log).doubled >= 2, 'its ordinal and its sequence');
});

test('a report that is left out', () => {
  const log = logOf(story());
  log.splice(5, 1);
  assert.ok(found(log).holes >= 1);
});

test('a trade of which one side was not told', () => {
  const without = story().filter((report, index) => index !== 4 || report.account !== 2);
  without[4] = { ...without[4]!, sequence: 2n };
  assert.is(found(logOf(without)).holes, 1);
});

test('market messages that are left out, or stand there twice', () => {
  assert.is(found(logOf(story()), [1, 2, 4]).holes, 1);
  assert.is(found(logOf(story()), [1, 2, 2, 3]).doubled, 1);
});

test.run();
