/**
 * Test: builds what is missing, runs every suite, and ends with one line, `N passed, N failed, N skipped`.
 *
 *     npm test                    all
 *     npm test -- pytest region   the suites whose name holds one of these words
 *     npm test -- --list          their names
 *
 * A suite that fails shows all that it printed. One that does not end is killed when its time is up, and has failed.
 */
import { build, orExplain } from './build.mjs';
import { count, notes } from './counts.mjs';
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

/** @param {import('./suites.mjs').Suite} suite @returns {Promise<import('./counts.mjs').Counts>} */
async function runSuite(suite) {
  const reason = suite.absent?.();
  if (reason) {
    print(`${suite.name.padEnd(NAME_WIDTH)} skipped\n  skipped: ${reason}`);
    return { passed: 0, failed: 0, skipped: 1, reasons: [reason] };
  }
  const minutes = suite.minutes ?? 10;
  const ending = await run(suite.command, {
    folder: `${root}${suite.folder ?? ''}`,
    environment: { ...ENVIRONMENT, ...suite.environment },
    limit_seconds: minutes * 60,
  });
  const counts = count(suite.runner, ending);
  print(`${suite.name.padEnd(NAME_WIDTH)} ${summary(counts).padEnd(NAME_WIDTH)} ${ending.seconds.toFixed(1)} s`);
  for (const note of notes(ending.output)) print(`  ${note}`);
  const untold = counts.skipped - counts.reasons.length;
  if (untold > 0) counts.reasons.push(`${untold} more, for which the tests give no reason`);
  for (const told of counts.reasons) print(`  skipped: ${told}`);
  if (counts.failed > 0) {
    const end = ending.is_late ? `was killed after ${minutes} minutes` : `ended with ${ending.signal ?? ending.code}`;
    print(`  \`${suite.command.join(' ')}\` ${end}:\n${indent(ending.output) || '    (it printed nothing)'}`);
  }
  return counts;
}

/** @param {string[]} words */
async function main(words) {
  const is_list = words.includes('--list');
  const wanted = words.filter((word) => !word.startsWith('-'));
  const chosen = suites().filter(({ name }) => wanted.length === 0 || wanted.some((word) => name.includes(word)));
  if (is_list) return print(chosen.map(({ name }) => name).join('\n'));
  const total = { passed: 0, failed: 0, skipped: 0, reasons: /** @type {string[]} */ ([]) };
  const failures = [];
  await orExplain(build);
  if (process.exitCode) {
    failures.push('build');
    total.failed += 1;
  } else {
    for (const suite of chosen) {
      const counts = await runSuite(suite);
      if (counts.failed > 0) failures.push(suite.name);
      total.passed += counts.passed;
      total.failed += counts.failed;
      total.skipped += counts.skipped;
    }
    if (chosen.length === 0) {
      print(`No suite is named like ${wanted.join(' or ')}; npm test -- --list shows them.`);
      total.failed += 1;
    }
  }
  if (failures.length > 0) print(`\nfailed: ${failures.join(', ')}`);
  print(`\n${summary(total)}`);
  process.exitCode = total.failed > 0 ? 1 : 0;
}

await main(process.argv.slice(2));
