/**
 * Flow: orders for the exchange over TCP, at a fixed rate. One of the processes of the exchange.
 *
 *     flow.ts WORDS        one argument, JSON: see `Words`
 *
 * Commands have a time at which they are due, whatever became of those before (an open loop): latencies count from there.
 * When the leash ends it waits until everything is answered. A process that takes the place of a killed one asks for the
 * reports after those that its parent has heard of, and cancels the orders of the one before.
 */
import { argv } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { leash, report } from '../../crew/report.ts';
import { Flow } from '../../pipeline/flow.ts';
import { Replay, readLobster } from '../../pipeline/lobster.ts';
import type { Testimony } from './chain.ts';
import { Orders } from './orders.ts';
import { Ledger, Trader } from './trader.ts';
import type { Flowed, LatencyCount, Ready } from './words.ts';

const REPORT_MS = 100;
const TICK_MS = 1;
const DRAIN_MS = 10_000;
/** Commands of one session without an answer: with more it waits. */
const UNANSWERED = 50_000;
/** Commands of one tick: more would keep answers waiting. */
const TICK_COMMANDS = 2_000;

/** What this process is told. */
interface Words {
  gateway: string;
  token: string;
  accounts: number;
  rate: number;
  seed: number;
  input?: string;
  testimonies: Testimony[];
}

let ledger = new Ledger();
let told = { repeats: 0, reconnects: 0 };

function tell(traders: readonly Trader[]): void {
  const { sent, answered, fills, rejected, latencies, stallMs } = ledger;
  ledger = new Ledger();
  const counts = new Map<number, number>();
  for (const ms of latencies) {
    const microseconds = Math.max(0, Math.floor(ms * 1_000));
    counts.set(microseconds, (counts.get(microseconds) ?? 0) + 1);
  }
  const sum = (of: 'repeats' | 'reconnects') => traders.reduce((total, { entry }) => total + entry.counters[of], 0);
  const now = { repeats: sum('repeats'), reconnects: sum('reconnects') };
  report<Flowed>({
    report: 'flowed',
    ...{ sent, answered, fills, rejected, stallMs },
    repeats: now.repeats - told.repeats,
    reconnects: now.reconnects - told.reconnects,
    latencies: [...counts] as LatencyCount[],
    testimonies: traders.map((trader) => trader.testify()).filter((testimony) => testimony !== undefined),
    open: traders.reduce((total, { entry }) => total + entry.unanswered, 0),
  });
  told = now;
}

const words = JSON.parse(argv[2] ?? '') as Words;
const signal = leash();
const source = words.input === undefined ? new Flow(words.seed) : new Replay(readLobster(words.input));
const orders = new Orders(source, words.accounts);
const traders = await Promise.all(
  Array.from({ length: words.accounts }, (_, account) => {
    const from = words.testimonies.find((testimony) => testimony[0] === account);
    const { gateway, token } = words;
    const options = {
      gateway,
      token,
      user: `trader-${account}`,
      pauseMs: 10,
      pauseMaxMs: 200,
    };
    return Trader.connect(options, () => ledger, from);
  }),
);
const listening = traders.map((trader) => trader.listen());
report<Ready>({ report: 'ready' });

const startMs = performance.now();
let sent = 0;
let toldMs = startMs;
while (!signal.aborted) {
  const nowMs = performance.now();
  const isFull = traders.some(({ entry }) => entry.unanswered > UNANSWERED);
  const due = isFull ? sent : Math.min(Math.floor(((nowMs - startMs) * words.rate) / 1_000), sent + TICK_COMMANDS);
  for (; sent < due; sent++) {
    const action = orders.next();
    traders[action.account]!.send(action, startMs + (sent * 1_000) / words.rate);
  }
  if (nowMs - toldMs >= REPORT_MS) {
    toldMs = nowMs;
    tell(traders);
  }
  await sleep(TICK_MS, undefined, { signal }).catch(() => {});
}
const endMs = performance.now() + DRAIN_MS;
while (traders.some(({ entry }) => entry.unanswered > 0) && performance.now() < endMs) await sleep(TICK_MS);
await Promise.all(traders.map(({ entry }) => entry.close()));
await Promise.all(listening);
tell(traders);
