/**
 * Verdict: what a run has shown, as one line of JSON and as sentences.
 *
 * Names in the JSON are for scripts, and for ever: add, never rename.
 */

import type { Death } from '../crew/crew.ts';
import type { Latency } from '../crew/latency.ts';
import { isKept, type LogFindings } from './audit.ts';
import { type Findings, isProved } from './proof.ts';
import type { Totals } from './state.ts';

/** One consumer at the end. */
export interface ConsumerTotals {
  name: string;
  language: string;
  channel: string;
  starts: number;
  latency: Latency;
  /** Messages, those too that were caught up with and have no latency. */
  read: number;
}

/** Everything that is known at the end. */
export interface Outcome {
  seconds: number;
  findings: Findings;
  consumers: ConsumerTotals[];
  /** Of `orders`, over both readers. */
  latency: Latency;
  repairs: number;
  abandoned: number;
  comparedBlocks: number;
  /** Longest time that a gateway waited for room: a reader was slow, paused, or dead and not removed yet. */
  longestStallMs: number;
  kills: Death[];
  isChaos: boolean;
  /** What the logs have; undefined when they could not be read back. */
  log: LogFindings | undefined;
  /** From sending a record with durability 'wal' to its acknowledgement. */
  wal: Latency;
  /** What all records of the log come to, from its beginning; undefined when the view could not say. */
  totals: Totals | undefined;
  isResumed: boolean;
  /** What went wrong outside the ring, if anything. */
  failure: string | undefined;
}

/** Whether the exit code is 0. */
export function isGood(outcome: Outcome): boolean {
  const { failure, findings, log } = outcome;
  if (failure !== undefined || !isProved(findings)) return false;
  return log === undefined ? findings.written === 0 : isKept(log);
}

/** The line of `--json`. */
export function toJson(outcome: Outcome): string {
  const { findings, latency } = outcome;
  return JSON.stringify({
    ok: isGood(outcome),
    seconds: rounded(outcome.seconds),
    written: findings.written,
    read: findings.read,
    lost: findings.lost,
    unaccounted: findings.unaccounted,
    torn: findings.torn,
    duplicates: findings.duplicates,
    repairs: outcome.repairs,
    abandoned: outcome.abandoned,
    longest_stall_ms: rounded(outcome.longestStallMs),
    p50_us: latency.quantile(0.5),
    p99_us: latency.quantile(0.99),
    max_us: latency.max,
    blocks_compared: outcome.comparedBlocks,
    signals: {
      written: findings.signalsWritten,
      taken: findings.signalsTaken,
      redelivered: findings.signalsRedelivered,
    },
    consumers: outcome.consumers.map(({ name, language, channel, starts, latency, read }) => ({
      ...{ name, language, channel, starts, read },
      ...{ p50_us: latency.quantile(0.5), p99_us: latency.quantile(0.99), max_us: latency.max },
    })),
    kills: outcome.kills,
    resumed: outcome.isResumed,
    wal: {
      acknowledged: outcome.log?.acknowledged ?? outcome.wal.count,
      found: outcome.log?.acknowledgedFound ?? 0,
      ...{ p50_us: outcome.wal.quantile(0.5), p99_us: outcome.wal.quantile(0.99), max_us: outcome.wal.max },
    },
    log: outcome.log === undefined ? null : logWords(outcome.log),
    totals: totalsWords(outcome),
    ...(outcome.failure === undefined ? {} : { failure: outcome.failure }),
  });
}

/** What the logs have, in words that scripts read. */
function logWords(log: LogFindings): object {
  const { records, tombstones, missing, doubled, torn, holes, unread, invented, differing } = log;
  const { signals, signalsUntaken, signalsDoubled } = log;
  return {
    ...{ records, tombstones, missing, doubled, torn, holes, unread, invented, differing, signals },
    ...{ signals_untaken: signalsUntaken, signals_doubled: signalsDoubled },
  };
}

/** The totals; what the signals come to is there when it was found to be the same. */
function totalsWords({ totals, log }: Outcome): object | null {
  if (totals === undefined) return null;
  const { records: events, trades, volume } = totals;
  return { ...totals, signals: log?.differing === 0 ? { events, trades, volume } : null };
}

/** The same for people. */
export function toText(outcome: Outcome): string {
  const { findings, latency, kills } = outcome;
  const rate = Math.round(findings.written / Math.max(outcome.seconds, 0.001));
  const lines = [
    `${isGood(outcome) ? 'proved' : 'NOT PROVED'}: ${count(findings.written)} records written in ` +
      `${outcome.seconds.toFixed(1)} s (${count(rate)}/s), ${count(findings.read)} read`,
    `  lost ${findings.lost} · unaccounted ${findings.unaccounted} · torn ${findings.torn} · ` +
      `duplicates ${findings.duplicates}   (${count(outcome.comparedBlocks)} sums of blocks compared)`,
    `  write to read: p50 ${count(latency.quantile(0.5))} us, p99 ${count(latency.quantile(0.99))} us, ` +
      `max ${count(latency.max)} us`,
    `  signals: ${count(findings.signalsWritten)} written, ${count(findings.signalsTaken)} taken, ` +
      `${findings.signalsRedelivered} of them delivered again`,
  ];
  lines.push(...logLines(outcome));
  if (outcome.isChaos || kills.length > 0) {
    const back = kills.map(({ back_ms }) => back_ms ?? 0);
    const victims = [...new Set(kills.map(({ process }) => process))].map(
      (name) => `${name} ${kills.filter((kill) => kill.process === name).length}`,
    );
    lines.push(
      `  kills: ${kills.length}${kills.length > 0 ? ` (${victims.join(', ')})` : ''}, the slowest back after ` +
        `${count(Math.max(0, ...back))} ms; repairs ${outcome.repairs}, abandoned ${outcome.abandoned}, ` +
        `longest stall ${outcome.longestStallMs.toFixed(1)} ms`,
    );
  }
  if (outcome.failure !== undefined) lines.push(`  ${outcome.failure}`);
  return lines.join('\n');
}

function logLines({ log, wal, totals }: Outcome): string[] {
  if (log === undefined) return [];
  const { records, tombstones, missing, doubled, torn, holes, unread, invented, differing } = log;
  const lines = [
    `  log: ${count(records)} records, ${count(tombstones)} tombstones; missing ${missing} · doubled ${doubled} · ` +
      `torn ${torn} · holes ${holes} · unread ${unread} · invented ${invented} · sums that differ ${differing}`,
    `  wal: ${count(log.acknowledged)} acknowledged, ${count(log.acknowledgedFound)} of them in the log; ` +
      `p50 ${count(wal.quantile(0.5))} us, p99 ${count(wal.quantile(0.99))} us`,
    `  log of signals: ${count(log.signals)}, untaken ${log.signalsUntaken}, doubled ${log.signalsDoubled}`,
  ];
  if (totals !== undefined) {
    const { book } = totals;
    const touch = `${count(book.bid_size)} × ${book.bid / 10_000} | ${book.ask / 10_000} × ${count(book.ask_size)}`;
    lines.push(
      `  totals: ${count(totals.records)} records, ${count(totals.trades)} trades of ${count(totals.volume)} shares, ` +
        `digest ${hex(totals.digest)}; book ${touch}, ${count(book.live)} orders, hash ${hex(book.hash)}`,
    );
  }
  return lines;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}
