/**
 * Place: the folder of a run, with the exchange's config, its logs and snapshots, and what is needed to go on with it.
 *
 *     exchange.json   the config             orders/ reports/ market/   the logs        snapshots/   sessions
 *     run.json        the token of the demonstration's users, and what the flow is made of
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { makeDirectory } from '../../directory.ts';
import { kernel, wireStruct } from '../../index.ts';
import { type ExchangeConfig, tokenHash } from '../config.ts';
import { OptionError, type Options } from './options.ts';
import { LEFTOVERS } from './posts.ts';

const HOST = '127.0.0.1';
const SNAPSHOT_EVERY = 100_000;
/** An exchange is ready when its next segments exist, and zeros take time. */
const SEGMENT_BYTES = 16 << 20;
const SLOTS = { orders: 8_192, reports: 16_384, market: 16_384 };

interface Made {
  version: 1;
  token: string;
  accounts: number;
  seed: number;
  input?: string | undefined;
}

/** Where the parts of the exchange are reached, host:port. */
export interface Addresses {
  gateway: string;
  feed: string;
  requests: string;
  snapshots: string;
}

/** The folder of one run. */
export class Place {
  readonly dir: string;
  readonly region: string;
  readonly addresses: Addresses;
  readonly token: string;
  #isTemporary: boolean;

  private constructor(dir: string, region: string, addresses: Addresses, token: string, isTemporary: boolean) {
    this.dir = dir;
    this.region = region;
    this.addresses = addresses;
    this.token = token;
    this.#isTemporary = isTemporary;
  }

  /**
   * Makes the folder, or opens that of the run which is resumed; then accounts and flow are those that it began with.
   *
   * @throws OptionError when there is a run in it, or none.
   */
  static async open(options: Options): Promise<{ place: Place; options: Options }> {
    const dir = options.data === undefined ? LEFTOVERS.dataPath(process.pid) : resolve(options.data);
    const made = options.isResumed ? readMade(join(dir, 'run.json')) : newRun(dir, options);
    const region = LEFTOVERS.regionPath(options.dir, process.pid);
    const [gateway, feed, requests, snapshots] = (await freePorts(4)).map((port) => `${HOST}:${port}`) as string[];
    const addresses = { gateway: gateway!, feed: feed!, requests: requests!, snapshots: snapshots! };
    const place = new Place(dir, region, addresses, made.token, options.data === undefined);
    const { accounts, seed, input } = made;
    place.#writeConfig({ ...options, accounts });
    return { place, options: { ...options, accounts, seed, input } };
  }

  /** The exchange's config. */
  get config(): string {
    return join(this.dir, 'exchange.json');
  }

  /** The analytics' kernel, built. */
  get kernel(): string {
    return join(this.dir, 'kernel.wasm');
  }

  /**
   * Builds the kernel in `file`, a filter over executions.
   *
   * @throws KernelError when it does not compile, saying where.
   */
  async buildKernel(file: string): Promise<void> {
    const { wasm } = await kernel(pathToFileURL(file), { record: wireStruct('Executed') });
    writeFileSync(this.kernel, wasm);
  }

  #writeConfig({ accounts, acknowledge }: Options): void {
    const { gateway, feed, requests, snapshots } = this.addresses;
    const users = Array.from({ length: accounts }, (_, account) => {
      return { user: `trader-${account}`, token_sha256: tokenHash(this.token), account };
    });
    const config: ExchangeConfig = {
      region: this.region,
      data: this.dir,
      acknowledge,
      segment_bytes: SEGMENT_BYTES,
      book: { slot_count: 1 << 18, account_count: 128 },
      streams: SLOTS,
      gateway: { listen: gateway },
      publisher: { feed: [feed], requests, heartbeat_ms: 200 },
      snapshot: { listen: snapshots, every_commands: SNAPSHOT_EVERY },
      users,
    };
    writeFileSync(this.config, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 });
  }

  /** Removes a folder that nobody has asked to keep. */
  remove(): void {
    if (this.#isTemporary) rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Keeps the folder, for people who want to find out what went wrong; where it is then. */
  keep(): string {
    if (!this.#isTemporary || !existsSync(this.dir)) return this.dir;
    this.#isTemporary = false;
    const kept = `${this.dir}.kept`;
    rmSync(kept, { recursive: true, force: true });
    renameSync(this.dir, kept);
    return kept;
  }
}

function newRun(dir: string, options: Options): Made {
  if (options.data === undefined) {
    // Of a run that had the same number, long ago.
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { mode: 0o700 });
  } else {
    makeEmpty(dir);
  }
  const { accounts, seed, input } = options;
  const made: Made = { version: 1, token: randomBytes(16).toString('hex'), accounts, seed, input };
  writeFileSync(join(dir, 'run.json'), `${JSON.stringify(made)}\n`, { flush: true, mode: 0o600 });
  return made;
}

function makeEmpty(dir: string): void {
  try {
    makeDirectory(dir, 0o700);
  } catch (cause) {
    throw new OptionError(`--data ${dir} cannot be made: ${(cause as Error).message}`, { cause });
  }
  if (readdirSync(dir).length > 0) {
    throw new OptionError(`--data ${dir} is not empty; --resume goes on with the exchange in it, or name another one`);
  }
}

function readMade(file: string): Made {
  try {
    const made = JSON.parse(readFileSync(file, 'utf8')) as Made;
    if (made.version === 1 && Number.isSafeInteger(made.accounts)) return made;
  } catch (cause) {
    throw new OptionError(`there is no exchange to resume: ${(cause as Error).message}`, { cause });
  }
  throw new OptionError(`${file} is not of this version of the exchange`);
}

/** Ports that nobody uses; the parts keep theirs when they are started again, so they cannot take any. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      return new Promise<{ port: number; close(): void }>((found, failed) => {
        const server = createServer();
        server.once('error', failed);
        server.listen(0, HOST, () => {
          const address = server.address();
          found({
            port: typeof address === 'object' && address !== null ? address.port : 0,
            close: () => server.close(),
          });
        });
      });
    }),
  );
  for (const server of servers) server.close();
  return servers.map(({ port }) => port);
}
