/**
 * Stage: what every main job of several processes does around its run. Says what it does, sweeps up after runs that were
 * killed, shows the table, hears those who want it to end, and leaves nothing behind but logs that prove a fault.
 */
import { Region, TailraceError } from '../index.ts';
import type { Screen } from './canvas.ts';
import type { Crew } from './crew.ts';
import type { Folder } from './folder.ts';
import { Interrupts } from './interrupts.ts';
import type { Leftovers } from './leftovers.ts';
import { InputError, OptionError } from './mistakes.ts';
import type { Line } from './report.ts';

const DRAW_MS = 250;

/** The processes at work. */
export interface Run<Word extends Line, Picture, Outcome> {
  readonly crew: Crew<Word>;
  /** Asks it to end. */
  stop(): void;
  /** Runs until it is stopped; `begun` is called when everybody is at work, `tell` with what is said after the table. */
  play(begun: () => void, tell: (line: string) => void): Promise<Outcome>;
  picture(): Picture;
  close(): void;
}

/** Where the picture is drawn. */
export interface Table<Picture> {
  say(line: string): void;
  draw(picture: Picture): void;
  end(): void;
}

/** A job that is to be done. */
export interface Job<Word extends Line, Picture, Outcome> {
  greeting: string;
  /** Where the region's file is made, and that file. */
  dir: string;
  region: string;
  /** Where the logs are. */
  folder: Pick<Folder, 'remove' | 'keep'>;
  leftovers: Leftovers;
  isJson: boolean;
  table(screen: Screen): Table<Picture>;
  start(): Run<Word, Picture, Outcome>;
  /** Whether the exit code is 0. */
  isGood(outcome: Outcome): boolean;
  /** Whether there is nothing that a fault could be found in. */
  isEmpty(outcome: Outcome): boolean;
  toJson(outcome: Outcome): string;
  toText(outcome: Outcome): string;
}

/** Removes what is left when there is no time for anything else. */
function sweep(crew: Crew<never>, { region, folder }: Pick<Job<never, never, never>, 'region' | 'folder'>): void {
  crew.abandon();
  try {
    Region.remove(region);
  } catch {
    // It was removed, or never made.
  }
  folder.remove();
}

/** Does a job; the exit code. */
export async function perform<Word extends Line, Picture, Outcome>(job: Job<Word, Picture, Outcome>): Promise<number> {
  const { folder, isJson } = job;
  const screen = isJson ? process.stderr : process.stdout;
  const table = job.table(screen);
  let isShown = !isJson || process.stderr.isTTY === true;
  const say = (line: string) => {
    if (isShown) table.say(line);
  };
  say(job.greeting);
  for (const leftover of await job.leftovers.remove(job.dir)) say(`removed ${leftover}, left by a run that was killed`);
  const interrupts = new Interrupts(() => run.stop());
  const run = started(job);
  // Whoever read our output has left, as in `npm start | head`.
  screen.on('error', () => {
    isShown = false;
    interrupts.hear();
  });
  process.once('exit', () => sweep(run.crew as Crew<never>, job));
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
  if (job.isGood(outcome) || job.isEmpty(outcome)) folder.remove();
  else say(`the logs are kept in ${folder.keep()}`);
  process.stdout.write(`${isJson ? job.toJson(outcome) : job.toText(outcome)}\n`);
  return job.isGood(outcome) ? 0 : 1;
}

function started<Word extends Line, Picture, Outcome>(job: Job<Word, Picture, Outcome>): Run<Word, Picture, Outcome> {
  try {
    return job.start();
  } catch (error) {
    job.folder.remove();
    throw error;
  }
}

/** Runs a main program: reads its arguments, and tells in one line why it could not begin. */
export async function main<Options>(
  parse: (args: readonly string[]) => Options | undefined,
  help: string,
  play: (options: Options) => Promise<number>,
): Promise<void> {
  try {
    const options = parse(process.argv.slice(2));
    if (options === undefined) process.stdout.write(help);
    else process.exitCode = await play(options);
  } catch (error) {
    const isExpected = error instanceof OptionError || error instanceof InputError;
    if (!isExpected && !(error instanceof TailraceError)) throw error;
    process.stderr.write(`${error.code}: ${error.message}\n`);
    process.exitCode = isExpected ? 2 : 1;
  }
}
