/**
 * Classic: operations a second of single calls, by benchmark.js, on both backends; kept in bench/record/.
 *
 *     npm run bench:classic
 *
 * For its familiar output; what is promised in nanoseconds is measured by `npm run bench`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Sampler } from './sampling.ts';

const PATIENCE_MS = 120_000;
const at = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const sampler = new Sampler('', '');
const date = new Date().toISOString();
const load = loadavg()[0];
const samples = [];
for (const backend of ['native', 'wasm']) {
  const command = [process.execPath, '--import', 'tsx', at('node/classic.ts'), backend];
  samples.push(...(await sampler.run(command, PATIENCE_MS)));
}
const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} processors, Node ${process.versions.node}`;
mkdirSync(at('record'), { recursive: true });
const file = `record/${date.slice(0, 16).replace(':', '')}-classic.json`;
writeFileSync(at(file), `${JSON.stringify({ date, machine, load, samples })}\n`);
process.stderr.write(`bench: kept in ${file}, at a load of ${load?.toFixed(1)}\n`);
