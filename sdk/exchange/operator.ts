/**
 * Operator: halts and resumes trading, turns kill switches, sets limits and cancels, through the gateway's own door.
 *
 * The door is a socket of this machine that only the exchange's own user may open. What it is told stands in the journal
 * like any command, so it counts for a replay too.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { failure, TailraceError, wrongArgument } from '../error.ts';
import { type Encodable, encode } from '../wire.ts';
import { frameOf } from './client/frames.ts';

const PATIENCE_MS = 5_000;

/** What an operator may say; a mass cancel of any account, without an id. */
export type OperatorCommand = Encodable<'SetState' | 'SetKilled' | 'SetLimits' | 'MassCancel'>;

interface Answer {
  ok: boolean;
  sequence?: number;
  code?: string;
  error?: string;
}

/**
 * Says one thing to the exchange whose data folder is `data`, and gives its global sequence when it stands in the stream
 * of commands: it is applied before anything that comes later.
 *
 * Rejects with ERR_NOT_FOUND when no gateway is at work there, ERR_PERMISSION, ERR_ARGUMENT with the exchange's own
 * words, ERR_BUSY when it has no room for more commands now (nothing was done), ERR_TIMED_OUT when it gives no answer within 5 s (it may be applied all the same), or ERR_IO.
 */
export async function command(data: string, message: OperatorCommand): Promise<number> {
  const path = join(data, 'control.sock');
  const bytes = frameOf(encode(message));
  const socket = connect(path);
  socket.setTimeout(PATIENCE_MS, () => {
    socket.destroy(failure('ERR_TIMED_OUT', `${path}: no answer within ${PATIENCE_MS} ms`));
  });
  try {
    await once(socket, 'connect');
    socket.write(bytes);
    const { ok, sequence, code, error } = await answerOf(socket);
    if (ok && sequence !== undefined) return sequence;
    const what = `the exchange refused: ${error ?? 'it said nothing that is known here'}`;
    throw code === 'ERR_BUSY' ? new TailraceError(code, what) : wrongArgument(what);
  } catch (cause) {
    throw cause instanceof TailraceError ? cause : refused(path, cause as NodeJS.ErrnoException);
  } finally {
    socket.destroy();
  }
}

async function answerOf(socket: AsyncIterable<Buffer>): Promise<Answer> {
  let text = '';
  for await (const chunk of socket) {
    text += chunk.toString();
    if (text.includes('\n')) return JSON.parse(text.slice(0, text.indexOf('\n'))) as Answer;
  }
  throw new TailraceError('ERR_IO', 'the gateway ended the connection without an answer; see what the exchange says');
}

function refused(path: string, cause: NodeJS.ErrnoException): TailraceError {
  const isAbsent = cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED';
  const code = isAbsent ? 'ERR_NOT_FOUND' : cause.code === 'EACCES' ? 'ERR_PERMISSION' : 'ERR_IO';
  const what = isAbsent ? `no gateway is at work at ${path}` : cause.message;
  return new TailraceError(code, what, { cause });
}
