/**
 * Table: the running pipeline as a picture.
 */
import { Canvas, number, type Screen, type StyledLine, total } from '../crew/canvas.ts';
import type { Latency } from '../crew/latency.ts';
import type { Top } from './report.ts';
import type { Signal } from './signal.ts';

/** One channel now. */
export interface ChannelLine {
  name: string;
  kind: string;
  perSecond: number;
  depth: number;
  written: number;
}

/** One consumer now. */
export interface ConsumerLine {
  name: string;
  language: string;
  channel: string;
  perSecond: number;
  lost: number;
  latency: Latency;
  /** Messages, those too that were caught up with and have no latency. */
  read: number;
  isReady: boolean;
}

/** The log of one channel now. */
export interface RecordedLine {
  name: string;
  /** 'recording', 'restarting', or why it cannot. */
  state: string;
  /** Positions written and not recorded. */
  lag: number;
  /** Newest sequence on disk. */
  durable: number;
  /** Sequences that the group has not finished; none for a channel that has no group. */
  groupLag: number | undefined;
}

/** Everything the table shows. */
export interface Picture {
  seconds: number;
  channels: ChannelLine[];
  consumers: ConsumerLine[];
  recorded: RecordedLine[];
  /** Records sent with durability 'wal', and how long until they were acknowledged. */
  wal: { latency: Latency; perSecond: number };
  top: Top | undefined;
  signal: Signal | undefined;
  repairs: number;
  abandoned: number;
  redelivered: number;
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
    if (this.#canvas.isLive) this.#canvas.draw(this.#lines(picture));
    else this.#canvas.tick(picture.seconds, () => plainLine(picture));
  }

  /** Leaves the last picture standing. */
  end(): void {
    this.#canvas.end();
  }

  #lines(picture: Picture): StyledLine[] {
    const lines: StyledLine[] = [
      { style: 'dim', text: row('channel', '', 'per second', 'depth', '', '', 'written', '') },
      ...picture.channels.map(({ name, kind, perSecond, depth, written }) => ({
        style: 'plain' as const,
        text: row(name, kind, number(perSecond), number(depth), '', '', total(written), ''),
      })),
      { style: 'dim', text: row('consumer', '', 'per second', 'p50 us', 'p99 us', 'max us', 'read', 'lost') },
    ];
    for (const { name, language, channel, perSecond, latency, lost, read, isReady } of picture.consumers) {
      const { p50, p99, max } = quantiles(latency);
      const text = row(
        name,
        isReady ? `${language}, ${channel}` : 'restarting',
        number(perSecond),
        number(p50),
        number(p99),
        number(max),
        total(read),
        number(lost),
      );
      lines.push({ style: lost > 0 ? 'bad' : isReady ? 'plain' : 'warn', text });
    }
    lines.push({ style: 'dim', text: row('log', '', 'lag', 'group', 'p50 us', 'p99 us', 'durable', '') });
    for (const { name, state, lag, durable, groupLag } of picture.recorded) {
      const group = groupLag === undefined ? '' : number(groupLag);
      const text = row(name, state, number(lag), group, '', '', total(durable), '');
      lines.push({ style: state === 'recording' ? 'plain' : 'warn', text });
    }
    lines.push({ style: 'plain', text: walLine(picture.wal) });
    const { repairs, kills, abandoned, redelivered, stallMs } = picture;
    lines.push({ style: 'plain', text: '' }, { style: 'plain', text: bookLine(picture.top) });
    lines.push({ style: 'plain', text: signalLine(picture.signal) });
    const mended = `${number(repairs)} repairs, ${number(abandoned)} abandoned, ${number(redelivered)} redelivered`;
    const stall = `${Math.floor(picture.seconds)} s, ${kills} kills, longest stall ${stallMs.toFixed(1)} ms`;
    lines.push({ style: 'plain', text: `${'run'.padEnd(WIDTHS.name)}${stall}, ${mended}` });
    return lines;
  }
}

/** Widths of a row: name, kind, and the cells; together they fit a terminal of 80 columns. */
const WIDTHS = { name: 10, kind: 18, cells: [10, 8, 8, 8, 10, 6] };

function row(name: string, kind: string, ...cells: string[]): string {
  const padded = cells.map((cell, index) => cell.padStart(WIDTHS.cells[index] ?? 0));
  return name.padEnd(WIDTHS.name) + kind.padEnd(WIDTHS.kind) + padded.join('');
}

function dollars(price: number): string {
  return price > 0 ? (price / 10_000).toFixed(2) : '–';
}

function quantiles(latency: Latency): { p50: number; p99: number; max: number } {
  return { p50: latency.quantile(0.5), p99: latency.quantile(0.99), max: latency.max };
}

/** What was sent with durability 'wal', in the columns of the logs. */
function walLine({ latency, perSecond }: Picture['wal']): string {
  const { p50, p99 } = quantiles(latency);
  return row('wal', `${number(perSecond)} acks/s`, '', '', number(p50), number(p99), total(latency.count), '');
}

function bookLine(top: Top | undefined): string {
  if (top === undefined) return 'book      waiting for orders';
  const touch = `${number(top.bidSize)} × ${dollars(top.bid)} | ${dollars(top.ask)} × ${number(top.askSize)}`;
  return `book      ${touch} · ${number(top.live)} orders, ${number(top.unknown)} unknown · run ${top.run}, lap ${top.lap}`;
}

function signalLine(signal: Signal | undefined): string {
  if (signal === undefined) return 'signal    waiting for the first one';
  const trades = `${number(signal.trades)} trades, volume ${number(Number(signal.volume))}`;
  return `signal    ${trades}, VWAP ${dollars(signal.vwap)}, imbalance ${signal.imbalance.toFixed(2)}`;
}

function plainLine(picture: Picture): string {
  const channels = picture.channels.map((channel) => `${channel.name} ${number(channel.perSecond)}/s`);
  const consumers = picture.consumers.map(({ name, latency, lost }) => {
    const { p50, p99 } = quantiles(latency);
    return `${name} p50 ${number(p50)} us p99 ${number(p99)} us${lost > 0 ? ` LOST ${lost}` : ''}`;
  });
  const { p50, p99 } = quantiles(picture.wal.latency);
  const wal = `wal ${number(picture.wal.perSecond)} acks/s p50 ${number(p50)} us p99 ${number(p99)} us`;
  const lags = picture.recorded.map(({ name, lag }) => `${name} lag ${number(lag)}`);
  const end = `repairs ${picture.repairs}, kills ${picture.kills}`;
  return `${Math.floor(picture.seconds)} s: ${[...channels, ...consumers, wal, ...lags, end].join(', ')}`;
}
