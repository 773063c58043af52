/**
 * Tail: `tailrace tail`, the messages of a channel as they come.
 *
 * It is a subscriber like any other, and so changes nothing for anybody on an ungated stream. On a queue it would take
 * messages away from the consumers they are for, on a gated stream it would hold writers back while nobody reads the
 * terminal: both only when that is asked for.
 */
import { BATCH_LIMIT } from '../consumer.ts';
import { wrongArgument } from '../error.ts';
import type { Message } from '../message.ts';
import type { ChannelInfo } from '../stats.ts';
import { type Column, type Paper, printable } from './paper.ts';
import { openEither, pathOf, regionWith } from './places.ts';

/** What to print. */
export interface TailOptions {
  from: 'latest' | 'oldest';
  /** How many messages. */
  count: number;
  /** Takes messages of a queue. */
  take: boolean;
  /** Holds the writers of a gated stream back. */
  hold: boolean;
}

const PREVIEW = 120;

function isText(payload: Uint8Array): boolean {
  try {
    return !/[^\P{Cc}\n\r\t]/u.test(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    return false;
  }
}

function time(message: Message): string {
  const ms = Number(message.timestamp / 1_000_000n);
  return Number.isSafeInteger(ms) && ms < 8.64e15 ? new Date(ms).toISOString().slice(11, 23) : '-';
}

function preview(message: Message): string {
  const { payload } = message;
  const text = isText(payload) ? printable(message.text()) : Buffer.from(payload.subarray(0, PREVIEW)).toString('hex');
  return text.length > PREVIEW ? `${text.slice(0, PREVIEW)}…` : text;
}

const MESSAGES: Column<Message>[] = [
  { title: 'SEQUENCE', value: (message) => message.sequence },
  { title: 'TIME', value: (message) => message.timestamp, text: time },
  { title: 'TYPE', value: (message) => message.type },
  { title: 'PID', value: (message) => message.senderPid },
  { title: 'BYTES', value: (message) => message.payload.length },
  { title: 'PAYLOAD', value: (message) => Buffer.from(message.payload).toString('base64'), text: preview },
];

function object(message: Message): object {
  const { sequence, timestamp, type, senderPid, senderRuntime, redelivered, payload } = message;
  const bytes = isText(payload) ? { text: message.text() } : { base64: Buffer.from(payload).toString('base64') };
  return { sequence, timestamp, type, senderPid, senderRuntime, redelivered, length: payload.length, ...bytes };
}

/** Prints one message. */
export function printMessage(paper: Paper, message: Message): void {
  if (paper.isJson) paper.json(object(message));
  else if (paper.isTerminal)
    paper.line(MESSAGES.map((column) => column.text?.(message) ?? column.value(message)).join('  '));
  else paper.table(MESSAGES, [message]);
}

/** Refuses to read where that changes something for others, unless it was asked for. */
export function checkReading(
  info: ChannelInfo | undefined,
  channel: string,
  options: Pick<TailOptions, 'take' | 'hold'>,
): void {
  if (info?.kind === 'queue' && !options.take) {
    throw wrongArgument(
      `"${channel}" is a queue: each message goes to one consumer; --take takes them from the others`,
    );
  }
  if (info?.options.includes('gated') && !options.hold) {
    throw wrongArgument(
      `"${channel}" is gated: its writers wait for every subscriber; --hold lets them wait for this one`,
    );
  }
}

/** Prints messages until it is told to end, or has printed as many as were asked for. */
export async function tail(paper: Paper, names: string[], options: TailOptions): Promise<void> {
  const channel = names.at(-1)!;
  const path = names.length === 2 ? pathOf(names[0]!) : regionWith(channel);
  using region = openEither(path, false);
  const info = region.channels().find(({ name }) => name === channel);
  checkReading(info, channel, options);
  if (options.count === 0) return;
  const from = info?.kind === 'stream' ? options.from : undefined;
  const limit = Math.min(options.count, BATCH_LIMIT);
  using consumer = region.openConsumer(channel, { label: 'tailrace tail', from, limit });
  let printed = 0;
  for await (const message of consumer.messages()) {
    printMessage(paper, message);
    printed += 1;
    if (printed >= options.count) return;
  }
}
