/**
 * Run: measures tailrace beside the floor of the machine and beside others, and judges the figures that were promised.
 *
 *     npm run bench -- [GROUP] [--quick] [--json] [--record]
 *
 * `--quick` ends within three minutes once everything is built; GROUP runs only the groups whose name
 * contains it;
 * `--json` prints one document; `--record` keeps it in bench/record/.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { judge } from './bars.ts';
import { GROUPS, measure } from './groups.ts';
import { Sampler } from './sampling.ts';
import { type Report, table } from './table.ts';
import type { Samples } from './turns.ts';
import { at, open, say } from './workshop.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
  },
});

const only = positionals[0] ?? options.only;
if (!Object.keys(GROUPS).some((name) => name.includes(only)) || positionals.length > 1) {
  say(`there is no group "${positionals.join(' ') || only}"; the groups are ${Object.keys(GROUPS).join(', ')}`);
  process.exit(2);
}

const workshop = open();
const sampler = new Sampler(workshop.binary, workshop.probe);
const samples: Samples = new Map();
const start = Date.now();
await measure({ workshop, sampler, samples, effort: options.quick ? 1 : 4 }, only);

const report: Report = {
  date: new Date(start).toISOString(),
  machine: `${cpus()[0]?.model.trim()}, ${cpus().length} processors, Node ${process.versions.node}`,
  seconds: Math.round((Date.now() - start) / 1_000),
  cpu_seconds: Math.round(sampler.cpuSeconds),
  floors: sampler.floors,
  unstable: sampler.unstable,
  missing: Object.fromEntries(workshop.missing),
  verdicts: judge(samples),
  samples: Object.fromEntries(samples),
};
const document = JSON.stringify(report, (key, value) => (key === 'ratios' ? undefined : value));
console.log(options.json ? document : table(report));
if (options.record) {
  mkdirSync(at('record'), { recursive: true });
  const file = at(`record/${report.date.slice(0, 16).replace(':', '')}.json`);
  writeFileSync(file, `${document}\n`);
  say(`kept in ${file.slice(at('').length)}`);
}
