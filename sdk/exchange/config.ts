/**
 * Config: the file that says what an exchange is. The native program checks it; here is its form, for programs that
 * write one, and as much as a supervisor needs.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { TailraceError, wrongArgument } from '../error.ts';

/** A part of the exchange. */
export type Role = 'gateway' | 'matcher' | 'publisher' | 'shadow';

/** Who may trade. */
export interface User {
  /** At most 16 bytes. */
  user: string;
  /** See {@link tokenHash}. */
  token_sha256: string;
  account: number;
  limits?: { quantity_max?: number; messages_per_second?: number };
}

/** The whole file. Addresses are `host:port`; port 0 takes any, and the `ready` line tells which. */
export interface ExchangeConfig {
  /** File of the region of shared memory. */
  region: string;
  /** Folder of the logs, snapshots and sessions. */
  data: string;
  /**
   * What must have happened to a command before anybody hears of its outcome: it is in shared memory, in the journal's
   * file (default), or on disk.
   */
  acknowledge?: 'memory' | 'written' | 'wal';
  /** Bytes of a segment of the logs; 100 MB. */
  segment_bytes?: number;
  book?: {
    slot_count?: number;
    account_count?: number;
    band_ticks?: number;
    quantity_max?: number;
    open_orders_max?: number;
    collar_ticks?: number;
  };
  /** Slots of the streams: powers of two. */
  streams?: { orders?: number; reports?: number; market?: number };
  gateway: { listen: string; sessions_max?: number; backlog_bytes?: number };
  publisher: {
    feed: string[];
    interface?: string;
    hops?: number;
    requests: string;
    heartbeat_ms?: number;
    datagram_bytes?: number;
    linger_us?: number;
  };
  snapshot: {
    listen: string;
    every_commands?: number;
    keep?: number;
    clients_max?: number;
    priority?: 'idle' | 'nice';
  };
  users: User[];
  /** Processor of each part. */
  pin?: Partial<Record<Role, number>>;
}

const TOKEN_BYTES = 32;

/**
 * What stands in the config for a token: SHA-256 of its bytes, padded with zeros to 32, in hexadecimal.
 *
 * @throws TailraceError ERR_ARGUMENT when it has no bytes, or more than 32.
 */
export function tokenHash(token: string): string {
  const bytes = Buffer.from(token);
  if (bytes.length === 0 || bytes.length > TOKEN_BYTES) {
    throw wrongArgument(`a token has 1 to ${TOKEN_BYTES} bytes, and this one has ${bytes.length}`);
  }
  return createHash('sha256')
    .update(bytes)
    .update(Buffer.alloc(TOKEN_BYTES - bytes.length))
    .digest('hex');
}

/**
 * Reads a config; its paths are relative to the file, and absolute in what this returns.
 *
 * @throws TailraceError ERR_NOT_FOUND, ERR_IO; ERR_ARGUMENT when it is no JSON object with a region and a data folder.
 */
export function readConfig(file: string): ExchangeConfig {
  const config = parsed(file);
  if (typeof config?.region !== 'string' || typeof config.data !== 'string') {
    throw wrongArgument(`${file}: "region" and "data" must be paths`);
  }
  const folder = dirname(resolve(file));
  return { ...config, region: resolve(folder, config.region), data: resolve(folder, config.data) };
}

function parsed(file: string): ExchangeConfig | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'ERR_NOT_FOUND' : 'ERR_IO';
    throw new TailraceError(code, (cause as Error).message, { cause });
  }
  try {
    return JSON.parse(text) as ExchangeConfig;
  } catch (cause) {
    throw wrongArgument(`${file}: ${(cause as Error).message}`);
  }
}
