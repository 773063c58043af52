/**
 * Place: the folder of a run, with the exchange's config, its logs and snapshots, and what is needed to go on with it.
 *
 *     exchange.json   the config             orders/ reports/ market/   the logs        snapshots/   sessions
 *     run.json        the token of the demonstration's users, and what the flow is made of
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Folder, type Made } from '../../crew/folder.ts';
import { kernel, wireStruct } from '../../index.ts';
import { type ExchangeConfig, tokenHash } from '../config.ts';
import type { Options } from './options.ts';
import { LEFTOVERS } from './posts.ts';

const HOST = '127.0.0.1';
const SNAPSHOT_EVERY = 100_000;
/** An exchange is ready when its next segments exist, and zeros take time. */
const SEGMENT_BYTES = 16 << 20;
const SLOTS = { orders: 8_192, reports: 16_384, market: 16_384 };

/** What a run is made of. */
interface Trade extends Made {
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
  readonly folder: Folder;
  readonly region: string;
  readonly addresses: Addresses;
  readonly token: string;

  private constructor(folder: Folder, region: string, addresses: Addresses, token: string) {
    this.folder = folder;
    this.region = region;
    this.addresses = addresses;
    this.token = token;
  }

  /**
   * Makes the folder, or opens that of the run which is resumed; then accounts and flow are those that it began with.
   *
   * @throws OptionError when there is a run in it, or none.
   */
  static async open(options: Options): Promise<{ place: Place; options: Options }> {
    const folder = folderOf(options);
    if (!options.isResumed) folder.write(newTrade(options));
    const { token, accounts, seed, input } = folder.read<Trade>((trade) => Number.isSafeInteger(trade.accounts));
    const region = LEFTOVERS.regionPath(options.dir, process.pid);
    const [gateway, feed, requests, snapshots] = (await freePorts(4)).map((port) => `${HOST}:${port}`) as string[];
    const addresses = { gateway: gateway!, feed: feed!, requests: requests!, snapshots: snapshots! };
    const place = new Place(folder, region, addresses, token);
    place.#writeConfig({ ...options, accounts });
    return { place, options: { ...options, accounts, seed, input } };
  }

  /** Where it is. */
  get dir(): string {
    return this.folder.dir;
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
}

function folderOf({ data, isResumed }: Options): Folder {
  if (data === undefined) return Folder.temporary(LEFTOVERS.dataPath(process.pid));
  return isResumed ? Folder.resume(resolve(data)) : Folder.begin(resolve(data));
}

function newTrade({ accounts, seed, input }: Options): Trade {
  return { version: 1, token: randomBytes(16).toString('hex'), accounts, seed, input };
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
