/**
 * Frames: messages on a TCP connection, each behind its length.
 *
 * A length that is not its type's means that the other side speaks something else, and nothing after it can be read.
 */
import { TailraceError } from '../../error.ts';
import { sizeOfType } from '../../wire.ts';

const HEAD_BYTES = 2;
const NOTHING = Buffer.alloc(0);

/** A message behind its length. */
export function frameOf(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(HEAD_BYTES + message.length);
  frame[0] = message.length & 0xff;
  frame[1] = message.length >>> 8;
  frame.set(message, HEAD_BYTES);
  return frame;
}

/** Cuts what comes into messages. */
export class FrameReader {
  #rest: Buffer = NOTHING;

  /**
   * The messages that have come whole, as views; what is left waits for the next bytes.
   * Throws ERR_CORRUPT at bytes that can be no message.
   */
  *take(bytes: Buffer): IterableIterator<Uint8Array> {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    this.#rest = NOTHING;
    let at = 0;
    while (all.length - at > HEAD_BYTES) {
      const length = all.readUInt16LE(at);
      const type = all[at + HEAD_BYTES]!;
      if (sizeOfType(type) !== length) {
        throw new TailraceError(
          'ERR_CORRUPT',
          `a message of type ${type} came with ${length} bytes; whoever sent it speaks something else`,
        );
      }
      const end = at + HEAD_BYTES + length;
      if (end > all.length) break;
      const message = all.subarray(at + HEAD_BYTES, end);
      at = end;
      yield message;
    }
    this.#rest = all.subarray(at);
  }
}
