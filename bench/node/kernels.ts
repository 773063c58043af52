/**
 * Kernels: what a filter costs for a record, beside the same loop in JavaScript over a DataView of the same memory.
 *
 * Sixteen batches of 256 records of 64 bytes lie as a consumer's native call leaves them, each behind its header of 40
 * bytes. `in place` is the kernel's own call, budget on, and the loop; the loop is written in two ways, with a branch and
 * without, and the faster one of the turn is what the kernel is judged by. `piped` is a channel's messages through
 * `consumer.pipe(kernel)`, and polled, with a loop that looks at their headers as the pipe does. All give the same
 * answers before they are timed.
 *
 *     node kernels.ts TURNS
 */

import { rmSync } from 'node:fs';
import { instantiate } from '@assemblyscript/loader';
import { bool, bytes, f64, type Kernel, kernel, Region, struct, u32, u64 } from 'tailrace';
import { quantiles } from './spread.ts';

const BATCHES = 16;
const RECORDS = 256;
const HEADER_BYTES = 40;
const PAGE_BYTES = 65_536;
const BUDGET = 10_000_000;
/** The engine, as far as it is used here. */
const engine = globalThis as unknown as {
  WebAssembly: { Memory: new (limits: { initial: number; maximum: number }) => { buffer: ArrayBuffer } };
};
const turns = Number(process.argv[2]);

const Trade = struct({ price: f64, quantity: u32, isBid: bool, fee: f64, id: u64, rest: bytes(32) }, 'Trade');
const STRIDE = HEADER_BYTES + Trade.size;

const PREDICATES = {
  'one comparison': 'trade.price > 180',
  'three fields': 'trade.price * f64(trade.quantity) - trade.fee > 120000',
} as const;
type Predicate = keyof typeof PREDICATES;

/** The same numbers in every run: a tenth of the records is kept, more or less. */
let state = 1;
function roll(): number {
  state = (state * 48_271) % 0x7fff_ffff;
  return state / 0x7fff_ffff;
}

/** The loops in JavaScript: with a branch, without one, and over messages whose headers are looked at. */
interface Loops {
  branch(pointer: number, count: number, stride: number, out: number): number;
  same(pointer: number, count: number, stride: number, out: number): number;
  whole(start: number, end: number, size: number, out: number): number;
}

function loops(predicate: Predicate, view: DataView, answers: Uint32Array): Loops {
  // Each predicate has loops of its own, or what the engine learns of one would slow the other down.
  const test =
    predicate === 'one comparison'
      ? 'view.getFloat64(pointer, true) > 180'
      : 'view.getFloat64(pointer, true) * view.getUint32(pointer + 8, true) - view.getFloat64(pointer + 16, true) > 120000';
  const make = (parameters: string, body: string) =>
    new Function('view', 'answers', `return (${parameters}) => { ${body} }`)(view, answers);
  const row = 'pointer, count, stride, out';
  return {
    branch: make(
      row,
      `let kept = 0; const first = out >>> 2;
       for (let index = 0; index < count; index += 1) {
         if (${test}) { answers[first + kept] = pointer; kept += 1; }
         pointer += stride;
       } return kept;`,
    ),
    same: make(
      row,
      `let kept = 0; const first = out >>> 2;
       for (let index = 0; index < count; index += 1) {
         answers[first + kept] = pointer;
         kept += ${test} ? 1 : 0;
         pointer += stride;
       } return kept;`,
    ),
    whole: make(
      'start, end, size, out',
      `let kept = 0; const first = out >>> 2;
       for (let at = start; at < end; ) {
         const length = view.getUint32(at + 20, true);
         if (length !== size) throw new Error('another length');
         const pointer = at + ${HEADER_BYTES};
         if (${test}) { answers[first + kept] = pointer; kept += 1; }
         at = pointer + ((length + 7) & ~7);
       } return kept;`,
    ),
  };
}

type Turn = { subject: number; floor: number };

function judge(what: string, kept: Turn[]): void {
  const told = kept.slice(Math.floor(kept.length / 4));
  const line = {
    subject: what,
    what: 'kernel',
    ns: quantiles(told.map(({ subject }) => subject)),
    floor: 'the same loop in JavaScript over a DataView',
    floor_ns: quantiles(told.map(({ floor }) => floor)),
    ratios: told.map(({ subject, floor }) => subject / floor),
  };
  console.log(JSON.stringify(line));
}

/** Nanoseconds for one record, over all batches. */
function timed(work: (batch: number) => number): number {
  const from = process.hrtime.bigint();
  for (let batch = 0; batch < BATCHES; batch += 1) work(batch);
  return Number(process.hrtime.bigint() - from) / (BATCHES * RECORDS);
}

function mustAgree(what: string, works: Record<string, (batch: number) => number>): void {
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const answers = Object.values(works).map((work) => work(batch));
    if (new Set(answers).size !== 1 || answers[0] === 0) throw new Error(`${what}: ${answers.join(', ')} were kept`);
  }
}

async function measure(region: Region, predicate: Predicate): Promise<void> {
  const source = `import { Trade } from 'tailrace/record';
    export function filter(trade: Trade): bool { return ${PREDICATES[predicate]}; }`;
  const filter = await kernel(source, { record: Trade });
  // The module by itself, over memory with all batches; they are copied there as the native call leaves them.
  const pages = 64;
  const memory = new engine.WebAssembly.Memory({ initial: pages, maximum: pages });
  const view = new DataView(memory.buffer);
  const answers = new Uint32Array(memory.buffer);
  const { instance } = await instantiate(filter.wasm, { env: { memory } });
  const { run, 'tailrace.budget': budget } = instance.exports as unknown as {
    run(pointer: number, count: number, stride: number, out: number): number;
    'tailrace.budget': { value: number };
  };
  const base = 24 * PAGE_BYTES;
  const out = (pages - 1) * PAGE_BYTES;
  const batchBytes = RECORDS * STRIDE;
  const messages = Array.from({ length: BATCHES * RECORDS }, () =>
    Trade.encode({
      price: roll() * 200,
      quantity: Math.floor(roll() * 1_000),
      fee: roll() * 1_000,
    }),
  );
  for (const [index, message] of messages.entries()) {
    new Uint8Array(memory.buffer).set(message, base + index * STRIDE + HEADER_BYTES);
  }
  const pointer = (batch: number) => base + batch * batchBytes + HEADER_BYTES;
  const { branch, same } = loops(predicate, view, answers);
  const works = {
    kernel: (batch: number) => {
      budget.value = BUDGET;
      return run(pointer(batch), RECORDS, STRIDE, out);
    },
    branch: (batch: number) => branch(pointer(batch), RECORDS, STRIDE, out),
    same: (batch: number) => same(pointer(batch), RECORDS, STRIDE, out),
  };
  mustAgree(predicate, works);
  const inPlace: Turn[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    const subject = timed(works.kernel);
    inPlace.push({ subject, floor: Math.min(timed(works.branch), timed(works.same)) });
  }
  judge(`filter, ${predicate}, in place`, inPlace);
  judge(`filter, ${predicate}, piped`, await piped(region, predicate, filter, messages));
}

/** A channel's messages through the kernel, and through a loop in JavaScript. */
async function piped(
  region: Region,
  predicate: Predicate,
  filter: Kernel<unknown>,
  messages: Uint8Array[],
): Promise<Turn[]> {
  using producer = region.openProducer('bench');
  using consumer = region.openConsumer('bench', { limit: RECORDS });
  using polling = region.openConsumer('bench', { limit: RECORDS, reuse: true });
  const answers = new Uint32Array(RECORDS);
  const some = messages.slice(0, RECORDS);
  const results = consumer.pipe(filter)[Symbol.asyncIterator]();
  let loop: Loops['whole'] | undefined;
  let view: DataView | undefined;
  const poll = () => {
    const { payload } = polling.poll(RECORDS).at(0)!;
    if (view?.buffer !== payload.buffer) {
      view = new DataView(payload.buffer);
      loop = loops(predicate, view, answers).whole;
    }
    const start = payload.byteOffset - HEADER_BYTES;
    return loop!(start, start + RECORDS * STRIDE, Trade.size, 0);
  };
  const times: Turn[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    if (producer.writeBatch(some) !== RECORDS) throw new Error('full');
    const from = process.hrtime.bigint();
    const kept = (await results.next()).value!.length;
    const between = process.hrtime.bigint();
    const looped = poll();
    const to = process.hrtime.bigint();
    if (kept !== looped) throw new Error(`${kept} were kept, and ${looped}`);
    times.push({ subject: Number(between - from) / RECORDS, floor: Number(to - between) / RECORDS });
  }
  await results.return();
  return times;
}

const path = `/dev/shm/bench-kernels-${process.pid}`;
const region = Region.create(path);
try {
  region.createChannel('bench', { kind: 'stream', capacity: 1_024 });
  for (const predicate of Object.keys(PREDICATES) as Predicate[]) await measure(region, predicate);
  const cpu = process.cpuUsage();
  console.log(JSON.stringify({ subject: 'kernels', what: 'cpu', cpu_seconds: (cpu.user + cpu.system) / 1e6 }));
} finally {
  region.close();
  rmSync(path, { force: true });
}
