/**
 * Main: `npm start`. Says what it does, runs the exchange, draws the table, and leaves nothing behind.
 *
 * Exit code: 0 when everything was proved, 1 when it was not, 2 for wrong arguments or a wrong input file.
 */
import { main, perform } from '../../crew/stage.ts';
import { readLobster } from '../../pipeline/lobster.ts';
import { HELP, type Options, parseOptions } from './options.ts';
import { Place } from './place.ts';
import { LEFTOVERS } from './posts.ts';
import { Run } from './run.ts';
import { Table } from './table.ts';
import { isGood, toJson, toText } from './verdict.ts';

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

/** Builds the kernel; what does not compile is said before anything is started. */
async function building(place: Place, file: string): Promise<void> {
  try {
    await place.buildKernel(file);
  } catch (error) {
    place.folder.remove();
    throw error;
  }
}

async function play(asked: Options): Promise<number> {
  if (asked.input !== undefined) readLobster(asked.input);
  const { place, options } = await Place.open(asked);
  if (options.kernel !== undefined) await building(place, options.kernel);
  return perform({
    greeting: greeting(options, place),
    dir: options.dir,
    region: place.region,
    folder: place.folder,
    leftovers: LEFTOVERS,
    isJson: options.isJson,
    table: (screen) => new Table(screen),
    start: () => new Run(place, options),
    isGood,
    isEmpty: () => false,
    toJson,
    toText,
  });
}

await main(parseOptions, HELP, play);
