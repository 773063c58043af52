/**
 * Limits: what a kernel may not do, whoever compiled it, and that nothing but the kernel ends.
 */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Kernel,
  KernelError,
  type KernelOptions,
  kernel,
  struct,
  TailraceError,
  u32,
  u64,
} from '../../sdk/index.ts';
import { customSection, withCustomSections } from '../../sdk/kernel/binary.ts';
import { below, dice } from '../dice.ts';
import { failureOf, Pair } from '../scratch.ts';

const limits = suite('kernel limits');

const Item = struct({ number: u64, kind: u32 }, 'Item');

function items(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, number) => Item.encode({ number: BigInt(number), kind: number % 7 }));
}

/** Bytes of items, one after the other. */
function row(count: number): Uint8Array {
  return Buffer.concat(items(count));
}

function filter(body: string, before = ''): string {
  return `import { Item } from 'tailrace/record';\n${before}\nexport function filter(item: Item): bool { ${body} }`;
}

function made(source: string, options: Omit<KernelOptions, 'record' | 'output'> = {}) {
  return kernel(source, { record: Item, name: 'test', ...options });
}

/** How a kernel ends over 100 items. */
async function end(source: string, options: Omit<KernelOptions, 'record' | 'output'> = {}): Promise<KernelError> {
  const kernel = await made(source, options);
  const error = await failureOf(() => kernel.apply(row(100)));
  assert.instance(error, KernelError, String(error));
  assert.is(kernel.counters.traps, 1);
  const again = await failureOf(() => kernel.apply(row(1)));
  assert.is(again.code, 'ERR_CLOSED');
  assert.is(again.cause, error);
  return error as KernelError;
}

/** A module that somebody else has compiled, with a memory of its own. */
async function foreign(source: string, ...words: string[]): Promise<Uint8Array> {
  const asc = await import('assemblyscript/asc');
  let module: Uint8Array | undefined;
  const { error, stderr } = await asc.main(['a.ts', '--outFile', 'a.wasm', '--runtime', 'stub', '-O3', ...words], {
    readFile: (name) => (name === 'a.ts' ? source : null),
    writeFile: (_, contents) => {
      module = contents as Uint8Array;
    },
    listFiles: () => [],
  });
  assert.is(error, null, stderr.toString());
  return Uint8Array.from(module!);
}

limits('a loop without an end is ended', async () => {
  const error = await end(filter('while (item.kind == 5) store<u32>(64, load<u32>(64) + 1); return true;'));
  assert.is(error.code, 'ERR_TIMED_OUT');
  assert.is(error.reason, 'budget');
  assert.is(error.record, 5);
  assert.match(error.message, /kernel "test" was ended at record 5 of the batch: .* 10000000 turns/);
});

limits('the budget is counted over loops, calls and returns', async () => {
  const source = filter(
    `let sum: u64 = 0;
     for (let i: u64 = 0; i < item.number; i++) { if (i > 90) return tail(i); sum += tail(i) ? 1 : 0; }
     return sum > 10;`,
    '@inline(never) function tail(n: u64): bool { let x: u64 = 0; for (let i: u64 = 0; i < n; i++) { x ^= load<u64>(<usize>(i & 63)); } return x != 1; }',
  ).replaceAll('@inline(never) ', '');
  // A program that counts the same turns: the entry of each function, and each time that a loop's head is passed.
  let least = 0;
  for (let number = 0; number < 100; number += 1) {
    for (let i = 0; i < number; i += 1) {
      least += i;
      if (i > 90) break;
    }
  }
  const kernel = await made(source);
  kernel.apply(row(100));
  const { turns } = kernel.counters;
  assert.ok(turns >= least, `${turns} turns, at least ${least}`);
  const exact = await made(source, { budget: turns });
  exact.apply(row(100));
  const error = await end(source, { budget: turns - 1 });
  assert.is(error.reason, 'budget');
  assert.is(error.record, 99);
});

limits('a budget is for one batch', async () => {
  const kernel = await made(filter('return item.kind == 1;'), { budget: 40 });
  for (let batch = 0; batch < 5; batch += 1) assert.is(kernel.apply(row(100)).length, 15);
  assert.is((await failureOf(() => kernel.apply(row(200)))).code, 'ERR_TIMED_OUT');
});

limits('copying and filling memory costs what it takes', async () => {
  const error = await end(filter('while (true) memory.fill(1024, 1, 500000);'));
  assert.is(error.reason, 'budget');
  assert.is((await end(filter('while (true) memory.copy(1024, 2048, 500000);'))).reason, 'budget');
});

limits('a function that calls itself without an end is ended', async () => {
  const error = await end(
    filter('return deep(item.kind) > 1;', 'function deep(n: u32): u32 { return deep(n + 1) + 1; }'),
  );
  assert.ok(error.reason === 'trap' || error.reason === 'budget', error.reason);
  assert.is(error.record, 0);
});

limits('a write behind the end of memory is ended, and what is before it is the kernel’s own', async () => {
  const error = await end(filter('if (item.number == 42) store<u32>(0x7fffffff, 1); return true;'));
  assert.is(error.reason, 'trap');
  assert.is(error.code, 'ERR_ARGUMENT');
  assert.is(error.record, 42);
  assert.match(error.message, /memory access out of bounds/);
  assert.match((await end(filter('return load<u32>(0xfffffff0) == 1;'))).message, /out of bounds/);
});

limits('allocation without an end is ended', async () => {
  const source = filter(
    'while (true) { const node = new Node(); node.next = last; last = node; }',
    'class Node { next: Node | null; } let last: Node | null = null;',
  );
  const error = await end(source, { memoryBytes: 200_000 });
  assert.is(error.reason, 'memory');
  assert.is(error.code, 'ERR_NO_SPACE');
  assert.is(error.record, 0);
});

limits('memory grows up to its limit, and never moves', async () => {
  const source = filter(
    'const before = memory.grow(1); if (before < 0) return false; store<u8>(<usize>before << 16, 7); return memory.size() == before + 1;',
  );
  const kernel = await made(source, { memoryBytes: 20 * 65_536 });
  const { buffer } = kernel.chunk;
  const { length } = kernel.apply(row(100));
  assert.ok(length >= 18 && length <= 20, `${length} pages`);
  assert.is(kernel.chunk.buffer, buffer);
  assert.ok(buffer.byteLength > 0);
});

limits('what it says is in the error', async () => {
  const error = await end(filter("assert(item.kind != 3, 'three'); return true;"));
  assert.is(error.reason, 'abort');
  assert.is(error.record, 3);
  assert.match(error.message, /three at kernel\.ts:3:\d+/);
  const division = await end(filter('return 7 / (item.kind - 2) == 1;'));
  assert.is(division.record, 2);
  assert.match(division.message, /divide by zero/);
});

limits('a kernel that ends while it starts is none', async () => {
  const start = 'let x: u32 = forever(); function forever(): u32 { while (true) store<u32>(64, 1); }';
  const error = (await failureOf(() => made(filter('return x == 1;', start)))) as KernelError;
  assert.instance(error, KernelError);
  assert.is(error.reason, 'trap');
  assert.match(error.message, /could not be started/);
});

limits('imports are refused', async () => {
  const source = filter('steal(); return true;', '@external("env", "steal") declare function steal(): void;');
  const error = await failureOf(() => made(source));
  assert.is(error.code, 'ERR_ARGUMENT');
  assert.match(error.message, /imports env\.steal/);
  for (const body of ['return Date.now() > 0;', "console.log('x'); return true;", 'return Math.random() > 0.5;']) {
    assert.match((await failureOf(() => made(filter(body)))).message, /imports /, body);
  }
});

const RUN = `export function run(pointer: usize, count: u32, stride: u32, out: usize): u32 {
  let kept: u32 = 0;
  for (let index: u32 = 0; index < count; index++) {
    if (load<u32>(pointer, 8) == 1) { store<u32>(out + (<usize>kept << 2), <u32>pointer); kept++; }
    pointer += stride;
  }
  return kept;
}`;

limits('a module of somebody else has the same limits', async () => {
  const kernel_ = await kernel(await foreign(RUN), { record: Item });
  assert.is(kernel_.apply(row(100)).length, 15);
  assert.ok(kernel_.counters.turns >= 100);
  const endless = RUN.replace('if (load', 'while (load<u32>(pointer, 8) == 3) store<u32>(64, 1);\n    if (load');
  const other = await kernel(await foreign(endless), { record: Item });
  const error = (await failureOf(() => other.apply(row(100)))) as KernelError;
  assert.is(error.reason, 'budget');
  assert.is(error.record, undefined);
  assert.match(
    (await failureOf(async () => kernel(await foreign('export function go(): void {}'), { record: Item }))).message,
    /no function run/,
  );
  const large = await foreign(RUN, '--initialMemory', '100');
  assert.match((await failureOf(() => kernel(large, { record: Item }))).message, /100 pages/);
  assert.is((await kernel(large, { record: Item, memoryBytes: 100 * 65_536 })).apply(row(7)).length, 1);
});

limits('an answer that makes no sense is refused', async () => {
  const many = await kernel(await foreign(RUN.replace('return kept', 'return count + 1')), { record: Item });
  const error = (await failureOf(() => many.apply(row(10)))) as KernelError;
  assert.is(error.reason, 'answer');
  assert.match(error.message, /kept 11 of 10/);
  for (const address of ['pointer + 1_000_000', '0', '<u32>-1', 'pointer + 1']) {
    const source = RUN.replace('<u32>pointer);', `<u32>(${address}));`);
    const kernel_ = await kernel(await foreign(source), { record: Item });
    using pair = new Pair();
    pair.producer.writeBatch(items(10));
    const results = kernel_.run(pair.consumer.poll());
    const wrong = (await failureOf(() => results.message(results.length - 1))) as KernelError;
    assert.is(wrong.reason, 'answer', address);
  }
});

limits('who says that its limits are in it is not believed', async () => {
  const honest = await made(filter('return item.kind == 1;'));
  const endless = await foreign(RUN.replace('if (load', 'while (true) store<u32>(64, 1);\n    if (load'));
  const sections = { 'tailrace.kernel': customSection(honest.wasm, 'tailrace.kernel')!, 'tailrace.plain': endless };
  const forged = await kernel(withCustomSections(honest.wasm, sections));
  assert.is(((await failureOf(() => forged.apply(row(10)))) as KernelError).reason, 'budget');
  const twice = customSection(honest.wasm, 'tailrace.plain')!;
  assert.is((await kernel(twice, { record: Item })).apply(row(100)).length, 15);
  const again = withCustomSections(honest.wasm, { 'tailrace.plain': honest.wasm });
  assert.match((await failureOf(() => kernel(again))).message, /limits already/);
});

limits('bytes that are no module are refused, and nothing ends', async () => {
  const valid = (await made(filter('let n: u32 = 0; for (let i: u32 = 0; i < item.kind; i++) n += i; return n == 3;')))
    .wasm;
  const roll = dice(Number(process.env.TAILRACE_KERNEL_SEED ?? 6));
  let refused = 0;
  for (let turn = 0; turn < 3_000; turn += 1) {
    const bytes = valid.slice();
    for (let changes = below(roll, 3) + 1; changes > 0; changes -= 1)
      bytes[below(roll, bytes.length)] = below(roll, 256);
    let kernel_: Kernel<unknown>;
    try {
      kernel_ = await kernel(bytes.subarray(0, below(roll, 8) === 0 ? below(roll, bytes.length) : bytes.length), {
        record: Item,
        budget: 10_000,
      });
      kernel_.apply(row(20)).toBytes();
    } catch (error) {
      assert.instance(error, TailraceError, String((error as Error).stack));
      refused += 1;
    }
  }
  assert.ok(refused > 300, `${refused} refused`);
});

/** Runs a program that cannot load packages of this name. */
function without(name: string, program: string, ...words: string[]) {
  const refuse = `export async function resolve(name, context, next) {
    if (name.startsWith(${JSON.stringify(name)})) throw new Error(name + ' is not here');
    return next(name, context);
  }`;
  const url = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
  const hook = url(`import { register } from 'node:module'; register(${JSON.stringify(url(refuse))});`);
  const options = ['--import', import.meta.resolve('tsx'), '--import', hook, '--input-type=module', '--eval', program];
  return spawnSync(process.execPath, [...options, ...words], { encoding: 'utf8', timeout: 60_000 });
}

limits('runs without a compiler once it is built', async () => {
  const { wasm } = await made(filter('return item.kind == 1;'));
  const again = await kernel(wasm);
  assert.is(again.name, 'test');
  assert.equal(JSON.stringify(again.record), JSON.stringify(Item));
  assert.is(again.apply(row(100)).length, 15);
  assert.is(Buffer.compare(again.wasm, wasm), 0);
  const index = JSON.stringify(new URL('../../sdk/index.ts', import.meta.url).href);
  const program = `
    const { kernel, struct, u32 } = await import(${index});
    const [wasm, records] = process.argv.slice(1).map((text) => Buffer.from(text, 'base64'));
    console.log((await kernel(wasm)).apply(records).length);
    console.log(await kernel('', { record: struct({ a: u32 }) }).catch(({ code, message }) => code + ' ' + message));
  `;
  const words = [wasm, row(100)].map((bytes) => Buffer.from(bytes).toString('base64'));
  const { stdout, stderr } = without('assemblyscript', program, ...words);
  assert.match(stdout, /^15\nERR_UNSUPPORTED compiling a kernel needs the npm package assemblyscript/, stderr);
  const failed = without('@assemblyscript/loader', program, ...words);
  assert.match(failed.stderr, /kernels need the npm package @assemblyscript\/loader/);
});

limits.run();
