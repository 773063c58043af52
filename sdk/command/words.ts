/**
 * Words: what was typed, and what is wrong with it.
 */
import { parseArgs } from 'node:util';
import { Paper } from './paper.ts';

/** The command was not understood. */
export class Misuse extends Error {}

export const FLAG = { type: 'boolean', default: false } as const;
export const TEXT = { type: 'string' } as const;

type Option = typeof FLAG | typeof TEXT;
/** What was said of each option. */
export type Values<Options> = {
  [Name in keyof Options]: Options[Name] extends typeof FLAG ? boolean : string | undefined;
};

/** What was typed. */
export interface Typed<Options> {
  values: Values<Options>;
  names: string[];
  paper: Paper;
}

/** Takes options and names apart; there are at least `least` names and at most `most`. */
export function parse<Options extends Record<string, Option>>(
  words: string[],
  options: Options,
  least: number,
  most: number,
): Typed<Options> {
  const all = { ...options, json: FLAG };
  const typed = parseArgs({ args: words, options: all, allowPositionals: true });
  const values: unknown = typed.values;
  const { positionals } = typed;
  if (positionals.length < least) throw new Misuse('something is missing: see tailrace --help');
  if (positionals.length > most) throw new Misuse(`"${positionals[most]}" is too much: see tailrace --help`);
  const paper = new Paper(process.stdout, (values as { json?: boolean }).json === true);
  return { values: values as Values<Options>, names: positionals, paper };
}

/** A number from 0 on. */
export function number(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value >= 0)) throw new Misuse(`--${name} is "${text}"; give a number`);
  return value;
}

/** A whole number from `least` on. */
export function whole(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Misuse(`--${name} is "${text}"; give a whole number from ${least.toLocaleString('en')} on`);
}

/** Where a reader of a log begins. */
export function start(text: string | undefined): 'oldest' | 'latest' | bigint | Date {
  if (text === undefined || text === 'oldest' || text === 'latest') return text ?? 'oldest';
  if (/^\d+$/.test(text)) {
    const sequence = BigInt(text);
    if (sequence > 0n && sequence < 2n ** 64n) return sequence;
    throw new Misuse(`--from is ${text}; sequences begin with 1 and fit in 64 bits`);
  }
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? new Date(text) : undefined;
  if (time && time.getTime() >= 0) return time;
  throw new Misuse(`--from is "${text}"; give oldest, latest, a sequence, or a time such as 2026-11-21T17:00:00Z`);
}
