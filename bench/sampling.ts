/**
 * Sampling: one sample is one run of one or two programs, between two probes of the floor.
 *
 * A virtual machine moves its processors: a cache line that took 100 ns there and back takes 380 ns a minute later. A
 * sample whose two floors differ by more than a quarter is therefore taken again, and one that finds no quiet moment is
 * kept and said to be unstable.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import type { Quantiles } from './node/spread.ts';

/** What the machine itself takes, nanoseconds. */
export interface Floor {
  p50: number;
  p99: number;
  /** One read of the wall clock. */
  clockRead: number;
}

/** p50 and p99 of a slice, then those of another way's slice beside it. */
export type Pair = [number, number, number, number];

/** One sample, as its program printed it, with the floor around it. */
export interface Sample {
  subject: string;
  what: string;
  ns: Quantiles;
  per_second?: number;
  cpu_seconds?: number;
  cpu_part?: number;
  burial?: Quantiles;
  floor_ns?: Quantiles;
  ratios?: number[];
  clock_read?: number;
  around?: Floor;
  isUnstable?: boolean;
  /** How far the floor of the first half is from that of the second, as a ratio. */
  floor_drift?: number;
  /** Turns of the log's writers: their speed as a part of a plain loop's. */
  part_of_plain?: number[];
  durable_per_second?: number;
  disk_bytes_per_second?: number;
  bytes_per_second?: number;
  allocations?: number;
  records?: number;
  /** Writes before and after those whose disk stalled. */
  calm_ns?: Quantiles;
  calm_again_ns?: Quantiles;
  refused?: number;
  /** The mean over commands in batches, and the longest of the least times of each command. */
  mean_ns?: number;
  cpu_mean_ns?: number;
  worst_ns?: number;
  /** What a book said, and the hash of what it has become. */
  events?: number;
  hash?: string;
  /** Nanoseconds that one in twenty was above. */
  p95_ns?: number;
  /** Slices of a way through the exchange, beside those of the plain way. */
  pairs?: Pair[];
  /** The same slices from ring to ring, beside those of a loop that copies and keeps nothing. */
  bare_pairs?: Pair[];
  asked_per_second?: number;
  per_datagram?: number;
  lost?: number;
  output_hash?: string;
  allocating_turns?: number;
  segments_begun?: number;
  service_p50_ns?: number;
  service_p99_ns?: number;
}

const TRIES = 4;
const DRIFT_MAX = 1.25;
const PATIENCE_MS = 30_000;

function start(command: string[], environment: NodeJS.ProcessEnv): ChildProcess {
  const [program, ...words] = command as [string, ...string[]];
  return spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...environment } });
}

/** Every line of JSON that the program prints; `onReady` is called at the word `ready`. */
function listen(child: ChildProcess, onReady?: () => void, patienceMs = PATIENCE_MS): Promise<Sample[]> {
  const samples: Sample[] = [];
  let rest = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'ready') onReady?.();
      else if (line.startsWith('{')) samples.push(JSON.parse(line));
    }
  });
  return new Promise((resolve, reject) => {
    const impatience = setTimeout(() => child.kill('SIGKILL'), patienceMs);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(impatience);
      if (code === 0) resolve(samples);
      else {
        // Records are kept, and belong to no machine.
        const words = child.spawnargs.slice(0, 6).map((word) => basename(word));
        reject(new Error(`${words.join(' ')} ended with ${signal ?? code}`));
      }
    });
  });
}

/** Takes samples and keeps the floor between them. */
export class Sampler {
  readonly #binary: string;
  readonly #environment: NodeJS.ProcessEnv;
  #last: Floor | undefined;
  /** Every floor seen. */
  readonly floors: Floor[] = [];
  /** Samples that found no quiet moment. */
  unstable = 0;
  cpuSeconds = 0;

  constructor(binary: string, probe: string) {
    this.#binary = binary;
    this.#environment = { TAILRACE_BENCH_PROBE: probe };
  }

  /** What one program prints. */
  async run(command: string[], patienceMs?: number): Promise<Sample[]> {
    const samples = await listen(start(command, this.#environment), undefined, patienceMs);
    for (const sample of samples) this.cpuSeconds += sample.cpu_seconds ?? 0;
    return samples;
  }

  /** What two programs print together: the second one starts when the first says `ready`, over the path that is put last. */
  async runBoth(commands: (path: string) => [string[], string[]]): Promise<Sample[]> {
    const path = `/dev/shm/bench-sides-${process.pid}`;
    rmSync(path, { force: true });
    const [first, second] = commands(path);
    const child = start(first, this.#environment);
    try {
      let other: Promise<Sample[]> | undefined;
      const ended = listen(child, () => {
        other = listen(start(second, this.#environment));
        other.catch(() => child.kill('SIGKILL'));
      });
      const samples = [...(await ended), ...((await other) ?? [])];
      for (const sample of samples) this.cpuSeconds += sample.cpu_seconds ?? 0;
      return samples;
    } finally {
      child.kill('SIGKILL');
      rmSync(path, { force: true });
    }
  }

  async #floor(): Promise<Floor> {
    const [sample] = await this.run([this.#binary, 'floor', '--count', '40000']);
    const floor = { p50: sample!.ns.p50, p99: sample!.ns.p99, clockRead: sample!.clock_read! };
    this.floors.push(floor);
    return floor;
  }

  /** One sample that has its floor in it, in a moment in which that does not change, if there is one. */
  async steady(take: () => Promise<Sample[]>): Promise<Sample> {
    for (let tries = 1; ; tries += 1) {
      const [sample] = await take();
      const isUnstable = (sample!.floor_drift ?? 1) > DRIFT_MAX;
      if (isUnstable && tries < TRIES) continue;
      if (isUnstable) this.unstable += 1;
      return { ...sample!, isUnstable };
    }
  }

  /** One sample between two floors that agree, if such a moment comes. */
  async bracketed(take: () => Promise<Sample[]>): Promise<Sample> {
    for (let tries = 1; ; tries += 1) {
      const before = this.#last ?? (await this.#floor());
      const [sample] = await take();
      const after = await this.#floor();
      this.#last = after;
      const drift = Math.max(before.p50, after.p50) / Math.min(before.p50, after.p50);
      if (drift > DRIFT_MAX && tries < TRIES) continue;
      if (drift > DRIFT_MAX) this.unstable += 1;
      const mean = (one: number, other: number) => (one + other) / 2;
      const around = {
        p50: mean(before.p50, after.p50),
        p99: mean(before.p99, after.p99),
        clockRead: Math.min(before.clockRead, after.clockRead),
      };
      return { ...sample!, around, isUnstable: drift > DRIFT_MAX };
    }
  }
}
