/**
 * Place: a whole exchange for one test, in processes of its own, a folder of its own and a region of its own. Each part
 * can be killed and started again, on the ports that it had. Nothing of it is left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type ExchangeConfig, type Role, tokenHash } from '../../sdk/exchange/config.ts';
import { END, ROLES } from '../../sdk/exchange/parts.ts';
import { program } from '../../sdk/exchange/program.ts';

/** Long enough for a machine that does ten other things. */
const PATIENCE_MS = 30_000;
const STATUS_MS = 50;

const folders: string[] = [];

process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Who may trade here; the token of each is his name. */
export const USERS = ['alice', 'bob', 'carol', 'dave'] as const;

/** A line that a part has said. */
// biome-ignore lint/suspicious/noExplicitAny: each part has fields of its own, and each test says what it expects
type Line = Record<string, any>;

/** One process. */
class Part {
  readonly process: ChildProcess;
  ready: Line | undefined;
  latest: Line | undefined;
  errors = '';

  constructor(role: Role, config: string) {
    const words = ['run', '--config', config, '--status', `${STATUS_MS}`, '--leash', role];
    this.process = spawn(program(), words, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.process.stdin?.on('error', () => {});
    this.process.stderr?.on('data', (bytes: Buffer) => {
      this.errors += bytes;
    });
    createInterface(this.process.stdout!).on('line', (text) => {
      const line: Line = JSON.parse(text);
      if (line.report === 'ready') this.ready = line;
      else if (line.report === 'status') this.latest = line;
    });
  }

  get hasEnded(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  async end(how: Ending): Promise<void> {
    if (this.hasEnded) return;
    const exited = once(this.process, 'exit');
    if (how === 'leave') this.process.stdin?.end();
    else if (how === 'over') this.process.stdin?.end(`${END}\n`);
    else this.process.kill(how);
    const late = setTimeout(() => this.process.kill('SIGKILL'), PATIENCE_MS);
    await exited;
    clearTimeout(late);
  }
}

/** In good order, alone or with the whole exchange, or by a signal. */
type Ending = 'leave' | 'over' | NodeJS.Signals;

/** What differs from an ordinary exchange. */
export interface PlaceOptions {
  /** Where the publisher sends. */
  feed: string[];
  /** Where groups are reached. */
  interface?: string;
  changes?: Partial<Omit<ExchangeConfig, 'region' | 'data' | 'publisher'>>;
}

/** A whole exchange. */
export class Place implements AsyncDisposable {
  readonly folder = folderIn(tmpdir());
  readonly #memory = folderIn('/dev/shm');
  readonly config: ExchangeConfig;
  readonly #file = join(this.folder, 'exchange.json');
  readonly #parts = new Map<Role, Part>();

  private constructor(config: ExchangeConfig) {
    this.config = { ...config, region: join(this.#memory, 'region'), data: join(this.folder, 'data') };
    writeFileSync(this.#file, JSON.stringify(this.config));
  }

  /** Starts all parts. */
  static async start({ feed, interface: way, changes = {} }: PlaceOptions): Promise<Place> {
    const [gateway, snapshot, requests] = [await freePort(), await freePort(), await freeUdpPort()];
    const place = new Place({
      region: '',
      data: '',
      segment_bytes: 1 << 20,
      book: { slot_count: 1 << 16, account_count: 16, band_ticks: 1_024 },
      streams: { orders: 1 << 12, reports: 1 << 13, market: 1 << 13 },
      gateway: { listen: `127.0.0.1:${gateway}` },
      publisher: { feed, requests: `127.0.0.1:${requests}`, heartbeat_ms: 20, ...(way && { interface: way }) },
      snapshot: { listen: `127.0.0.1:${snapshot}`, every_commands: 1_000 },
      users: USERS.map((user, index) => ({ user, token_sha256: tokenHash(user), account: index + 1 })),
      ...changes,
    });
    try {
      for (const role of ROLES) await place.start(role);
    } catch (error) {
      await place[Symbol.asyncDispose]();
      throw error;
    }
    return place;
  }

  get gateway(): string {
    return this.config.gateway.listen;
  }

  get requests(): string {
    return this.config.publisher.requests;
  }

  get snapshots(): string {
    return this.config.snapshot.listen;
  }

  /** Starts a part, and waits until it is ready. */
  async start(role: Role): Promise<void> {
    const part = new Part(role, this.#file);
    this.#parts.set(role, part);
    await until(() => part.ready !== undefined || part.hasEnded, `${role} is ready`);
    if (part.ready === undefined) throw new Error(`${role} ended: ${part.errors}`);
  }

  /** The last status of a part. */
  status(role: Role): Line {
    return this.#parts.get(role)?.latest ?? {};
  }

  /** Ends a part. */
  async end(role: Role, how: Ending = 'leave'): Promise<void> {
    await this.#parts.get(role)?.end(how);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const role of ['gateway', 'matcher', 'publisher', 'shadow'] as const) await this.end(role);
    for (const folder of [this.folder, this.#memory]) rmSync(folder, { recursive: true, force: true });
  }
}

function folderIn(parent: string): string {
  const folder = mkdtempSync(join(parent, 'tailrace-test-exchange-'));
  folders.push(folder);
  return folder;
}

/** Waits until `is` says so; throws after half a minute. */
export async function until(is: () => boolean, what: string = `${is}`): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!is()) {
    if (performance.now() > end) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Ports that were given already. */
const given = new Set<number>();

/**
 * A port for somebody who may be killed and come back to it. It is none of those that a system gives to whoever asks for
 * any, or to whoever connects: those might be taken before it is used, or while its owner is dead.
 */
function portBy(bind: (port: number) => Promise<void>): Promise<number> {
  const port = randomInt(10_000, 32_768);
  if (given.has(port)) return portBy(bind);
  return bind(port).then(
    () => {
      given.add(port);
      return port;
    },
    () => portBy(bind),
  );
}

/** A port for connections. */
export function freePort(): Promise<number> {
  return portBy(async (port) => {
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
  });
}

/** A port for datagrams. */
export function freeUdpPort(): Promise<number> {
  return portBy(async (port) => {
    const socket = createSocket('udp4').bind(port, '127.0.0.1');
    await once(socket, 'listening');
    socket.close();
    await once(socket, 'close');
  });
}
