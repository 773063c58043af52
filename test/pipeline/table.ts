/** The table as people and pipes see it, and the verdict as scripts do. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Screen } from '../../sdk/crew/canvas.ts';
import { Latency } from '../../sdk/crew/latency.ts';
import type { LogFindings } from '../../sdk/pipeline/audit.ts';
import type { Findings } from '../../sdk/pipeline/proof.ts';
import type { Totals } from '../../sdk/pipeline/state.ts';
import { type Picture, Table } from '../../sdk/pipeline/table.ts';
import { isGood, type Outcome, toJson, toText } from '../../sdk/pipeline/verdict.ts';

const test = suite('pipeline table');

class Paper implements Screen {
  text = '';

  constructor(
    readonly isTTY: boolean,
    readonly columns = 120,
  ) {}

  write(text: string): void {
    this.text += text;
  }
}

function latencyOf(...microseconds: number[]): Latency {
  const latency = new Latency();
  for (const value of microseconds) latency.add(value);
  return latency;
}

function picture(seconds: number): Picture {
  const latency = latencyOf(40, 50, 1200);
  return {
    seconds,
    channels: [{ name: 'orders', kind: 'stream', perSecond: 199_876.4, depth: 12, written: 1_234_567 }],
    consumers: [
      { name: 'view', language: 'Node', channel: 'orders', perSecond: 5, lost: 0, latency, read: 3, isReady: true },
      { name: 'sink', language: 'Rust', channel: 'signals', perSecond: 5, lost: 0, latency, read: 3, isReady: false },
    ],
    recorded: [
      { name: 'orders', state: 'recording', lag: 17, durable: 2_345_678, groupLag: undefined },
      { name: 'signals', state: 'DISK_FULL', lag: 2, durable: 321, groupLag: 5 },
    ],
    wal: { latency: latencyOf(900, 1500), perSecond: 31.2 },
    top: {
      report: 'top',
      bid: 5_853_300,
      bidSize: 18,
      ask: 5_859_100,
      askSize: 100,
      live: 9,
      unknown: 2,
      run: 0,
      lap: 3,
    },
    signal: undefined,
    repairs: 4,
    abandoned: 3,
    redelivered: 2,
    kills: 1,
    stallMs: 6.54,
  };
}

test('a terminal gets a table that is drawn over itself', () => {
  const paper = new Paper(true);
  const table = new Table(paper, { NO_COLOR: '1' });
  table.draw(picture(1));
  const height = paper.text.split('\n').length - 1;
  for (const part of [
    '199,876',
    '1.23 M',
    '1,200',
    '18 × 585.33 | 585.91 × 100',
    'restarting',
    '2.35 M',
    'DISK_FULL',
    '31 acks/s',
    'longest stall 6.5 ms',
  ]) {
    assert.match(paper.text, part);
  }
  paper.text = '';
  table.draw(picture(2));
  assert.ok(paper.text.startsWith(`\u001b[${height}F\u001b[J`));
  paper.text = '';
  table.say('[view] something');
  assert.ok(paper.text.endsWith('[view] something\n'));
  paper.text = '';
  table.end();
  table.draw(picture(3));
  assert.not.match(paper.text, 'F\u001b');
});

test('colours only on a terminal and only without NO_COLOR', () => {
  for (const [isTTY, environment, isColoured] of [
    [true, {}, true],
    [true, { NO_COLOR: '1' }, false],
    [false, {}, false],
  ] as const) {
    const paper = new Paper(isTTY);
    new Table(paper, environment).draw(picture(1));
    assert.is(paper.text.includes('\u001b[2m'), isColoured);
  }
});

test('no line is wider than the terminal', () => {
  for (const columns of [1, 40, 80, 81]) {
    const paper = new Paper(true, columns);
    new Table(paper, { NO_COLOR: '1' }).draw(picture(1));
    for (const line of paper.text.split('\n')) assert.ok(line.length < Math.max(21, columns), `${columns}: ${line}`);
    if (columns > 80) assert.match(paper.text, /lost$/m);
  }
});

test('a pipe gets one plain line a second', () => {
  const paper = new Paper(false);
  const table = new Table(paper, {});
  for (const seconds of [0.2, 1.1, 1.4, 1.9, 2.1]) table.draw(picture(seconds));
  const lines = paper.text.trimEnd().split('\n');
  assert.is(lines.length, 2);
  assert.is(
    lines[0],
    '1 s: orders 199,876/s, view p50 50 us p99 1,184 us, sink p50 50 us p99 1,184 us, ' +
      'wal 31 acks/s p50 896 us p99 1,472 us, orders lag 17, signals lag 2, repairs 4, kills 1',
  );
});

const NOTHING: Findings = {
  written: 10,
  read: 10,
  lost: 0,
  unaccounted: 0,
  torn: 0,
  duplicates: 0,
  signalsWritten: 2,
  signalsTaken: 2,
  signalsRedelivered: 1,
};

const KEPT: LogFindings = {
  records: 10,
  tombstones: 2,
  missing: 0,
  doubled: 0,
  torn: 0,
  holes: 0,
  unread: 0,
  invented: 0,
  acknowledged: 4,
  acknowledgedFound: 4,
  signals: 2,
  signalsUntaken: 0,
  signalsDoubled: 0,
  differing: 0,
};

const TOTALS: Totals = {
  records: 10,
  trades: 3,
  volume: 300,
  digest: 0xabc,
  book: { hash: 0xdef, bid: 5_853_300, bid_size: 18, ask: 5_859_100, ask_size: 100, live: 9 },
};

function outcome(change: Partial<Outcome>): Outcome {
  return {
    seconds: 2.00049,
    findings: NOTHING,
    consumers: [{ name: 'view', language: 'Node', channel: 'orders', starts: 2, latency: latencyOf(5, 9), read: 2 }],
    latency: latencyOf(5, 9),
    repairs: 1,
    abandoned: 0,
    comparedBlocks: 3,
    longestStallMs: 1.23456,
    kills: [{ at_s: 1.5, process: 'view', pid: 9, signal: 'SIGKILL', back_ms: 300 }],
    isChaos: true,
    log: KEPT,
    wal: latencyOf(60),
    totals: TOTALS,
    isResumed: false,
    failure: undefined,
    ...change,
  };
}

test('the JSON has what scripts ask for', () => {
  const line = toJson(outcome({}));
  assert.not.match(line, '\n');
  const parsed = JSON.parse(line) as Record<string, unknown>;
  const { ok, seconds, written, read, lost, unaccounted, torn, duplicates, repairs, longest_stall_ms } = parsed;
  assert.equal([ok, seconds, written, read, lost, unaccounted, torn], [true, 2, 10, 10, 0, 0, 0]);
  assert.equal([duplicates, repairs, longest_stall_ms], [0, 1, 1.235]);
  assert.equal([parsed.p50_us, parsed.p99_us], [5, 9]);
  assert.equal(parsed.kills, outcome({}).kills);
  assert.equal(parsed.wal, { acknowledged: 4, found: 4, p50_us: 60, p99_us: 60, max_us: 60 });
  assert.equal(parsed.totals, { ...TOTALS, signals: { events: 10, trades: 3, volume: 300 } });
  assert.is((parsed.log as { tombstones: number }).tombstones, 2);
});

test('what was not proved is not good, and is said', () => {
  assert.ok(isGood(outcome({})));
  assert.match(toText(outcome({})), /^proved: 10 records/);
  const wrongs: Partial<Outcome>[] = [
    { failure: 'sink cannot be started' },
    { findings: { ...NOTHING, unaccounted: 1 } },
    { findings: { ...NOTHING, signalsTaken: 3 } },
    { log: undefined },
    { log: { ...KEPT, acknowledgedFound: 3 } },
    ...(['missing', 'doubled', 'torn', 'holes', 'unread', 'invented', 'differing'] as const).map((name) => ({
      log: { ...KEPT, [name]: 1 },
    })),
    { log: { ...KEPT, signalsUntaken: 1 } },
    { log: { ...KEPT, signalsDoubled: 1 } },
  ];
  for (const wrong of wrongs) {
    assert.not.ok(isGood(outcome(wrong)));
    assert.match(toText(outcome(wrong)), /^NOT PROVED/);
    assert.is((JSON.parse(toJson(outcome(wrong))) as { ok: boolean }).ok, false);
  }
});

test.run();
