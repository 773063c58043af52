#!/usr/bin/env node
/**
 * Main: the command line. Ends with 0 when all is well, 1 when something failed or a check did, 2 when the command was
 * not understood, and 130 when it was interrupted.
 */
import { TailraceError } from '../error.ts';
import { cat } from './cat.ts';
import { doctor } from './doctor.ts';
import { endWhenAsked } from './ending.ts';
import { exchange, operate, replay } from './exchange.ts';
import { kernelCommand } from './kernel.ts';
import { list } from './list.ts';
import { repair, stat, verify } from './logs.ts';
import { record } from './record.ts';
import { remove, unblock } from './repair.ts';
import { tail } from './tail.ts';
import { top } from './top.ts';
import { FLAG, Misuse, number, parse, start, TEXT, whole } from './words.ts';

const USAGE = `tailrace: look at regions of shared memory and at logs, and mend them

  tailrace ls [FOLDER | REGION]      regions of a folder (/dev/shm), or channels of a region
  tailrace top REGION                rates, depths, who is behind, what is stuck
      --interval SECONDS             between two tables; 1
      --count N                      tables; without end on a terminal, else 1
  tailrace doctor [FOLDER | REGION]  what is wrong with this machine and its regions, and what to do
      --dir DIR                      whose disk is measured; where the logs are
  tailrace tail [REGION] CHANNEL     messages as they come
      --from latest | oldest         where to begin; latest
      --count N                      messages; without end
      --take                         of a queue: take them away from its consumers
      --hold                         of a gated stream: let its writers wait for this command
  tailrace record REGION CHANNEL     record a recorded channel in a log, until interrupted
      --dir DIR                      the log; made when it is not there
      --compress                     payloads of 512 bytes and more
      --segment-bytes N              bytes of a segment; 100,000,000
      --retention-days N             remove segments of so many days ago, whoever still wants them
      --retention-bytes N            remove the oldest segments while all have more bytes
      --rebase                       go on in this log, whatever log it was before
      --label TEXT                   what \`tailrace top\` calls it
  tailrace log stat DIR              what a log holds
  tailrace log verify DIR            read and check every record
  tailrace log repair DIR            what is damaged, and what can be done about it
      --yes                          do it
  tailrace log cat DIR               records, up to the end
      --from SEQUENCE | TIME         where to begin (or latest); oldest. TIME: 2026-11-21T17:00:00Z
      --count N                      records; all
      --follow                       go on past the end
  tailrace exchange                  run an exchange until interrupted, its parts in processes of their own
      --config FILE                  what it is
      --interval SECONDS             between two looks at it; 1
  tailrace exchange halt | resume    stop trading of a running one, and go on; cancels work all the same
  tailrace exchange kill | revive ACCOUNT   turn the kill switch of an account on or off
  tailrace exchange cancel ACCOUNT   take all orders of an account away
  tailrace exchange limits           set all limits; what is left out is none
      --open-orders-max N  --quantity-max N  --collar-ticks N
  tailrace replay DIR                replay an exchange's journal
      --until SEQUENCE               the last command; all
      --hash                         print what it comes to, as JSON
      --csv                          print what it said
      --from-snapshot                begin with the newest snapshot
  tailrace kernel new FOLDER         files of a new kernel: source, schema, vectors
      --kind filter | map | aggregate
  tailrace kernel build [FOLDER | FILE]  compile it, put its limits in, and write kernel.wasm
      --out FILE                     where it goes
      --schema FILE                  its records; schema.json beside the source
      --name, --kind, --memory-bytes what it says of itself, and may have
  tailrace kernel test [FOLDER | FILE]  run it over vectors.json, and compare
      --vectors FILE                 others
  tailrace kernel run REGION CHANNEL KERNEL  messages of a channel through a kernel
      --from, --count, --take, --hold  as for tail; --count counts results
      --into CHANNEL                 write them there instead of printing them
      --type N                       only messages of this type
      --skip                         pass over messages of another size
      --budget N                     turns that one batch may take; 10,000,000
  tailrace unblock REGION [CHANNEL]  repair now what the dead left behind, and print each position
      --force                        also what belongs to nobody known
      --drop                         also what dead consumers had taken, where no consumer is left
  tailrace rm REGION…                remove regions
      --force                        even when they are open

  --json   one JSON object a line           --help   this
  A REGION without a slash is one in /dev/shm. Output that is no terminal gets one line of tab-separated values for
  each item. NO_COLOR turns colours off.
`;

const SEGMENT_BYTES_MIN = 65_536;

const RECORD = {
  dir: TEXT,
  label: TEXT,
  compress: FLAG,
  rebase: FLAG,
  'segment-bytes': TEXT,
  'retention-days': TEXT,
  'retention-bytes': TEXT,
} as const;

const EXCHANGE = {
  config: TEXT,
  interval: TEXT,
  'open-orders-max': TEXT,
  'quantity-max': TEXT,
  'collar-ticks': TEXT,
} as const;

const LOG_WORDS = 'give stat, verify, repair or cat, and the directory of a log';

const LOG_COMMANDS: Record<string, (words: string[]) => Promise<void>> = {
  async stat(words) {
    const { names, paper } = parse(words, {}, 1, 1);
    await stat(paper, names[0]!);
  },
  async verify(words) {
    const { names, paper } = parse(words, {}, 1, 1);
    await verify(paper, names[0]!);
  },
  async repair(words) {
    const { values, names, paper } = parse(words, { yes: FLAG }, 1, 1);
    await repair(paper, names[0]!, values.yes);
  },
  async cat(words) {
    const { values, names, paper } = parse(words, { from: TEXT, count: TEXT, follow: FLAG }, 1, 1);
    const from = start(values.from);
    const count = number('count', values.count, Number.POSITIVE_INFINITY);
    await cat(paper, names[0]!, { from, count, follow: values.follow });
  },
};

type Command = (words: string[]) => unknown;

const COMMANDS: Record<string, Command> = {
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
    const { values, names, paper } = parse(words, { dir: TEXT }, 0, 1);
    return doctor(paper, names[0], values.dir);
  },
  async record(words) {
    const { values, names, paper } = parse(words, RECORD, 2, 2);
    if (values.dir === undefined) throw new Misuse('--dir is missing; give the directory of the log');
    await record(paper, names, {
      log: values.dir,
      label: values.label ?? 'tailrace record',
      compress: values.compress,
      rebase: values.rebase,
      segmentBytes: whole('segment-bytes', values['segment-bytes'], SEGMENT_BYTES_MIN),
      retentionDays: whole('retention-days', values['retention-days'], 1),
      retentionBytes: whole('retention-bytes', values['retention-bytes'], 1),
    });
  },
  async log([name, ...words]) {
    const command = name !== undefined && Object.hasOwn(LOG_COMMANDS, name) ? LOG_COMMANDS[name] : undefined;
    if (command) return command(words);
    throw new Misuse(name === undefined ? `log what? ${LOG_WORDS}` : `there is no command "log ${name}": ${LOG_WORDS}`);
  },
  async exchange(words) {
    const { values, names, paper } = parse(words, EXCHANGE, 0, 2);
    if (values.config === undefined) throw new Misuse('--config is missing; give the file that says what it is');
    if (names.length === 0) return exchange(paper, values.config, number('interval', values.interval, 1));
    return operate(paper, values.config, names, {
      openOrdersMax: whole('open-orders-max', values['open-orders-max'], 0) ?? 0,
      quantityMax: whole('quantity-max', values['quantity-max'], 0) ?? 0,
      collarTicks: whole('collar-ticks', values['collar-ticks'], 0) ?? 0,
    });
  },
  replay(words) {
    const options = { until: TEXT, hash: FLAG, csv: FLAG, 'from-snapshot': FLAG };
    const { values, names } = parse(words, options, 1, 1);
    const flags = (['hash', 'csv', 'from-snapshot'] as const).filter((flag) => values[flag]).map((flag) => `--${flag}`);
    const until = values.until === undefined ? [] : ['--until', `${whole('until', values.until, 1)}`];
    return replay([names[0]!, ...flags, ...until]);
  },
  async tail(words) {
    const { values, names, paper } = parse(words, { from: TEXT, count: TEXT, take: FLAG, hold: FLAG }, 1, 2);
    const from = values.from ?? 'latest';
    if (from !== 'latest' && from !== 'oldest') throw new Misuse(`--from is "${from}"; give latest or oldest`);
    const count = number('count', values.count, Number.POSITIVE_INFINITY);
    await tail(paper, names, { from, count, take: values.take, hold: values.hold });
  },
  kernel: kernelCommand,
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

endWhenAsked();

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isMisuse = error instanceof Misuse || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS');
  if (!isMisuse && !(error instanceof TailraceError)) throw error;
  const { message } = error as Error;
  process.stderr.write(`tailrace: ${error instanceof TailraceError ? `${error.code}: ` : ''}${message}\n`);
  process.exitCode = isMisuse ? 2 : 1;
}
