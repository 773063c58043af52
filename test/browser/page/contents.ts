/**
 * Contents: trials that need nobody but the page: the book, kernels, the bytes of messages, and what the package says of
 * itself.
 */
import { Book, backend, type KernelError, kernel, mold, now, Region, ready, wire } from '../../../sdk/browser.ts';

interface Around {
  location: { href: string };
  trials: Record<string, (...given: never[]) => Promise<unknown>>;
}

const around = globalThis as unknown as Around;
const PATIENCE_MS = 20_000;

/** Kernels that were built, over the records of the vector. */
async function kernels(): Promise<unknown> {
  const vector = await read('kernels');
  const records = bytesOf(vector.records);
  const said: unknown[] = [];
  for (const { name, wasm, budget } of vector.cases) {
    const built = await kernel(
      Uint8Array.from(atob(wasm), (character) => character.charCodeAt(0)),
      { budget },
    );
    try {
      const result = Array.from(built.apply(records).toBytes(), (byte) => byte.toString(16).padStart(2, '0')).join('');
      said.push({ name, kind: built.kind, result, turns: built.counters.turns });
    } catch (error) {
      const { reason, record } = error as KernelError;
      said.push({ name, kind: built.kind, error: { reason, record } });
    }
  }
  return said;
}

/** A kernel from an address, over messages of a channel; and a source, for which there is no compiler. */
async function piped(): Promise<unknown> {
  await ready();
  const built = await kernel(new URL('./dist/filter.wasm', around.location.href));
  using region = Region.memory({ limitBytes: 2 << 20, threads: 1 });
  region.createChannel('c');
  using producer = region.openProducer('c');
  using consumer = region.openConsumer('c', { signal: AbortSignal.timeout(PATIENCE_MS) });
  const { size } = built.record;
  const records = bytesOf((await read('kernels')).records);
  const payloads = Array.from({ length: records.length / size }, (_, at) =>
    records.subarray(at * size, (at + 1) * size),
  );
  producer.writeBatch(payloads);
  const kept: string[] = [];
  for await (const results of consumer.pipe(built)) {
    for (let index = 0; index < results.length; index += 1) kept.push(String(results.bytes(index)));
    if (built.counters.records === payloads.length) break;
  }
  const wanted: string[] = [];
  const applied = built.apply(records);
  for (let index = 0; index < applied.length; index += 1) wanted.push(String(applied.bytes(index)));
  const refusal = (error: { code?: string; message?: string }) => `${error.code}: ${error.message}`;
  const source = await kernel('export function filter(): bool { return true; }', { record: built.record }).catch(
    refusal,
  );
  const missing = await kernel(new URL('./none.wasm', around.location.href)).catch(refusal);
  return { isSame: String(kept) === String(wanted), kept: kept.length, seen: payloads.length, source, missing };
}

// biome-ignore lint/suspicious/noExplicitAny: the files are data, and each trial says what it expects of them
async function read(name: string): Promise<any> {
  return (await fetch(`/vectors/${name}.json`)).json();
}

/** The stream of the vector: hash of the events and of the state after each part. */
async function book(): Promise<unknown> {
  await ready();
  const vector = await read('book');
  const { slot_count: slotCount, account_count: accountCount, band_ticks: bandTicks } = vector.config;
  using book = new Book({ slotCount, accountCount, bandTicks });
  const size = wire.MESSAGES.StampedCommand.size;
  const said: unknown[] = [];
  let [hash, events, first] = [0xcbf29ce484222325n, 0, 0];
  for (const { commands } of vector.after) {
    const bytes = new Uint8Array((commands - first) * size);
    const view = new DataView(bytes.buffer);
    for (let index = first; index < commands; index += 1) {
      const at = (index - first) * size;
      view.setBigUint64(at, BigInt(index + 1), true);
      view.setBigUint64(at + 8, BigInt(index + 1) * 1_000n, true);
      bytes.set(bytesOf(vector.commands[index]), at + 16);
    }
    first = commands;
    const batch = book.apply(bytes);
    const words = new BigUint64Array(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.length / 8);
    for (const word of words) {
      const mixed = BigInt.asUintN(64, (hash ^ word) * 0x9e3779b97f4a7c15n);
      hash = mixed ^ (mixed >> 32n);
    }
    events += batch.length;
    const [events_hash, state_hash] = [String(hash), String(book.stateHash)];
    said.push({ commands, events, events_hash, orders: book.orderCount, state_hash });
  }
  return said;
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** The bytes of messages and datagrams of the vectors that are read and written again as they were. */
async function bytes(): Promise<unknown> {
  const [messages, datagrams] = [await read('wire'), await read('mold')];
  const differing: string[] = [];
  const compare = (why: string, wanted: string, seen: Uint8Array) => {
    const digits = Array.from(seen, (byte) => byte.toString(16).padStart(2, '0')).join('');
    if (digits !== wanted) differing.push(why);
  };
  for (const { message, bytes: wanted } of messages.messages) {
    compare(message, wanted, wire.encodeAs(message, wire.decodeAs(message, bytesOf(wanted)) as never));
  }
  for (const { why, bytes: wanted, count } of datagrams.datagrams) {
    const { session, sequence, messages: found } = mold.decodeMold(bytesOf(wanted));
    const isHeader = count === mold.MOLD_HEARTBEAT || count === mold.MOLD_END;
    const written = isHeader
      ? mold.encodeMoldRequest(session, sequence, count)
      : mold.encodeMold(session, sequence, [...found]);
    compare(why, wanted, written);
  }
  return { differing, count: messages.messages.length + datagrams.datagrams.length };
}

/** What the package says of itself, and what it refuses. */
async function self(): Promise<object> {
  let refused: unknown;
  try {
    Region.memory();
  } catch (error) {
    refused = (error as Error).message;
  }
  await ready();
  using region = Region.memory({ limitBytes: 2 << 20, threads: 1 });
  region.createChannel('c');
  using producer = region.openProducer('c');
  using consumer = region.openConsumer('c');
  const before = now();
  producer.write(new TextEncoder().encode('größe · 大きさ · 🜁'), { type: 7 });
  const [message] = consumer.poll();
  const isNow = message !== undefined && message.timestamp >= before && message.timestamp <= now();
  let files: unknown;
  try {
    Region.create('/a/file');
  } catch (error) {
    files = (error as { code?: string }).code;
  }
  return { refused, name: backend().name, text: message?.text(), type: message?.type, isNow, files };
}

around.trials = { ...around.trials, kernels, piped, book, bytes, self };
