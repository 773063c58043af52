/**
 * Test: builds what is missing, runs every suite, and ends with one line, `N passed, N failed, N skipped`.
 *
 *     npm test                    all
 *     npm test -- pytest region   the suites whose name holds one of these words
 *     npm test -- --list          their names
 *     npm test -- --one-by-one    all, without a second lane
 *
 * A suite that fails shows all that it printed. One that does not end is killed when its time is up, and has failed.
 * Above the last line stands again, shortly, which tests failed: who is shown only the end of a long output needs no more.
 */
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { build, orExplain } from './build.mjs';
import { count, failures, notes } from './counts.mjs';
import { inLanes, LANES } from './lanes.mjs';
import { run } from './process.mjs';
import { suites } from './suites.mjs';
import { python, root } from './toolchain.mjs';

const NAME_WIDTH = 32;

/** What every suite sees: the same machine whether a terminal is there or not. */
const ENVIRONMENT = { NO_COLOR: '1', CARGO_TERM_COLOR: 'never', TAILRACE_PYTHON: python };

/** @param {string} text */
function print(text) {
  process.stdout.write(`${text}\n`);
}

/** @param {string} text */
function indent(text) {
  return text.trimEnd().replaceAll(/^/gm, '    ');
}

/** @param {import('./counts.mjs').Counts} counts */
function summary({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/**
 * @typedef {object} Result
 * @property {import('./counts.mjs').Counts} counts
 * @property {string} text       what is said of it
 * @property {string} [failed]   the same of its failures, shortly
 */

/** @param {import('./suites.mjs').Suite} suite @returns {Promise<Result>} */
async function play(suite) {
  const reason = suite.absent?.();
  if (reason) {
    const text = `${suite.name.padEnd(NAME_WIDTH)} skipped\n  skipped: ${reason}`;
    return { counts: { passed: 0, failed: 0, skipped: 1, reasons: [reason] }, text };
  }
  const minutes = suite.minutes ?? 15;
  const ending = await run(suite.command, {
    folder: `${root}${suite.folder ?? ''}`,
    environment: { ...ENVIRONMENT, ...suite.environment },
    limit_seconds: minutes * 60,
  });
  const counts = count(suite.runner, ending);
  const said = [
    `${suite.name.padEnd(NAME_WIDTH)} ${summary(counts).padEnd(NAME_WIDTH)} ${ending.seconds.toFixed(1)} s`,
  ];
  for (const note of notes(ending.output)) said.push(`  ${note}`);
  const untold = counts.skipped - counts.reasons.length;
  if (untold > 0) counts.reasons.push(`${untold} more, for which the tests give no reason`);
  for (const told of counts.reasons) said.push(`  skipped: ${told}`);
  if (counts.failed === 0) return { counts, text: said.join('\n') };
  const end = ending.is_late ? `was killed after ${minutes} minutes` : `ended with ${ending.signal ?? ending.code}`;
  said.push(`  \`${suite.command.join(' ')}\` ${end}:\n${indent(ending.output) || '    (it printed nothing)'}`);
  const failed = [`${suite.name} ${end}`, indent(failures(suite.runner, ending.output).join('\n'))].join('\n');
  return { counts, text: said.join('\n'), failed };
}

/** Where tests make things, and what these are called: ours, and what libraries make for tests of ours. */
const PLACES = [
  { folder: '/dev/shm', pattern: /^\.?tailrace-/ },
  { folder: tmpdir(), pattern: /^(tailrace-|\.tmp\w{6}$|tmp\w{8}$)/ },
];

/** What lies there. */
function belongings() {
  return PLACES.filter(({ folder }) => existsSync(folder)).flatMap(({ folder, pattern }) =>
    readdirSync(folder)
      .filter((name) => pattern.test(name))
      .map((name) => `${folder}/${name}`),
  );
}

/** @param {string[]} words */
async function main(words) {
  const is_list = words.includes('--list');
  const lanes = words.includes('--one-by-one') ? 1 : LANES;
  const wanted = words.filter((word) => !word.startsWith('-'));
  const chosen = suites().filter(({ name }) => wanted.length === 0 || wanted.some((word) => name.includes(word)));
  if (is_list) return print(chosen.map(({ name }) => name).join('\n'));
  const total = { passed: 0, failed: 0, skipped: 0, reasons: /** @type {string[]} */ ([]) };
  /** @type {string[]} */
  const failed = [];
  const before = new Set(belongings());
  await orExplain(build);
  if (process.exitCode) {
    failed.push('build');
    total.failed += 1;
  } else {
    const tell = (/** @type {unknown} */ _suite, /** @type {Result} */ result) => {
      print(result.text);
      if (result.failed) failed.push(result.failed);
      total.passed += result.counts.passed;
      total.failed += result.counts.failed;
      total.skipped += result.counts.skipped;
    };
    await inLanes(chosen, play, tell, lanes);
    if (chosen.length === 0) {
      print(`No suite is named like ${wanted.join(' or ')}; npm test -- --list shows them.`);
      total.failed += 1;
    }
  }
  // Said and not judged: somebody else may be testing on this machine.
  const left = belongings().filter((path) => !before.has(path));
  if (left.length > 0) print(`\nthere now, and not before: ${left.join(', ')}`);
  for (const text of failed) print(`\nfailed: ${text}`);
  print(`\n${summary(total)}`);
  process.exitCode = total.failed > 0 ? 1 : 0;
}

await main(process.argv.slice(2));
