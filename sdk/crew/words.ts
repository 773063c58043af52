/**
 * Words: what is said after `npm start --`, checked before anything is started.
 */
import { resolve } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { OptionError } from './mistakes.ts';

type Known = NonNullable<ParseArgsConfig['options']>;
type Values<T extends Known> = ReturnType<typeof parseArgs<{ args: string[]; options: T }>>['values'];

/**
 * The options among `args`; `start` is the command whose help tells more.
 *
 * @throws OptionError when there is another word, or one that lacks its value.
 */
export function parsed<T extends Known>(args: readonly string[], options: T, start = 'npm start --'): Values<T> {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (cause) {
    throw new OptionError(`${(cause as Error).message.split('. ')[0]}. See ${start} --help`, { cause });
  }
}

/**
 * The number that `text` is.
 *
 * @throws OptionError when it is none, or out of bounds.
 */
export function bounded(name: string, text: string, lowest: number, highest: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= lowest && value <= highest) return value;
  throw new OptionError(`${name} is "${text}"; give a number from ${lowest} to ${highest}`);
}

/** npm runs scripts in the package's folder; people mean the one they are in. */
export function located(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(process.env.INIT_CWD ?? process.cwd(), path);
}
