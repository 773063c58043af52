/**
 * Snapshot: fetches one from its service over TCP, and believes nothing of it that its checksum does not cover.
 */
import { connect } from 'node:net';
import { crc32 } from 'node:zlib';
import { failure, TailraceError } from '../../error.ts';
import { moldSession } from '../../mold.ts';
import { decodeAs, encodeAs, MESSAGES, SNAPSHOT_HEAD, SNAPSHOT_REQUEST } from '../../wire.ts';
import type { Address } from './address.ts';
import { corruptFeed, type Snapshot } from './market-batch.ts';

const HEAD_BYTES = MESSAGES.SnapshotHead.size;
const ORDER_BYTES = MESSAGES.SnapshotOrder.size;
const CHECKSUM_BYTES = 4;
/** More orders than any book has room for. */
const COUNT_MAX = 1n << 27n;

/** Bytes of a whole answer, as its head says. */
function lengthOf(head: Uint8Array): number {
  const { kind, count } = decodeAs('SnapshotHead', head);
  if (kind !== SNAPSHOT_HEAD || count > COUNT_MAX) throw corruptFeed(`a snapshot of kind ${kind} with ${count} orders`);
  return HEAD_BYTES + Number(count) * ORDER_BYTES + CHECKSUM_BYTES;
}

function decodeSnapshot(bytes: Buffer): Snapshot {
  const body = bytes.subarray(0, bytes.length - CHECKSUM_BYTES);
  const [seen, told] = [crc32(body), bytes.readUInt32LE(body.length)];
  if (seen !== told) throw corruptFeed(`a snapshot says that its checksum is ${told}, and it is ${seen}`);
  const { session, sequence, stateHash } = decodeAs('SnapshotHead', bytes.subarray(0, HEAD_BYTES));
  return { session: moldSession(session), sequence, stateHash, orders: body.subarray(HEAD_BYTES) };
}

/**
 * All resting orders as the service has them. Rejects with ERR_IO when it cannot be reached or ends too soon, with
 * ERR_TIMED_OUT after `timeoutMs` of silence, with ERR_CORRUPT when its bytes are wrong, or with the signal's reason.
 */
export function fetchSnapshot({ host, port }: Address, timeoutMs: number, signal: AbortSignal): Promise<Snapshot> {
  const where = `the snapshot service at ${host}:${port}`;
  return new Promise((resolve, reject) => {
    if (signal.aborted) throw signal.reason;
    const chunks: Buffer[] = [];
    let length = 0;
    let wanted = Number.POSITIVE_INFINITY;
    const socket = connect({ host, port });
    const end = (call: () => void) => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      call();
    };
    const abort = () => end(() => reject(signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    socket.setTimeout(timeoutMs, () =>
      end(() => reject(failure('ERR_TIMED_OUT', `${where} was silent for ${timeoutMs} ms`))),
    );
    socket.on('connect', () => socket.write(encodeAs('SnapshotRequest', { kind: SNAPSHOT_REQUEST })));
    socket.on('error', (cause) => end(() => reject(failure('ERR_IO', `${where}: ${cause.message}`, cause))));
    socket.on('close', () =>
      end(() =>
        reject(new TailraceError('ERR_IO', `${where} ended after ${length} bytes of a snapshot; ask it again`)),
      ),
    );
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      try {
        if (wanted === Number.POSITIVE_INFINITY && length >= HEAD_BYTES) {
          wanted = lengthOf(Buffer.concat(chunks).subarray(0, HEAD_BYTES));
        }
        if (length < wanted) return;
        const snapshot = decodeSnapshot(Buffer.concat(chunks).subarray(0, wanted));
        end(() => resolve(snapshot));
      } catch (error) {
        end(() => reject(error));
      }
    });
  });
}
