/**
 * Bars: what was to be reached, as ratios between samples of the same turn; the median turn counts.
 */

import type { Pair, Sample } from './sampling.ts';
import type { Samples } from './turns.ts';

/** One figure against its bar. */
export interface Verdict {
  figure: string;
  value: string;
  bar: string;
  /** The ratio that is compared, and what it is compared with. */
  ratio: number;
  limit: number;
  isMet: boolean;
}

type Measured = { ratio: number; value: string };

interface Bar {
  figure: string;
  bar: string;
  limit: number;
  /** Whether the ratio must not be above the limit, or not below it. */
  isCeiling: boolean;
  measure(samples: Samples): Measured | undefined;
}

/** The middle one. */
export function median(values: number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle - 1)]!) / 2;
}

const ns = (value: number) => (value < 10 ? `${value.toFixed(1)} ns` : `${Math.round(value)} ns`);
const ms = (value: number) => `${(value / 1e6).toFixed(2)} ms`;
const rate = (value: number) => `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)} M/s`;

/** Messages a second of a ring: its median stretch, which a moment's interruption does not change. */
const speed = (sample: Sample) => 1e9 / sample.ns.p50;
const overall = (sample: Sample) => sample.per_second ?? Number.NaN;

function ratioTo(name: string, other: string, of: (sample: Sample) => number, tell = rate) {
  return (samples: Samples): Measured | undefined => {
    const [ours, theirs] = [samples.get(name), samples.get(other)];
    if (ours === undefined || theirs === undefined) return undefined;
    const turns = Math.min(ours.length, theirs.length);
    const ratios = Array.from({ length: turns }, (_, turn) => of(ours[turn]!) / of(theirs[turn]!));
    return { ratio: median(ratios), value: `${tell(median(ours.map(of)))}, ${tell(median(theirs.map(of)))}` };
  };
}

/** The median over all turns of all runs of a call, each turn beside its own floor. */
function callRatio(name: string, correct: (ratio: number, sample: Sample) => number = (ratio) => ratio) {
  return (samples: Samples): Measured | undefined => {
    const runs = samples.get(name);
    if (runs === undefined) return undefined;
    const ratio = median(runs.map((sample) => correct(median(sample.ratios!), sample)));
    const own = median(runs.map((sample) => sample.ns.p50));
    const floor = median(runs.map((sample) => sample.floor_ns!.p50));
    return { ratio, value: `${ns(own)}, ${ns(floor)}` };
  };
}

/** The median over all turns of all runs of how many times faster it is than the floor beside it. */
function speedUp(name: string) {
  const measure = callRatio(name);
  return (samples: Samples): Measured | undefined => {
    const measured = measure(samples);
    return measured && { ...measured, ratio: 1 / measured.ratio };
  };
}

function roundTrip(part: 'p50' | 'p99') {
  return (samples: Samples): Measured | undefined => {
    const turns = samples.get('round-trip 64 queue');
    if (turns === undefined) return undefined;
    const floorOf = ({ around }: Sample) => (part === 'p50' ? around!.p50 + 2 * around!.clockRead : around!.p99);
    const ratio = median(turns.map((turn) => turn.ns[part] / floorOf(turn)));
    return { ratio, value: `${ns(median(turns.map((turn) => turn.ns[part])))}, ${ns(median(turns.map(floorOf)))}` };
  };
}

function repair(held: string, part: 'p50' | 'max') {
  return (samples: Samples): Measured | undefined => {
    const taken = samples.get(`repair ${held}`)?.[0];
    if (taken === undefined) return undefined;
    return { ratio: taken.ns[part] / 1e6, value: ms(taken.ns[part]) };
  };
}

function idle(language: string) {
  return (samples: Samples): Measured | undefined => {
    const part = samples.get(`idle ${language}`)?.[0]?.cpu_part;
    return part === undefined ? undefined : { ratio: part * 100, value: `${(part * 100).toFixed(2)} % CPU` };
  };
}

/** The median over turns of a ratio between two numbers of the same sample. */
function within(name: string, parts: (sample: Sample) => [number, number], tell: (value: number) => string) {
  return (samples: Samples): Measured | undefined => {
    const turns = samples.get(name);
    if (turns === undefined) return undefined;
    const pairs = turns.map(parts);
    const value = [0, 1].map((index) => tell(median(pairs.map((pair) => pair[index]!)))).join(', ');
    return { ratio: median(pairs.map(([own, floor]) => own / floor)), value };
  };
}

/** The median over turns of one number. */
function plain(name: string, of: (sample: Sample) => number, tell: (value: number) => string) {
  return (samples: Samples): Measured | undefined => {
    const turns = samples.get(name);
    if (turns === undefined) return undefined;
    const ratio = median(turns.map(of));
    return { ratio, value: tell(ratio) };
  };
}

/** Where the disk is fast enough for the figure to be one of the log. */
function writersOnFastDisk(samples: Samples): Measured | undefined {
  const floors = samples.get('durable 256 x1 log')?.map((sample) => sample.floor_ns!.p50);
  if (floors === undefined || median(floors) > 0.3e6) return undefined;
  return plain(
    'writers 8 x 256',
    (sample) => overall(sample) / 1e6,
    (value) => `${value.toFixed(2)} M/s`,
  )(samples);
}

function atMost(figure: string, limit: number, bar: string, measure: Bar['measure']): Bar {
  return { figure, bar: `≤ ${bar}`, limit, isCeiling: true, measure };
}

function atLeast(figure: string, limit: number, other: string, measure: Bar['measure']): Bar {
  return { figure, bar: `≥ ${limit} × ${other}`, limit, isCeiling: false, measure };
}

function least(figure: string, limit: number, bar: string, measure: Bar['measure']): Bar {
  return { figure, bar: `≥ ${bar}`, limit, isCeiling: false, measure };
}

const LOG_BARS: Bar[] = [
  atMost(
    'log, one record at a time, wal: p50',
    1.5,
    '1.5 × write + fdatasync',
    within('durable 256 x1 log', ({ ns, floor_ns }) => [ns.p50, floor_ns!.p50], ms),
  ),
  atLeast('log, 8 writers × 256 outstanding', 0.7, 'pwrite + fdatasync of the same sizes', (samples) => {
    const turns = samples.get('writers 8 x 256');
    if (turns === undefined) return undefined;
    return { ratio: median(turns.map((turn) => median(turn.part_of_plain!))), value: rate(median(turns.map(overall))) };
  }),
  least('log, 8 writers × 256 outstanding, floor ≤ 0.3 ms', 0.5, '0.5 M/s', writersOnFastDisk),
  least(
    'recorder, 64 B, prepared segments',
    5,
    '5 M/s',
    plain(
      'recorder 64, prepared',
      (sample) => overall(sample) / 1e6,
      (value) => `${value.toFixed(2)} M/s`,
    ),
  ),
  atLeast(
    'recorder, 64 B, sustained',
    0.6,
    'sequential writes / 208 B',
    within(
      'recorder 64, sustained',
      (sample) => [sample.durable_per_second!, sample.disk_bytes_per_second! / 208],
      rate,
    ),
  ),
  least(
    'replay, 256 B, one core',
    1.5,
    '1.5 GB/s',
    plain(
      'replay 256',
      (sample) => sample.bytes_per_second! / 1e9,
      (value) => `${value.toFixed(2)} GB/s`,
    ),
  ),
  atMost(
    'replay: allocations a record',
    0.001,
    '0.001',
    plain(
      'replay 256',
      (sample) => sample.allocations! / sample.records!,
      (value) => value.toFixed(5),
    ),
  ),
  atMost(
    'recovery of 1 GB, warm: max',
    0.2,
    '0.2 s',
    plain(
      'recovery, 1 GB, warm',
      (sample) => sample.ns.max / 1e9,
      (value) => `${value.toFixed(3)} s`,
    ),
  ),
  atMost(
    'recovery of 1 GB, cold: p50',
    1.3,
    '1.3 × reading its last segment',
    within('recovery, 1 GB, cold', ({ ns, floor_ns }) => [ns.p50, floor_ns!.p50], ms),
  ),
  atMost(
    'write at memory while the disk stalls: p99.9',
    1.25,
    '1.25 × the worse of two calm windows',
    within(
      'recorder 64, disk stalls',
      (sample) => [sample.ns.p999, Math.max(sample.calm_ns!.p999, sample.calm_again_ns!.p999)],
      ns,
    ),
  ),
  atMost(
    'write at memory while the disk stalls: refused',
    0,
    '0',
    plain(
      'recorder 64, disk stalls',
      (sample) => sample.refused!,
      (value) => `${value}`,
    ),
  ),
];

const WORST = ['far prices', 'sweep 100 x 1', 'id table moves', 'chosen ids', 'ping-pong'];

const BOOK_BARS: Bar[] = [
  atMost(
    'book, Nasdaq-like flow, a command: mean',
    60,
    '60 ns',
    plain('book nasdaq', (sample) => sample.mean_ns!, ns),
  ),
  atMost(
    'book, Nasdaq-like flow, a command: p99',
    250,
    '250 ns',
    plain('book nasdaq', (sample) => sample.ns.p99, ns),
  ),
  atLeast('book, Nasdaq-like flow', 20, 'nodejs-order-book', ratioTo('book nasdaq', 'book nodejs-order-book', overall)),
  atMost(
    'book, cancel-heavy in 24 prices, a command: mean',
    20,
    '20 ns',
    plain('book cancel-heavy', (sample) => sample.mean_ns!, ns),
  ),
  ...WORST.map((name) =>
    atMost(
      `book, ${name}: the longest command`,
      50,
      '50 us',
      plain(
        `book ${name}`,
        (sample) => sample.worst_ns! / 1e3,
        (value) => `${value.toFixed(1)} us`,
      ),
    ),
  ),
];

/** The median over slices of one quantile of a way, beside another way's in the slice beside it. */
function beside(pairs: Pair[], part: 'p50' | 'p99'): Measured {
  const at = part === 'p50' ? 0 : 1;
  const value = [at, at + 2].map((index) => us(median(pairs.map((pair) => pair[index]!)))).join(', ');
  return { ratio: median(pairs.map((pair) => pair[at]! / pair[at + 2]!)), value };
}

/** The same over all slices of all turns, beside the plain way. */
function besidePlain(name: string, part: 'p50' | 'p99') {
  return (samples: Samples): Measured | undefined => {
    const pairs = samples.get(name)?.flatMap((sample) => sample.pairs!);
    return pairs && beside(pairs, part);
  };
}

/** From ring to ring: the bar is against the same path without an engine, and a loop that keeps nothing is told beside it. */
function besideJournal(name: string, part: 'p50' | 'p99') {
  return (samples: Samples): Measured | undefined => {
    const measured = besidePlain(name, part)(samples);
    const bare = samples.get(name)?.flatMap((sample) => sample.bare_pairs ?? []) ?? [];
    if (measured === undefined || bare.length === 0) return measured;
    const copies = median(bare.map((pair) => pair[part === 'p50' ? 2 : 3]));
    return { ...measured, value: `${measured.value}; copying ${us(copies)}, ${beside(bare, part).ratio.toFixed(1)} ×` };
  };
}

const us = (value: number) => `${(value / 1e3).toFixed(2)} us`;
const RATES = [100, 250, 500];

const EXCHANGE_BARS: Bar[] = [
  atMost('ring in → report out, 1 M/s, journal in the page cache: p50', 1, '2 us + half the floor', (samples) =>
    within('ring written', ({ ns, around }) => [ns.p50, 2_000 + around!.p50 / 2], us)(samples),
  ),
  atMost(
    'ring in → report out, 1 M/s, journal in the page cache: p99',
    1.5,
    '1.5 × the same path, journaled, without an engine (aim: 50 us)',
    besideJournal('ring written', 'p99'),
  ),
  atMost(
    'ring in → report out: turns that took memory, but for new segments',
    0,
    '0',
    plain(
      'ring written',
      (sample) => Math.max(0, sample.allocating_turns! - sample.segments_begun!),
      (value) => `${value}`,
    ),
  ),
  ...RATES.flatMap((thousand) => [
    atMost(
      `TCP in → UDP out, ${thousand} k/s: p50`,
      2,
      '2 × a bare echo',
      besidePlain(`sockets ${thousand} k/s`, 'p50'),
    ),
    atMost(
      `TCP in → UDP out, ${thousand} k/s: p99`,
      1.5,
      '1.5 × a bare echo',
      besidePlain(`sockets ${thousand} k/s`, 'p99'),
    ),
  ]),
  atMost(
    'ring in → report out, 100 k/s in bursts, while 1 M orders are snapshot: p99.9',
    1.2,
    '1.2 × without',
    within('late', (sample) => [sample.ns.p999, sample.calm_ns!.p999], us),
  ),
  least(
    'TCP in → UDP out, 500 k/s: sustained',
    0.99,
    '0.99 × asked',
    within('sockets 500 k/s', (sample) => [overall(sample), sample.asked_per_second!], rate),
  ),
  atMost(
    'TCP in → UDP out, 500 k/s: lost',
    0,
    '0',
    plain(
      'sockets 500 k/s',
      (sample) => sample.lost!,
      (value) => `${value}`,
    ),
  ),
  least(
    'TCP in → UDP out, 500 k/s: messages a datagram',
    16,
    '16',
    plain(
      'sockets 500 k/s',
      (sample) => sample.per_datagram!,
      (value) => value.toFixed(1),
    ),
  ),
];

const KERNEL_BARS: Bar[] = [
  atLeast(
    'kernel, one comparison, a record',
    1,
    'the loop in JavaScript',
    speedUp('kernel filter, one comparison, in place'),
  ),
  atLeast(
    'kernel, three fields, a record',
    1.3,
    'the loop in JavaScript',
    speedUp('kernel filter, three fields, in place'),
  ),
];

/** Whole processes: the median, in milliseconds; one in twenty is told beside it. */
function cold(backend: string) {
  return (samples: Samples): Measured | undefined => {
    const [taken] = samples.get(`cold ${backend}`) ?? [];
    if (taken === undefined) return undefined;
    const value = `${ms(taken.ns.p50)}, p95 ${ms(taken.p95_ns!)}, Node ${ms(taken.floor_ns!.p50)}`;
    return { ratio: taken.ns.p50 / 1e6, value };
  };
}

const WASM_BARS: Bar[] = [
  atLeast(
    'ring between two workers, 64 B, batches of 32: WASM',
    0.5,
    'native, the same loop',
    ratioTo('threads 64 x32 wasm', 'threads 64 x32 native', speed),
  ),
  atMost(
    'book in WASM, Nasdaq-like flow, a command in batches of 64: p50',
    2,
    '2 × native, the same program',
    ratioTo('flow wasm', 'flow native', ({ ns }) => ns.p50, ns),
  ),
  ...['native', 'wasm'].map((backend) =>
    atMost(`cold start, ${backend}: p50`, 40, "40 ms beyond Node's own start", cold(backend)),
  ),
];

const BARS: Bar[] = [
  atMost('round trip, 64 B, queue: p50', 1.3, '1.3 × (floor + 2 clock reads)', roundTrip('p50')),
  atMost('round trip, 64 B, queue: p99', 2.5, "2.5 × the floor's p99", roundTrip('p99')),
  atLeast('one-way, 64 B, queue', 3, 'ArrayQueue', ratioTo('one-way 64 x32 queue', 'one-way 64 x1 array-queue', speed)),
  atLeast(
    'one-way, 64 B, exclusive stream',
    1.2,
    'rtrb',
    ratioTo('one-way 64 x32 exclusive-stream', 'one-way 64 x1 rtrb', speed),
  ),
  atLeast(
    'one-way, 1,024 B, queue, poll',
    1.2,
    'rtrb',
    ratioTo('one-way 1024 x32 queue', 'one-way 1024 x32 rtrb', speed),
  ),
  atLeast(
    'one-way, 1,024 B, exclusive stream, poll',
    1.2,
    'rtrb',
    ratioTo('one-way 1024 x32 exclusive-stream', 'one-way 1024 x32 rtrb', speed),
  ),
  atLeast(
    'one-way, 1,024 B, exclusive queue, take',
    1.8,
    'rtrb',
    ratioTo('one-way 1024 x32 exclusive-take', 'one-way 1024 x32 rtrb', speed),
  ),
  atMost(
    'Node write, 64 B',
    2.5,
    '2.5 × an empty Node-API call + a clock read',
    callRatio('call node write', (ratio, { floor_ns, around }) => ratio - around!.clockRead / floor_ns!.p50),
  ),
  atMost('Node writeBatch, 32 × 64 B, a message', 3, '3 × Uint8Array.set', callRatio('call node writeBatch')),
  atMost('Node poll(256), a message', 3, '3 × subarray', callRatio('call node poll')),
  atMost('Node for await, a message', 4, '4 × subarray', callRatio('call node for await')),
  atMost('Node idle in for await', 0.5, '0.5 % CPU', idle('node')),
  atMost('Node wake-up: p50', 2, '2 × a bare futex-to-event-loop wake', (samples) => {
    const [ours, bare] = [samples.get('wake node'), samples.get('wake bare event loop')];
    if (ours === undefined || bare === undefined) return undefined;
    const ratios = ours.map((sample, turn) => sample.ns.p50 / bare[turn]!.ns.p50);
    const [own, floor] = [ours, bare].map((taken) => median(taken.map((sample) => sample.ns.p50)));
    return { ratio: median(ratios), value: `${ns(own!)}, ${ns(floor!)}` };
  }),
  atMost('Python write, 64 B', 1.5, '1.5 × an empty ctypes call', callRatio('call python write')),
  atMost('Python write_batch, 4,096 × 64 B, a message', 5, '5 × numpy.copyto', callRatio('call python write_batch')),
  atMost('Python poll + as_numpy, a message', 7, '7 × numpy.copyto', callRatio('call python poll + as_numpy')),
  ...['zeromq', 'multiprocessing.Queue'].flatMap((rival) =>
    ['node', 'python'].map((language) =>
      atLeast(
        `${language}–${language}, 64 B, one-way, batches`,
        20,
        rival,
        ratioTo(`one-way 64 x256 ${language}-${language}`, `one-way 64 ${rival}`, overall),
      ),
    ),
  ),
  atMost('repair, hole before a waiting reader: p50', 3, '3 ms', repair('hole', 'p50')),
  atMost('repair, hole before a waiting reader: max', 25, '25 ms', repair('hole', 'max')),
  atMost('repair, dead taker, idle heir: p50', 8, '8 ms', repair('taken', 'p50')),
  atMost('repair, dead taker, idle heir: max', 20, '20 ms', repair('taken', 'max')),
  atMost('repair, dead taker, busy heir: max', 30, '30 ms', repair('taken-busy', 'max')),
  atMost('Rust idle, asleep', 0.2, '0.2 % CPU', idle('rust')),
];

/** The bars that the samples allow to judge. */
export function judge(samples: Samples): Verdict[] {
  return [...BARS, ...LOG_BARS, ...BOOK_BARS, ...EXCHANGE_BARS, ...KERNEL_BARS, ...WASM_BARS].flatMap(
    ({ figure, bar, limit, isCeiling, measure }) => {
      const measured = measure(samples);
      if (measured === undefined || !Number.isFinite(measured.ratio)) return [];
      const { ratio, value } = measured;
      return [{ figure, value, bar, ratio, limit, isMet: isCeiling ? ratio <= limit : ratio >= limit }];
    },
  );
}
