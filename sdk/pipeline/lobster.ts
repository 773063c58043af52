/**
 * Lobster: reads message files of LOBSTER (Nasdaq order flow as CSV) and plays them in a loop.
 *
 * A row is `time in seconds, type 1..7, order id, size, price x 10,000, direction`, without a header. The file comes
 * from outside: every field is checked, and what is wrong is said with its line before any process is started. Rows are
 * kept as encoded records, so that a whole day (half a million rows) costs 20 MB, and a lap costs no parsing.
 */
import { readFileSync, statSync } from 'node:fs';
import { InputError } from '../crew/mistakes.ts';
import {
  decodeRecord,
  EventType,
  emptyRecord,
  encodeRecord,
  LAP_STRIDE,
  type OrderRecord,
  RECORD_BYTES,
  type Source,
} from './record.ts';

const LARGEST_FILE_BYTES = 256 << 20;
const DAY_SECONDS = 86_400;
const COLUMNS = 'time, type, order id, size, price, direction';

/** The rows of a file, as records whose lap, run and counter are 0. */
export interface Rows {
  readonly bytes: Uint8Array;
  readonly count: number;
}

/**
 * Reads and checks a message file.
 *
 * @throws InputError when it cannot be read, or a line is wrong.
 */
export function readLobster(file: string): Rows {
  let text: string;
  try {
    const { size } = statSync(file);
    if (size > LARGEST_FILE_BYTES) {
      throw new InputError(file, 0, `has ${size} bytes; at most ${LARGEST_FILE_BYTES} are read. Cut it into parts`);
    }
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw new InputError(file, 0, `cannot be read (${(cause as Error).message})`, { cause });
  }
  return parseLobster(text, file);
}

/**
 * Parses the text of a message file; `file` is only for messages.
 *
 * @throws InputError at the first wrong line.
 */
export function parseLobster(text: string, file: string): Rows {
  const lines = text.split('\n');
  while (lines.length > 0 && lines.at(-1)!.trim() === '') lines.pop();
  if (lines.length === 0) throw new InputError(file, 0, `is empty; rows of ${COLUMNS} are expected`);
  const bytes = new Uint8Array(lines.length * RECORD_BYTES);
  const view = new DataView(bytes.buffer);
  const record = emptyRecord();
  let lastNs = 0;
  for (const [index, line] of lines.entries()) {
    const reason = parseRow(line, record);
    if (reason !== undefined) throw new InputError(file, index + 1, reason);
    if (record.timeNs < lastNs) throw new InputError(file, index + 1, 'its time is before that of the line above');
    lastNs = record.timeNs;
    encodeRecord(view, index * RECORD_BYTES, record);
  }
  return { bytes, count: lines.length };
}

/** Fills `record` from one line, or says what is wrong with it. */
function parseRow(line: string, record: OrderRecord): string | undefined {
  const fields = line.trimEnd().split(',');
  if (fields.length !== 6) return `has ${fields.length} ${fields.length === 1 ? 'field' : 'fields'}, not 6: ${COLUMNS}`;
  const [time, type, orderId, size, price, side] = fields as [string, string, string, string, string, string];
  const seconds = /^(\d{1,6})(?:\.(\d+))?$/.exec(time);
  if (seconds === null || Number(seconds[1]) >= DAY_SECONDS) {
    return `time is ${quoted(time)}; seconds after midnight are expected, as in 34200.004241176`;
  }
  record.timeNs = Number(seconds[1]) * 1e9 + Number((seconds[2] ?? '').slice(0, 9).padEnd(9, '0'));
  record.type = whole(type);
  if (!(record.type >= EventType.ADD && record.type <= EventType.HALT)) {
    return `type is ${quoted(type)}; 1 to 7 are expected`;
  }
  record.orderId = whole(orderId);
  if (!(record.orderId >= 0 && record.orderId < LAP_STRIDE)) {
    return `order id is ${quoted(orderId)}; a whole number below 2^36 is expected`;
  }
  const hasOrder = record.type !== EventType.HALT;
  record.size = whole(size);
  if (!(record.size >= (hasOrder ? 1 : 0) && record.size < 2 ** 32)) {
    return `size is ${quoted(size)}; a number of shares is expected`;
  }
  record.price = whole(price);
  if (!(record.price >= (hasOrder ? 1 : -1) && record.price <= Number.MAX_SAFE_INTEGER)) {
    return `price is ${quoted(price)}; dollars times 10,000 are expected, a whole number`;
  }
  record.side = whole(side);
  if (record.side !== 1 && record.side !== -1) return `direction is ${quoted(side)}; 1 or -1 is expected`;
  return undefined;
}

function whole(field: string): number {
  return /^-?\d{1,16}$/.test(field) ? Number(field) : Number.NaN;
}

function quoted(field: string): string {
  return JSON.stringify(field.length > 40 ? `${field.slice(0, 40)}…` : field);
}

/** Plays rows for ever; each lap adds its number to the ids. */
export class Replay implements Source {
  readonly #view: DataView;
  readonly #count: number;
  #index = 0;
  #lap = 0;

  constructor(rows: Rows) {
    this.#view = new DataView(rows.bytes.buffer, rows.bytes.byteOffset, rows.bytes.byteLength);
    this.#count = rows.count;
  }

  next(into: OrderRecord): void {
    if (this.#index === this.#count) {
      this.#index = 0;
      this.#lap = (this.#lap + 1) & 0xffff;
    }
    decodeRecord(this.#view, this.#index * RECORD_BYTES, into);
    into.orderId += this.#lap * LAP_STRIDE;
    into.lap = this.#lap;
    this.#index += 1;
  }

  seek(index: number): void {
    this.#index = index % this.#count;
    this.#lap = Math.floor(index / this.#count) & 0xffff;
  }
}
