/**
 * Messages that tell their number, and whether all of their bytes are there.
 */
import type { Message } from '../../../sdk/index.ts';

/** The message with this number. */
export function messageOf(index: number, size: number): Uint8Array {
  const bytes = Buffer.alloc(Math.max(size, 4), index % 251);
  bytes.writeUInt32LE(index);
  return bytes;
}

/** The number of a message. Throws when it is torn. */
export function indexOf(message: Message): number {
  const bytes = Buffer.from(message.payload);
  const index = bytes.readUInt32LE();
  if (bytes.subarray(4).some((byte) => byte !== index % 251)) throw new Error(`message ${index} is torn`);
  return index;
}
