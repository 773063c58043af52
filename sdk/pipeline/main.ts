/**
 * Main: `npm start`. Says what it does, runs the pipeline, draws the table, and leaves nothing behind.
 *
 * Exit code: 0 when everything was proved, 1 when it was not, 2 for wrong arguments or a wrong input file.
 */
import { Interrupts } from '../crew/interrupts.ts';
import { Region, TailraceError } from '../index.ts';
import { Data } from './data.ts';
import { InputError, readLobster } from './lobster.ts';
import { HELP, OptionError, type Options, parseOptions } from './options.ts';
import { LEFTOVERS } from './posts.ts';
import { Run } from './run.ts';
import { Table } from './table.ts';
import { isGood, toJson, toText } from './verdict.ts';

const DRAW_MS = 250;

function greeting(options: Options, path: string, data: string): string {
  const source = options.input ?? `generated order flow, seed ${options.seed}`;
  const chaos = options.isChaos ? ', a kill every 2 s' : '';
  const ends = [
    ...(options.records === undefined ? [] : [`with record ${count(options.records)}`]),
    ...(options.seconds === undefined ? [] : [`after ${options.seconds} s`]),
  ];
  const end = ends.length === 0 ? 'Ctrl-C ends it' : `ends ${ends.join(', ')} or with Ctrl-C`;
  const resumed = options.isResumed ? 'resumed, ' : '';
  return `tailrace pipeline: ${resumed}${source} at ${count(options.rate)}/s through ${path}, logs in ${data}${chaos}; ${end}`;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** Removes what is left when there is no time for anything else. */
function sweep(run: Run, path: string, data: Data): void {
  run.crew.abandon();
  try {
    Region.remove(path);
  } catch {
    // It was removed, and so was the folder, unless somebody is to look at it.
    return;
  }
  data.remove();
}

function started(path: string, data: Data, options: Options): Run {
  try {
    return new Run(path, data, options);
  } catch (error) {
    data.remove();
    throw error;
  }
}

async function play(asked: Options): Promise<number> {
  if (asked.input !== undefined) readLobster(asked.input);
  const { data, options } = Data.open(asked, process.pid);
  await data.free();
  const path = LEFTOVERS.regionPath(options.dir, process.pid);
  const screen = options.isJson ? process.stderr : process.stdout;
  const table = new Table(screen);
  let isShown = !options.isJson || process.stderr.isTTY === true;
  const say = (line: string) => {
    if (isShown) table.say(line);
  };
  say(greeting(options, path, data.dir));
  for (const leftover of await LEFTOVERS.remove(options.dir)) say(`removed ${leftover}, left by a run that was killed`);
  const interrupts = new Interrupts(() => run.stop());
  const run = started(path, data, options);
  // Whoever read our output has left, as in `npm start | head`.
  screen.on('error', () => {
    isShown = false;
    interrupts.hear();
  });
  process.once('exit', () => sweep(run, path, data));
  run.crew.on('said', (member, line) => table.say(`[${member.name}] ${line}`));
  run.crew.on('died', (member, death) => say(`${death.signal}: ${member.name} (${death.pid}) is started again`));

  let drawing: NodeJS.Timeout | undefined;
  const begun = () => {
    drawing = setInterval(() => {
      if (isShown) table.draw(run.picture());
    }, DRAW_MS);
  };
  const tell = (line: string) => {
    clearInterval(drawing);
    table.end();
    say(line);
  };
  const outcome = await run.play(begun, tell);
  clearInterval(drawing);
  table.end();
  run.close();
  if (isGood(outcome) || outcome.findings.written === 0) data.remove();
  else say(`the logs are kept in ${data.keep()}`);
  process.stdout.write(`${options.isJson ? toJson(outcome) : toText(outcome)}\n`);
  return isGood(outcome) ? 0 : 1;
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(HELP);
  else process.exitCode = await play(options);
} catch (error) {
  const isExpected = error instanceof OptionError || error instanceof InputError;
  if (!isExpected && !(error instanceof TailraceError)) throw error;
  process.stderr.write(`${error.code}: ${error.message}\n`);
  process.exitCode = isExpected ? 2 : 1;
}
