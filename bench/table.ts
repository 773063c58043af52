/** Table: a report for people. */
import { median, type Verdict } from './bars.ts';
import type { Floor, Sample } from './sampling.ts';

/** Everything one run found. */
export interface Report {
  date: string;
  machine: string;
  seconds: number;
  cpu_seconds: number;
  floors: Floor[];
  /** Samples that found no quiet moment. */
  unstable: number;
  missing: Record<string, string>;
  verdicts: Verdict[];
  samples: Record<string, Sample[]>;
}

function columns(rows: string[][], isRight: (column: number) => boolean): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (isRight(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}

function number(value: number): string {
  if (!Number.isFinite(value)) return '';
  return value >= 1_000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3).replace(/\.0+$/, '');
}

function sampleRow(name: string, taken: Sample[]): string[] {
  const middle = (of: (sample: Sample) => number) => median(taken.map(of));
  const ratios = taken.flatMap(({ ns, around, floor_ns }) => {
    const floor = around ?? floor_ns;
    return floor === undefined ? [] : [ns.p50 / floor.p50];
  });
  return [
    name,
    ...(['p50', 'p99', 'p999', 'max'] as const).map((part) => number(middle(({ ns }) => ns[part]))),
    ratios.length > 0 ? median(ratios).toFixed(2) : '',
    number(middle((sample) => sample.per_second ?? Number.NaN)),
    middle((sample) => sample.cpu_seconds ?? Number.NaN)
      .toFixed(2)
      .replace('NaN', ''),
    `${taken.length}${taken.some(({ isUnstable }) => isUnstable) ? '!' : ''}`,
  ];
}

function floorLine(floors: Floor[]): string {
  const values = floors.map(({ p50 }) => p50);
  const clock = median(floors.map(({ clockRead }) => clockRead));
  const range = `${number(Math.min(...values))} to ${number(Math.max(...values))}`;
  const tail = number(median(floors.map(({ p99 }) => p99)));
  return `floor: one cache line there and back ${number(median(values))} ns (${range}), p99 ${tail} ns; a clock read ${number(clock)} ns`;
}

/** The report as text. */
export function table(report: Report): string {
  const measured = Object.entries(report.samples).filter(([, taken]) => taken[0]!.ns !== undefined);
  const lines = [`${report.date}  ${report.machine}`];
  if (report.floors.length > 0) lines.push(floorLine(report.floors));
  if (measured.length > 0) {
    const head = ['nanoseconds', 'p50', 'p99', 'p99.9', 'max', '× floor', 'per second', 'CPU s', 'turns'];
    const rows = measured.map(([name, taken]) => sampleRow(name, taken));
    lines.push('', ...columns([head, ...rows], (column) => column > 0));
  }
  for (const [name, taken] of Object.entries(report.samples)) {
    if (taken[0]!.burial) lines.push(`${name}: from the kill to the free lock, p50 ${number(taken[0]!.burial.p50)} ns`);
  }
  for (const [name, taken] of Object.entries(report.samples)) {
    if (taken[0]!.output_hash === undefined) continue;
    const service = (part: 'service_p50_ns' | 'service_p99_ns') => number(median(taken.map((sample) => sample[part]!)));
    const beside = (part: 'p50' | 'p99') =>
      number(median(taken.map(({ floor_ns, calm_ns }) => (floor_ns ?? calm_ns)![part])));
    lines.push(
      `${name}: engine service p50 ${service('service_p50_ns')} ns, p99 ${service('service_p99_ns')} ns; ` +
        `${taken[0]!.floor_ns ? 'without an engine' : 'without snapshots'} p50 ${beside('p50')} ns, ` +
        `p99 ${beside('p99')} ns; ` +
        `output hash ${taken.map((sample) => sample.output_hash).join(' ')}`,
    );
  }
  if (report.verdicts.length > 0) {
    const head = ['figure', 'measured', 'ratio', 'bar', ''];
    const rows = report.verdicts.map(({ figure, value, ratio, bar, isMet }) => [
      figure,
      value,
      ratio.toFixed(2),
      bar,
      isMet ? 'met' : 'MISSED',
    ]);
    lines.push('', ...columns([head, ...rows], (column) => column === 2));
  }
  for (const [name, reason] of Object.entries(report.missing)) lines.push(`missing: ${name}: ${reason}`);
  if (report.unstable > 0) {
    lines.push(
      `${report.unstable} samples (!) found no moment in which the floors before and after agreed within 25 %`,
    );
  }
  const met = report.verdicts.filter(({ isMet }) => isMet).length;
  lines.push('', `${met} of ${report.verdicts.length} bars met; ${report.seconds} s, ${report.cpu_seconds} s of CPU`);
  return lines.join('\n');
}
