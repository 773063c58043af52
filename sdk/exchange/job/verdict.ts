/**
 * Verdict: what a run has shown, as one line of JSON and as sentences.
 *
 * Names in the JSON are for scripts, and for ever: add, never rename.
 */
import type { Death } from '../../crew/crew.ts';
import type { Latency } from '../../crew/latency.ts';
import { isKept, type LogFindings } from './audit.ts';
import type { Day, Image } from './words.ts';

/** The book after the last command, in numbers that two books share exactly when they are the same. */
export interface Hashes {
  /** Journal sequence of the last command. */
  sequence: number;
  stateHash: string;
  outputHash: string;
  marketSequence: number;
}

/** One reader at the end. */
export interface ReaderTotals {
  name: string;
  seen: number;
  gaps: number;
  duplicates: number;
  latency: Latency;
  image: Image | undefined;
}

/** What the order flow has sent and heard. */
export interface FlowTotals {
  sent: number;
  answered: number;
  fills: number;
  rejected: number;
  repeats: number;
  reconnects: number;
  /** Without an answer at the end. */
  open: number;
  latency: Latency;
  stallMs: number;
}

/** Everything that is known at the end. */
export interface Outcome {
  seconds: number;
  flow: FlowTotals;
  readers: ReaderTotals[];
  /** Of the snapshot service, in the end. */
  snapshot: Image | undefined;
  live: Hashes | undefined;
  replayed: Hashes | undefined;
  log: LogFindings | undefined;
  /** Messages that readers of the feed asked for again, and times that they began with a snapshot. */
  requested: number;
  snapshots: number;
  day: Day | undefined;
  kills: Death[];
  isChaos: boolean;
  isResumed: boolean;
  /** What went wrong otherwise. */
  failure: string | undefined;
}

/** Whether the replay came to the same book and the same outputs. */
export function isReplayed({ live, replayed }: Outcome): boolean {
  return live !== undefined && replayed !== undefined && JSON.stringify(live) === JSON.stringify(replayed);
}

/** Whether everybody who keeps a book has the same one. */
export function areSame({ readers, snapshot }: Outcome): boolean {
  const images = readers.filter(({ name }) => name !== 'analytics').map(({ image }) => image);
  const words = (image: Image | undefined) => image && `${image.sequence} ${image.sha256}`;
  return snapshot !== undefined && images.every((image) => words(image) === words(snapshot));
}

/** Whether the exit code is 0. */
export function isGood(outcome: Outcome): boolean {
  const { failure, log, flow } = outcome;
  if (failure !== undefined || log === undefined || !isKept(log)) return false;
  return isReplayed(outcome) && areSame(outcome) && flow.open === 0;
}

function words(latency: Latency): object {
  return { p50_us: latency.quantile(0.5), p99_us: latency.quantile(0.99), max_us: latency.max };
}

/** The line of `--json`. */
export function toJson(outcome: Outcome): string {
  const { flow, log, live, replayed } = outcome;
  const hashes = (of: Hashes | undefined) =>
    of && { sequence: of.sequence, state_hash: of.stateHash, output_hash: of.outputHash, market: of.marketSequence };
  return JSON.stringify({
    ok: isGood(outcome),
    seconds: Math.round(outcome.seconds * 1000) / 1000,
    sent: flow.sent,
    answered: flow.answered,
    open: flow.open,
    rejected: flow.rejected,
    fills: flow.fills,
    repeats: flow.repeats,
    reconnects: flow.reconnects,
    ...words(flow.latency),
    longest_silence_ms: Math.round(flow.stallMs),
    accepted: log?.accepted ?? null,
    executions: log?.executions ?? null,
    reports: log?.reports ?? null,
    market_messages: log?.marketMessages ?? null,
    lost: log?.lost ?? null,
    doubled: log?.doubled ?? null,
    holes: log?.holes ?? null,
    compared: log?.compared ?? null,
    live: hashes(live) ?? null,
    replayed: hashes(replayed) ?? null,
    is_replayed: isReplayed(outcome),
    are_books_same: areSame(outcome),
    readers: outcome.readers.map(({ name, seen, gaps, duplicates, latency, image }) => {
      return { name, seen, gaps, duplicates, ...words(latency), image: image?.sha256 ?? null };
    }),
    requested: outcome.requested,
    snapshots: outcome.snapshots,
    trades: outcome.day?.trades ?? 0,
    volume: outcome.day?.volume ?? 0,
    kept: outcome.day?.kept ?? null,
    kills: outcome.kills,
    resumed: outcome.isResumed,
    ...(outcome.failure === undefined ? {} : { failure: outcome.failure }),
  });
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function spanWords(latency: Latency): string {
  return `p50 ${count(latency.quantile(0.5))} us, p99 ${count(latency.quantile(0.99))} us, max ${count(latency.max)} us`;
}

/** The same for people. */
export function toText(outcome: Outcome): string {
  const { flow, log, readers, kills, live, replayed, snapshot } = outcome;
  const rate = Math.round(flow.sent / Math.max(outcome.seconds, 0.001));
  const lines = [
    `${isGood(outcome) ? 'proved' : 'NOT PROVED'}: ${count(flow.sent)} commands in ${outcome.seconds.toFixed(1)} s ` +
      `(${count(rate)}/s), ${count(flow.fills)} fills, ${count(flow.rejected)} refused, ${count(flow.open)} without an answer`,
    `  order to report, over TCP: ${spanWords(flow.latency)}; longest silence ${count(Math.round(flow.stallMs))} ms`,
  ];
  for (const { name, seen, gaps, duplicates, latency } of readers) {
    lines.push(
      `  order to ${name}: ${spanWords(latency)}; ${count(seen)} messages, gaps ${gaps}, doubled ${duplicates}`,
    );
  }
  if (log !== undefined) {
    lines.push(
      `  logs: ${count(log.reports)} reports, ${count(log.accepted)} orders accepted, ${count(log.executions)} executions, ` +
        `${count(log.marketMessages)} market messages; lost ${log.lost} · doubled ${log.doubled} · holes ${log.holes}   ` +
        `(${count(log.compared)} testimonies compared)`,
    );
  }
  lines.push(
    `  replay: ${isReplayed(outcome) ? 'the same' : 'NOT the same'} book and outputs after ` +
      `${count(replayed?.sequence ?? 0)} commands (state ${replayed?.stateHash ?? '–'}, live ${live?.stateHash ?? '–'}, ` +
      `output ${replayed?.outputHash ?? '–'})`,
    `  books: view, feed and snapshot ${areSame(outcome) ? 'are byte for byte the same' : 'DIFFER'}: ` +
      `${count(snapshot?.orders ?? 0)} orders after message ${count(snapshot?.sequence ?? 0)}`,
  );
  if (outcome.isChaos || kills.length > 0) {
    const names = [...new Set(kills.map(({ process }) => process))];
    const victims = names.map((name) => `${name} ${kills.filter((kill) => kill.process === name).length}`);
    const slowest = Math.max(0, ...kills.map(({ back_ms }) => back_ms ?? 0));
    const listed = kills.length > 0 ? ` (${victims.join(', ')})` : '';
    lines.push(
      `  kills: ${kills.length}${listed}, the slowest back after ${count(slowest)} ms; ${flow.reconnects} reconnects, ` +
        `${flow.repeats} answers repeated, ${count(outcome.requested)} messages asked for again`,
    );
  }
  if (outcome.failure !== undefined) lines.push(`  ${outcome.failure}`);
  return lines.join('\n');
}
