/**
 * Main: `npm start -- pipeline`. Says what it does, runs the pipeline, draws the table, and leaves nothing behind.
 *
 * Exit code: 0 when everything was proved, 1 when it was not, 2 for wrong arguments or a wrong input file.
 */
import { main, perform } from '../crew/stage.ts';
import { Data } from './data.ts';
import { readLobster } from './lobster.ts';
import { HELP, type Options, parseOptions } from './options.ts';
import { LEFTOVERS } from './posts.ts';
import { Run } from './run.ts';
import { Table } from './table.ts';
import { isGood, toJson, toText } from './verdict.ts';

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

async function play(asked: Options): Promise<number> {
  if (asked.input !== undefined) readLobster(asked.input);
  const { data, options } = Data.open(asked, process.pid);
  await data.free();
  const path = LEFTOVERS.regionPath(options.dir, process.pid);
  return perform({
    greeting: greeting(options, path, data.dir),
    dir: options.dir,
    region: path,
    folder: data.folder,
    leftovers: LEFTOVERS,
    isJson: options.isJson,
    table: (screen) => new Table(screen),
    start: () => new Run(path, data, options),
    isGood,
    isEmpty: ({ findings }) => findings.written === 0,
    toJson,
    toText,
  });
}

await main(parseOptions, HELP, play);
