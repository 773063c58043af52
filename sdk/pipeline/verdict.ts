/**
 * Verdict: what a run has shown, as one line of JSON and as sentences.
 *
 * Names in the JSON are for scripts, and for ever: add, never rename.
 */
import type { Death } from './crew.ts';
import type { Latency } from './latency.ts';
import { type Findings, isProved } from './proof.ts';

/** One consumer at the end. */
export interface ConsumerTotals {
  name: string;
  language: string;
  channel: string;
  starts: number;
  latency: Latency;
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
  /** What went wrong outside the ring, if anything. */
  failure: string | undefined;
}

/** Whether the exit code is 0. */
export function isGood(outcome: Outcome): boolean {
  return outcome.failure === undefined && isProved(outcome.findings);
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
    consumers: outcome.consumers.map(({ name, language, channel, starts, latency }) => ({
      ...{ name, language, channel, starts, read: latency.count },
      ...{ p50_us: latency.quantile(0.5), p99_us: latency.quantile(0.99), max_us: latency.max },
    })),
    kills: outcome.kills,
    ...(outcome.failure === undefined ? {} : { failure: outcome.failure }),
  });
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

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}
