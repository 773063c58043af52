#!/usr/bin/env node
/**
 * Main: the command line. Ends with 0 when all is well, 1 when something failed or a check did, 2 when the command was
 * not understood, and 130 when it was interrupted.
 */
import { parseArgs } from 'node:util';
import { TailraceError } from '../error.ts';
import { doctor } from './doctor.ts';
import { list } from './list.ts';
import { Paper } from './paper.ts';
import { remove, unblock } from './repair.ts';
import { tail } from './tail.ts';
import { top } from './top.ts';

const USAGE = `tailrace: look at regions of shared memory, and mend them

  tailrace ls [FOLDER | REGION]      regions of a folder (/dev/shm), or channels of a region
  tailrace top REGION                rates, depths, who is behind, what is stuck
      --interval SECONDS             between two tables; 1
      --count N                      tables; without end on a terminal, else 1
  tailrace doctor [FOLDER | REGION]  what is wrong with this machine and its regions, and what to do
  tailrace tail [REGION] CHANNEL     messages as they come
      --from latest | oldest         where to begin; latest
      --count N                      messages; without end
      --take                         of a queue: take them away from its consumers
      --hold                         of a gated stream: let its writers wait for this command
  tailrace unblock REGION [CHANNEL]  repair now what the dead left behind, and print each position
      --force                        also what belongs to nobody known
      --drop                         also what dead consumers had taken, where no consumer is left
  tailrace rm REGION…                remove regions
      --force                        even when they are open

  --json   one JSON object a line           --help   this
  A REGION without a slash is one in /dev/shm. Output that is no terminal gets one line of tab-separated values for
  each item. NO_COLOR turns colours off.
`;

/** The command was not understood. */
class Misuse extends Error {}

const FLAG = { type: 'boolean', default: false } as const;
const TEXT = { type: 'string' } as const;

function parse<Options extends Record<string, typeof FLAG | typeof TEXT>>(
  words: string[],
  options: Options,
  least: number,
  most: number,
) {
  const all = { ...options, json: FLAG };
  const { values, positionals } = parseArgs({ args: words, options: all, allowPositionals: true });
  if (positionals.length < least) throw new Misuse('something is missing: see tailrace --help');
  if (positionals.length > most) throw new Misuse(`"${positionals[most]}" is too much: see tailrace --help`);
  return { values, names: positionals, paper: new Paper(process.stdout, (values as { json?: boolean }).json === true) };
}

function number(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value >= 0)) throw new Misuse(`--${name} is "${text}"; give a number`);
  return value;
}

const COMMANDS: Record<string, (words: string[]) => boolean | undefined | Promise<void>> = {
  ls(words) {
    const { names, paper } = parse(words, {}, 0, 1);
    list(paper, names[0]);
    return true;
  },
  async top(words) {
    const { values, names, paper } = parse(words, { interval: TEXT, count: TEXT }, 1, 1);
    const count = number('count', values.count, paper.isTerminal ? Number.POSITIVE_INFINITY : 1);
    await top(paper, names[0]!, { interval: number('interval', values.interval, 1), count });
  },
  doctor(words) {
    const { names, paper } = parse(words, {}, 0, 1);
    return doctor(paper, names[0]);
  },
  async tail(words) {
    const { values, names, paper } = parse(words, { from: TEXT, count: TEXT, take: FLAG, hold: FLAG }, 1, 2);
    const from = values.from ?? 'latest';
    if (from !== 'latest' && from !== 'oldest') throw new Misuse(`--from is "${from}"; give latest or oldest`);
    const count = number('count', values.count, Number.POSITIVE_INFINITY);
    await tail(paper, names, { from, count, take: values.take, hold: values.hold });
  },
  unblock(words) {
    const { values, names, paper } = parse(words, { force: FLAG, drop: FLAG }, 1, 2);
    unblock(paper, names, { force: values.force, drop: values.drop });
    return true;
  },
  rm(words) {
    const { values, names, paper } = parse(words, { force: FLAG }, 1, Number.POSITIVE_INFINITY);
    remove(paper, names, values.force);
    return true;
  },
};

async function main([name, ...words]: string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help' || words.includes('--help')) {
    (name === undefined ? process.stderr : process.stdout).write(USAGE);
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) throw new Misuse(`there is no command "${name}": see tailrace --help`);
  return (await command(words)) === false ? 1 : 0;
}

// Handles are closed on the way out, so that nobody has to repair what this command left.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isMisuse = error instanceof Misuse || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS');
  if (!isMisuse && !(error instanceof TailraceError)) throw error;
  const { message } = error as Error;
  process.stderr.write(`tailrace: ${error instanceof TailraceError ? `${error.code}: ` : ''}${message}\n`);
  process.exitCode = isMisuse ? 2 : 1;
}
