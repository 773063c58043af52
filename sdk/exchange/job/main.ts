/**
 * Main: `npm start`. Says what it does, runs the exchange, draws the table, and leaves nothing behind.
 *
 * Exit code: 0 when everything was proved, 1 when it was not, 2 for wrong arguments or a wrong input file.
 */
import { Interrupts } from '../../crew/interrupts.ts';
import { Region, TailraceError } from '../../index.ts';
import { InputError, readLobster } from '../../pipeline/lobster.ts';
import { HELP, OptionError, type Options, parseOptions } from './options.ts';
import { Place } from './place.ts';
import { LEFTOVERS } from './posts.ts';
import { Run } from './run.ts';
import { Table } from './table.ts';
import { isGood, toJson, toText } from './verdict.ts';

const DRAW_MS = 250;

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function greeting(options: Options, place: Place): string {
  const source = options.input ?? `generated order flow, seed ${options.seed}`;
  const flow = `${source} at ${count(options.rate)}/s over ${options.accounts} sessions`;
  const kept = `acknowledged when ${options.acknowledge === 'wal' ? 'on disk' : `in ${options.acknowledge === 'memory' ? 'memory' : 'the journal'}`}`;
  const chaos = options.isChaos ? ', a kill every 2 s' : '';
  const end = options.seconds === undefined ? 'Ctrl-C ends it' : `ends after ${options.seconds} s or with Ctrl-C`;
  const resumed = options.isResumed ? 'resumed, ' : '';
  return `tailrace exchange: ${resumed}${flow}, ${kept}, logs in ${place.dir}${chaos}; ${end}`;
}

/** Removes what is left when there is no time for anything else. */
function sweep(run: Run, place: Place): void {
  run.crew.abandon();
  try {
    Region.remove(place.region);
  } catch {
    // It was removed, or never made.
  }
  place.remove();
}

/** Builds the kernel; what does not compile is said before anything is started. */
async function building(place: Place, file: string): Promise<void> {
  try {
    await place.buildKernel(file);
  } catch (error) {
    place.remove();
    throw error;
  }
}

async function play(asked: Options): Promise<number> {
  if (asked.input !== undefined) readLobster(asked.input);
  const { place, options } = await Place.open(asked);
  if (options.kernel !== undefined) await building(place, options.kernel);
  const screen = options.isJson ? process.stderr : process.stdout;
  const table = new Table(screen);
  let isShown = !options.isJson || process.stderr.isTTY === true;
  const say = (line: string) => {
    if (isShown) table.say(line);
  };
  say(greeting(options, place));
  for (const leftover of await LEFTOVERS.remove(options.dir)) say(`removed ${leftover}, left by a run that was killed`);
  const interrupts = new Interrupts(() => run.stop());
  const run = new Run(place, options);
  // Whoever read our output has left, as in `npm start | head`.
  screen.on('error', () => {
    isShown = false;
    interrupts.hear();
  });
  process.once('exit', () => sweep(run, place));
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
  if (isGood(outcome)) place.remove();
  else say(`the logs are kept in ${place.keep()}`);
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
