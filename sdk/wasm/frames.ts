/**
 * Frames: the records of a log as bytes, without a log: writing them, checking them, and their payloads before compression.
 *
 * One instance of the module in each thread does it, in a memory of its own.
 */
import { Instance } from './instance.ts';
import { checked, refuse } from './refusal.ts';
import { around } from './regions.ts';

/** What a frame says besides its payload. */
export interface FrameHead {
  sequence: bigint;
  /** Nanoseconds since 1970. */
  timestamp: bigint;
  type: number;
  pid: number;
  runtime: number;
  /** `FRAME_*`. */
  flags: number;
}

/** What stands at a place where a frame may begin. */
export type SeenFrame =
  | { seen: 'frame'; bytes: number; head: FrameHead; payload: Uint8Array }
  | { seen: 'absent' }
  | { seen: 'incomplete'; bytes: number }
  | { seen: 'bad' };

const HEAD_BYTES = 32;
const FRAME_HEADER_BYTES = 32;
const FRAME = 1;
const INCOMPLETE = 2;
/** Bytes of a frame beside its payload, at most. */
const AROUND_BYTES = 48;

let own: Instance | undefined;

/** Memory for as long as `use` runs. */
function borrowed<T>(bytes: number, use: (instance: Instance, at: number) => T): T {
  own ??= Instance.alone(around().module('rings'));
  const at = own.calls.allocate(bytes) >>> 0;
  if (at === 0) refuse('ERR_NO_SPACE', `there is no memory for ${bytes} bytes more`);
  try {
    return use(own, at);
  } finally {
    own.calls.release(at, bytes);
  }
}

/** The bytes of a frame with this stored payload. */
export function encodeFrame(head: FrameHead, payload: Uint8Array): Uint8Array {
  const room = payload.length + AROUND_BYTES;
  return borrowed(HEAD_BYTES + payload.length + room, (instance, at) => {
    const view = new DataView(instance.memory.buffer, at, HEAD_BYTES);
    view.setBigUint64(0, head.sequence, true);
    view.setBigUint64(8, head.timestamp, true);
    view.setUint32(16, head.type, true);
    view.setUint32(20, head.pid, true);
    view.setUint16(24, head.runtime, true);
    view.setUint16(26, head.flags, true);
    view.setUint32(28, payload.length, true);
    instance.bytes.set(payload, at + HEAD_BYTES);
    const into = at + HEAD_BYTES + payload.length;
    const bytes = checked(instance.calls.frame_encode(at, at + HEAD_BYTES, into, room), () => instance.number);
    return instance.bytes.slice(into, into + bytes);
  });
}

/** What the first bytes are; they may go on after the frame. */
export function checkFrame(bytes: Uint8Array): SeenFrame {
  return borrowed(HEAD_BYTES + bytes.length, (instance, at) => {
    const from = at + HEAD_BYTES;
    instance.bytes.set(bytes, from);
    const answer = instance.calls.frame_check(from, bytes.length, at);
    if (answer < 0) return { seen: 'bad' };
    if (answer === INCOMPLETE) return { seen: 'incomplete', bytes: instance.count };
    if (answer !== FRAME) return { seen: 'absent' };
    const view = new DataView(instance.memory.buffer, at, HEAD_BYTES);
    const payload = from + FRAME_HEADER_BYTES;
    return {
      seen: 'frame',
      bytes: instance.count,
      head: {
        sequence: view.getBigUint64(0, true),
        timestamp: view.getBigUint64(8, true),
        type: view.getUint32(16, true),
        pid: view.getUint32(20, true),
        runtime: view.getUint16(24, true),
        flags: view.getUint16(26, true),
      },
      payload: instance.bytes.slice(payload, payload + view.getUint32(28, true)),
    };
  });
}

/** What a stored payload was before it was compressed. Throws ERR_CORRUPT. */
export function decompressPayload(stored: Uint8Array): Uint8Array {
  const length = stored.length < 4 ? 0 : new DataView(stored.buffer, stored.byteOffset).getUint32(0, true);
  // A length that no frame may have is refused there, and needs no room here.
  const room = Math.min(length, 1 << 21);
  return borrowed(stored.length + room + 1, (instance, at) => {
    instance.bytes.set(stored, at);
    const into = at + stored.length;
    const answer = instance.calls.payload_decompress(at, stored.length, into, room);
    const bytes = checked(answer, () => instance.number, { ERR_CORRUPT: () => 'this is no compressed payload' });
    return instance.bytes.slice(into, into + bytes);
  });
}

/** The CRC-32 (IEEE) of bytes. */
export function checksum(bytes: Uint8Array): number {
  return borrowed(bytes.length + 1, (instance, at) => {
    instance.bytes.set(bytes, at);
    instance.calls.checksum(at, bytes.length);
    return instance.number;
  });
}
