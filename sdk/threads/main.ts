/**
 * Main: `npm start -- --backend wasm`: the pipeline in one process.
 *
 * Exit code: 0 when everything was proved, 1 when it was not, 2 for wrong arguments or a wrong input file.
 */
import { Canvas, number } from '../crew/canvas.ts';
import { Interrupts } from '../crew/interrupts.ts';
import { main } from '../crew/stage.ts';
import { backend } from '../index.ts';
import { readLobster } from '../pipeline/lobster.ts';
import { HELP, type Options, parseOptions } from './options.ts';
import { isGood, type Outcome, Run } from './run.ts';

const DRAW_MS = 250;

function toJson(outcome: Outcome): string {
  const { seconds, written, matched, expected, readers, top, day, failure } = outcome;
  return JSON.stringify({
    ok: isGood(outcome),
    backend: outcome.backend,
    seconds: Math.round(seconds * 1_000) / 1_000,
    written,
    matched: matched?.commands ?? 0,
    messages: matched?.messages ?? 0,
    state_hash: matched?.stateHash.toString(16) ?? null,
    expected_hash: expected?.stateHash.toString(16) ?? null,
    orders: top?.live ?? 0,
    readers: readers.map(({ name, to, gaps, latency }) => {
      return {
        name,
        seen: to,
        gaps,
        p50_us: latency.quantile(0.5),
        p99_us: latency.quantile(0.99),
        max_us: latency.max,
      };
    }),
    trades: day?.trades ?? 0,
    volume: day?.volume ?? 0,
    kept: day?.kept ?? null,
    ...(failure === undefined ? {} : { failure }),
  });
}

function toText(outcome: Outcome): string {
  const { seconds, written, matched, expected, readers, top, day, failure } = outcome;
  const rate = number(written / Math.max(seconds, 0.001));
  const lines = [
    `${isGood(outcome) ? 'proved' : 'NOT PROVED'}: ${number(written)} commands in ${seconds.toFixed(1)} s (${rate}/s), ` +
      `${number(matched?.messages ?? 0)} market messages, on the ${outcome.backend} backend`,
  ];
  for (const { name, to, gaps, latency } of readers) {
    const [p50, p99] = [latency.quantile(0.5), latency.quantile(0.99)];
    const span = `p50 ${number(p50)} us, p99 ${number(p99)} us, max ${number(latency.max)} us`;
    lines.push(`  match to ${name}: ${span}; ${number(to)} messages, gaps ${gaps}`);
  }
  const [live, again] = [matched?.stateHash.toString(16) ?? '–', expected?.stateHash.toString(16) ?? '–'];
  lines.push(`  book: ${number(top?.live ?? 0)} orders, state ${live}, matched once more ${again}`);
  const kept = day?.kept === undefined ? '' : `, ${number(day.kept)} kept by the kernel`;
  lines.push(`  day: ${number(day?.trades ?? 0)} trades, volume ${number(day?.volume ?? 0)}${kept}`);
  if (failure !== undefined) lines.push(`  ${failure}`);
  return lines.join('\n');
}

async function play(options: Options): Promise<number> {
  if (options.input !== undefined) readLobster(options.input);
  process.env.TAILRACE_BACKEND = options.backend;
  const canvas = new Canvas(options.isJson ? process.stderr : process.stdout);
  const isShown = !options.isJson;
  const source = options.input ?? `generated order flow, seed ${options.seed}`;
  const end = options.seconds === undefined ? 'Ctrl-C ends it' : `ends after ${options.seconds} s or with Ctrl-C`;
  const where = `one process, four threads, on the ${backend().name} backend (${backend().file})`;
  if (isShown) canvas.say(`tailrace threads: ${where}; ${source} at ${number(options.rate)}/s; ${end}`);
  const run = new Run(options);
  new Interrupts(() => run.stop());
  let drawing: NodeJS.Timeout | undefined;
  const draw = () => {
    const { seconds, written, matched, depth, top, day } = run.picture();
    const spans = [run.view, run.analytics].map(({ latency }) => number(latency.quantile(0.5)));
    const line = () =>
      `${Math.floor(seconds)} s: ${number(written)} commands/s, ${number(matched)} matched/s, depth ${number(depth)}, ` +
      `view p50 ${spans[0]} us, analytics p50 ${spans[1]} us, ${number(top?.live ?? 0)} orders, ` +
      `${number(day?.trades ?? 0)} trades`;
    if (canvas.isLive) canvas.draw([{ style: 'plain', text: line() }]);
    else canvas.tick(seconds, line);
  };
  const outcome = await run.play(() => {
    if (isShown) drawing = setInterval(draw, DRAW_MS);
  });
  clearInterval(drawing);
  canvas.end();
  await run.close();
  process.stdout.write(`${options.isJson ? toJson(outcome) : toText(outcome)}\n`);
  return isGood(outcome) ? 0 : 1;
}

await main(parseOptions, HELP, play);
