/**
 * Mold: MoldUDP64, the framing of the market stream on UDP.
 *
 * A datagram has a header of 20 bytes (session, sequence of the first message, count) and its messages, each behind its
 * length; these integers are big-endian. Count 0 is a heartbeat and says which sequence comes next; `MOLD_END` ends the
 * session. A request for retransmission is a header and nothing else, and its count says how many are wanted.
 *
 * A datagram is checked to its last byte before anything of it is handed out.
 */
import { TailraceError, wrongArgument } from './error.ts';
import { MOLD_END, MOLD_HEADER_BYTES, MOLD_HEARTBEAT, MOLD_LENGTH_BYTES } from './generated/messages.ts';

export { MOLD_END, MOLD_HEADER_BYTES, MOLD_HEARTBEAT, MOLD_LENGTH_BYTES };

const SESSION_BYTES = 10;
const COUNT_MAX = 0xffff;
const SEQUENCE_MAX = 0xffff_ffff_ffff_ffffn;

/** A datagram that was read. */
export interface MoldDatagram {
  /** Ten characters: the exchange's epoch in digits, right-justified with spaces. */
  readonly session: string;
  /** Of the first message; without messages, of the next one there will be. */
  readonly sequence: bigint;
  /** How many messages there are; `MOLD_END`: none, and the session is over. */
  readonly count: number;
  /** Views of the messages, in order; as often as one likes, as long as the bytes stay. */
  readonly messages: Iterable<Uint8Array>;
}

function corrupt(message: string): TailraceError {
  return new TailraceError('ERR_CORRUPT', `these bytes are no datagram of a market stream: ${message}`);
}

/** Where the blocks of a datagram end, if there are so many. */
function endOfBlocks(view: DataView, count: number): number {
  let at = MOLD_HEADER_BYTES;
  for (let index = 0; index < count; index++) {
    if (at + MOLD_LENGTH_BYTES > view.byteLength) return Number.POSITIVE_INFINITY;
    at += MOLD_LENGTH_BYTES + view.getUint16(at);
  }
  return at;
}

function* blocks(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = MOLD_HEADER_BYTES; at < bytes.length; ) {
    const start = at + MOLD_LENGTH_BYTES;
    at = start + ((bytes[at] as number) << 8) + (bytes[at + 1] as number);
    yield bytes.subarray(start, at);
  }
}

/** The session in ten bytes, such as those of a snapshot's head, as `decodeMold` gives it. */
export function moldSession(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, SESSION_BYTES));
}

/** Reads a datagram. Throws ERR_CORRUPT when its messages are not as many as it counts, or do not fill it. */
export function decodeMold(bytes: Uint8Array): MoldDatagram {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < MOLD_HEADER_BYTES)
    throw corrupt(`there are ${bytes.length}, and a header has ${MOLD_HEADER_BYTES}`);
  const count = view.getUint16(18);
  const end = endOfBlocks(view, count === MOLD_END ? 0 : count);
  if (end !== bytes.length) throw corrupt(`${count} messages do not fill ${bytes.length} bytes`);
  return {
    session: moldSession(bytes),
    sequence: view.getBigUint64(10),
    count,
    messages: { [Symbol.iterator]: () => blocks(bytes) },
  };
}

function header(bytes: Uint8Array, session: string, sequence: bigint | number, count: number): void {
  if (typeof session !== 'string' || !/^[\0-\xff]{10}$/.test(session)) {
    throw wrongArgument(`session is ${JSON.stringify(session)}; give ten characters`);
  }
  const isWhole = typeof sequence === 'bigint' || Number.isSafeInteger(sequence);
  if (!isWhole || sequence < 0 || BigInt(sequence) > SEQUENCE_MAX) {
    throw wrongArgument(`sequence is ${String(sequence)}; give a whole number from 0 to ${SEQUENCE_MAX}`);
  }
  if (!Number.isInteger(count) || count < 0 || count > COUNT_MAX) {
    throw wrongArgument(`count is ${String(count)}; give a whole number from 0 to ${COUNT_MAX}`);
  }
  for (let at = 0; at < SESSION_BYTES; at++) bytes[at] = session.charCodeAt(at);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setBigUint64(10, BigInt(sequence));
  view.setUint16(18, count);
}

/** Asks for `count` messages from `sequence` on; also the bytes of a heartbeat, and of the end of a session. */
export function encodeMoldRequest(session: string, sequence: bigint | number, count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(MOLD_HEADER_BYTES);
  header(bytes, session, sequence, count);
  return bytes;
}

/** A datagram of these messages, the first of which has the sequence. */
export function encodeMold(
  session: string,
  sequence: bigint | number,
  messages: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  if (messages.length >= MOLD_END) throw wrongArgument(`there are ${messages.length} messages; give at most 65,534`);
  const length = messages.reduce((sum, message) => sum + MOLD_LENGTH_BYTES + message.length, MOLD_HEADER_BYTES);
  const bytes = new Uint8Array(length);
  header(bytes, session, sequence, messages.length);
  const view = new DataView(bytes.buffer);
  let at = MOLD_HEADER_BYTES;
  for (const message of messages) {
    if (message.length > 0xffff) throw wrongArgument(`a message has ${message.length} bytes; give at most 65,535`);
    view.setUint16(at, message.length);
    bytes.set(message, at + MOLD_LENGTH_BYTES);
    at += MOLD_LENGTH_BYTES + message.length;
  }
  return bytes;
}
