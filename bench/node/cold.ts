/**
 * Cold: what import, region and first message take beyond Node's own start, in whole processes.
 *
 * An empty program, one with the native library and one with WebAssembly take turns; each time is told less the empty
 * program's of its turn, which is the floor.
 *
 *     node cold.ts TURNS
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { quantiles } from './spread.ts';

const PATIENCE_MS = 10_000;
const turns = Number(process.argv[2]);
const path = `/dev/shm/bench-cold-${process.pid}`;

function spent(file: string, ...words: string[]): number {
  const program = fileURLToPath(new URL(file, import.meta.url));
  const from = process.hrtime.bigint();
  const { status, stderr } = spawnSync(process.execPath, [program, ...words], { timeout: PATIENCE_MS });
  const time = Number(process.hrtime.bigint() - from);
  if (status !== 0) throw new Error(`${file} ${words.join(' ')} ended with ${status}: ${stderr}`);
  return time;
}

/** The first turn finds cold files, and is not told. */
const times = { native: [] as number[], wasm: [] as number[] };
const floors: number[] = [];
try {
  for (let turn = 0; turn <= turns; turn += 1) {
    const floor = spent('empty.mjs');
    const beyond = (name: 'native' | 'wasm') => spent('first.mjs', name, path) - floor;
    const taken = { native: beyond('native'), wasm: beyond('wasm') };
    if (turn === 0) continue;
    floors.push(floor);
    for (const name of ['native', 'wasm'] as const) times[name].push(taken[name]);
  }
} finally {
  rmSync(path, { force: true });
}
for (const [subject, beyond] of Object.entries(times)) {
  const p95 = beyond.toSorted((one, other) => one - other)[Math.ceil(0.95 * beyond.length) - 1];
  const floor_ns = quantiles(floors);
  console.log(JSON.stringify({ subject, what: 'cold', ns: quantiles(beyond), p95_ns: p95, floor_ns }));
}
