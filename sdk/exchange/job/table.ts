/**
 * Table: the running exchange as a picture.
 */
import { Canvas, number, type Screen, type StyledLine, total } from '../../crew/canvas.ts';
import type { Latency } from '../../crew/latency.ts';
import type { Day, Top } from './words.ts';

/** One process now. */
export interface ProcessLine {
  name: string;
  /** Its language while it is at work. */
  state: string;
  /** What it does per second, and what that is. */
  perSecond: number;
  what: string;
  done: number;
  /** In a few words, how it is. */
  note: string;
}

/** One way that a message goes, and how long it took. */
export interface SpanLine {
  name: string;
  latency: Latency;
  gaps: number;
}

/** Everything the table shows. */
export interface Picture {
  seconds: number;
  processes: ProcessLine[];
  spans: SpanLine[];
  ordersPerSecond: number;
  executionsPerSecond: number;
  /** Commands in the ring that are not in the journal yet. */
  journalLag: number;
  top: Top | undefined;
  day: Day | undefined;
  kills: number;
  stallMs: number;
}

/** Draws pictures. */
export class Table {
  readonly #canvas: Canvas;

  constructor(screen: Screen, environment: Record<string, string | undefined> = process.env) {
    this.#canvas = new Canvas(screen, environment);
  }

  /** Prints a line that stays, above the table. */
  say(line: string): void {
    this.#canvas.say(line);
  }

  /** Shows the picture. */
  draw(picture: Picture): void {
    if (this.#canvas.isLive) this.#canvas.draw(lines(picture));
    else this.#canvas.tick(picture.seconds, () => plainLine(picture));
  }

  /** Leaves the last picture standing. */
  end(): void {
    this.#canvas.end();
  }
}

function lines(picture: Picture): StyledLine[] {
  const drawn: StyledLine[] = [{ style: 'dim', text: processRow('process', '', 'per second', 'in all', '') }];
  for (const { name, state, perSecond, what, done, note } of picture.processes) {
    const text = processRow(name, state, `${number(perSecond)} ${what}`, total(done), note);
    drawn.push({ style: state === 'restarting' ? 'warn' : 'plain', text });
  }
  drawn.push({ style: 'dim', text: spanRow('from order to', 'p50 us', 'p99 us', 'max us', 'gaps') });
  for (const { name, latency, gaps } of picture.spans) {
    const { p50, p99, max } = quantiles(latency);
    drawn.push({ style: 'plain', text: spanRow(name, number(p50), number(p99), number(max), number(gaps)) });
  }
  const rates = `${number(picture.ordersPerSecond)} orders/s, ${number(picture.executionsPerSecond)} executions/s`;
  drawn.push({ style: 'plain', text: '' });
  drawn.push({ style: 'plain', text: labelled('exchange', `${rates}, journal lag ${number(picture.journalLag)}`) });
  drawn.push({ style: 'plain', text: labelled('book', bookWords(picture.top)) });
  drawn.push({ style: 'plain', text: labelled('day', dayWords(picture.day)) });
  const { seconds, kills, stallMs } = picture;
  const run = `${Math.floor(seconds)} s, ${kills} kills, longest silence ${stallMs.toFixed(0)} ms`;
  drawn.push({ style: 'plain', text: labelled('run', run) });
  return drawn;
}

function processRow(name: string, state: string, rate: string, done: string, note: string): string {
  return `${name.padEnd(11)}${state.padEnd(11)}${rate.padStart(20)}${done.padStart(10)}  ${note}`;
}

function spanRow(name: string, ...cells: string[]): string {
  return name.padEnd(22) + cells.map((cell) => cell.padStart(10)).join('');
}

function labelled(name: string, words: string): string {
  return name.padEnd(11) + words;
}

function dollars(price: number): string {
  return (price / 10_000).toFixed(2);
}

function bookWords(top: Top | undefined): string {
  if (top === undefined) return 'waiting for orders';
  const bid = top.bidSize > 0 ? `${number(top.bidSize)} × ${dollars(top.bid)}` : '–';
  const ask = top.askSize > 0 ? `${dollars(top.ask)} × ${number(top.askSize)}` : '–';
  return `${bid} | ${ask} · ${number(top.live)} orders`;
}

function dayWords(day: Day | undefined): string {
  if (day === undefined || day.trades === 0) return 'waiting for executions';
  const kept = day.kept === undefined ? '' : `, ${number(day.kept)} kept by the kernel`;
  const range = `${dollars(day.low)} to ${dollars(day.high)}`;
  return `${number(day.trades)} trades, volume ${number(day.volume)}, VWAP ${dollars(day.vwap)}, ${range}${kept}`;
}

function quantiles(latency: Latency): { p50: number; p99: number; max: number } {
  return { p50: latency.quantile(0.5), p99: latency.quantile(0.99), max: latency.max };
}

function plainLine(picture: Picture): string {
  const spans = picture.spans.map(({ name, latency, gaps }) => {
    const { p50, p99 } = quantiles(latency);
    return `${name} p50 ${number(p50)} us p99 ${number(p99)} us${gaps > 0 ? ` gaps ${gaps}` : ''}`;
  });
  const rates = `${number(picture.ordersPerSecond)} orders/s, ${number(picture.executionsPerSecond)} executions/s`;
  const end = `journal lag ${number(picture.journalLag)}, kills ${picture.kills}`;
  return `${Math.floor(picture.seconds)} s: ${[rates, ...spans, end].join(', ')}`;
}
