/**
 * Lanes: runs suites two at a time, and says of each what would have been said had they run one after another.
 *
 * Much of a run is waiting: for a process that is stopped for two seconds, for a disk, for one thread of an interpreter.
 * So a second suite goes on beside the first. Two rules keep that harmless:
 *
 *     compiling   keeps every processor busy, and holds the lock of cargo's folder: never two of these at once
 *     alone       asserts something that company would spoil (it says what): it begins when nothing else runs, and
 *                 nothing begins before it has ended
 *
 * Suites begin in their order, as far as the rules allow. They are told in that order too, whatever ends first: what has
 * ended early is kept until its turn, or until the process is told to end.
 */
import { availableParallelism } from 'node:os';

/** @typedef {import('./suites.mjs').Suite} Suite */

/** How many suites run at once. More would find nothing else, and a machine of two processors would only be late. */
export const LANES = Math.min(2, availableParallelism());

/** Whether a suite may begin beside those that run. @param {Suite} suite @param {Iterable<Suite>} running */
function isAllowed(suite, running) {
  const others = [...running];
  if (suite.alone) return others.length === 0;
  return !others.some((other) => other.alone || (suite.is_compiling && other.is_compiling));
}

/**
 * Plays every suite, `lanes` at a time, and tells of each in order.
 *
 * @template Result
 * @param {readonly Suite[]} suites
 * @param {(suite: Suite) => Promise<Result>} play
 * @param {(suite: Suite, result: Result) => void} tell
 * @param {number} [lanes]
 */
export async function inLanes(suites, play, tell, lanes = LANES) {
  // Those that are alone come last, so that both lanes are empty only once.
  const waiting = [...suites.filter((suite) => !suite.alone), ...suites.filter((suite) => suite.alone)];
  /** @type {Set<Suite>} */
  const running = new Set();
  /** @type {Map<Suite, Result>} */
  const kept = new Map();
  let told = 0;
  const tellAll = (/** @type {boolean} */ is_over) => {
    for (; told < suites.length; told += 1) {
      const suite = /** @type {Suite} */ (suites[told]);
      if (kept.has(suite)) tell(suite, /** @type {Result} */ (kept.get(suite)));
      else if (!is_over) return;
    }
  };
  const onExit = () => tellAll(true);
  process.once('exit', onExit);
  await new Promise((resolve, reject) => {
    const begin = () => {
      if (waiting.length === 0 && running.size === 0) resolve(undefined);
      while (running.size < lanes) {
        const index = waiting.findIndex((suite) => isAllowed(suite, running));
        const [suite] = index < 0 ? [] : waiting.splice(index, 1);
        if (!suite) return;
        running.add(suite);
        play(suite).then((result) => {
          running.delete(suite);
          kept.set(suite, result);
          tellAll(false);
          begin();
        }, reject);
      }
    };
    begin();
  });
  process.off('exit', onExit);
}
