/**
 * Order options: who trades, where, and how hard to try; and what is counted meanwhile.
 */
import { wrongArgument } from '../../error.ts';
import { LOGIN_CANCEL_ON_DISCONNECT } from '../../wire.ts';
import { atLeast } from './numbers.ts';

/** Who trades, where, and how. */
export interface OrderEntryOptions {
  /** Address of the gateway, `host:port`. */
  gateway: string;
  /** At most 16 bytes. */
  user: string;
  /** Secret, at most 32 bytes. */
  token: string | Uint8Array;
  /** The first report wanted, which may be an old one: 1 for all there are. Default 0: only new ones. */
  nextReport?: bigint | undefined;
  /** Take all orders of the account away when the connection ends, however it ends; default false. */
  cancelOnDisconnect?: boolean | undefined;
  /** How often each side says that it is there, 100 to 60,000 ms; default 1,000. Silence for three of them is the end. */
  heartbeatMs?: number | undefined;
  /** Ends it: the loop throws the signal's reason. */
  signal?: AbortSignal | undefined;
  /** The pause before connecting again; doubled each time up to `pauseMaxMs`; default 50. */
  pauseMs?: number | undefined;
  /** Default 5,000. */
  pauseMaxMs?: number | undefined;
  /** Commands that may be without an answer before new orders find no room; default 65,536. */
  unansweredMax?: number | undefined;
  /** Reports that may wait for the reader; default 65,536. */
  backlog?: number | undefined;
  /** Connections in a row that may bring nothing but what cannot be; the last of them is the end. Default 10. */
  refusedMax?: number | undefined;
}

/** What has happened so far. */
export interface OrderEntryCounters {
  /** Commands. */
  sent: number;
  /** Commands that were sent again. */
  resent: number;
  /** Reports handed to the reader. */
  reports: number;
  /** Reports that had come before, or that answered what was answered. */
  repeats: number;
  /** Connections after the first. */
  reconnects: number;
  /** Connections that ended because what came was no message, or could not be. */
  refused: number;
}

const USER_BYTES = 16;
const TOKEN_BYTES = 32;
const HEARTBEAT_MIN_MS = 100;
const HEARTBEAT_MAX_MS = 60_000;

function padded(value: string | Uint8Array, most: number, name: string): Uint8Array {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  if (bytes instanceof Uint8Array && bytes.length > 0 && bytes.length <= most) return bytes;
  throw wrongArgument(`${name} must have 1 to ${most} bytes`);
}

/** What every login says. */
export interface Credentials {
  user: Uint8Array;
  token: Uint8Array;
  flags: number;
  heartbeatMs: number;
}

/** What the logins of a session say. Throws ERR_ARGUMENT. */
export function credentialsOf(options: OrderEntryOptions): Credentials {
  const heartbeatMs = atLeast(HEARTBEAT_MIN_MS, options.heartbeatMs ?? 1_000, 'heartbeatMs');
  if (heartbeatMs > HEARTBEAT_MAX_MS) {
    throw wrongArgument(`heartbeatMs is ${heartbeatMs}; give at most ${HEARTBEAT_MAX_MS}`);
  }
  return {
    user: padded(options.user, USER_BYTES, 'user'),
    token: padded(options.token, TOKEN_BYTES, 'token'),
    flags: options.cancelOnDisconnect ? LOGIN_CANCEL_ON_DISCONNECT : 0,
    heartbeatMs: Math.trunc(heartbeatMs),
  };
}
