/**
 * Counts: what each test runner says at its end, read from its output.
 *
 * A runner that says nothing has run nothing, and that is a failure: a forgotten `run()`, a filter that matches no test
 * and a crash before the first one would otherwise look like success.
 *
 * Any test may speak through its output: a line `skip: REASON` says why it left something out, a line `note: FIGURE` is
 * repeated below the suite's name.
 */

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {string[]} reasons   one for each thing skipped, as far as the runner says
 */

/** @param {string} output @param {RegExp} pattern */
function sum(output, pattern) {
  let total = 0;
  for (const found of output.matchAll(pattern)) total += Number(found[1]);
  return total;
}

/** @param {string} output @param {RegExp} pattern */
function lines(output, pattern) {
  return [...output.matchAll(pattern)].map((found) => (found[1] ?? '').trim());
}

/** @param {string} output */
function spoken(output) {
  return lines(output, /^skip: (.+)$/gm);
}

/** Cargo prints one `test result:` line for each test binary. @param {string} output @returns {Counts} */
function readCargo(output) {
  return {
    passed: sum(output, /^test result: .*?(\d+) passed;/gm),
    failed: sum(output, /^test result: .*?(\d+) failed;/gm),
    skipped: sum(output, /^test result: .*?(\d+) ignored;/gm),
    reasons: [...lines(output, /^test (.+? \.\.\. ignored.*)$/gm), ...spoken(output)],
  };
}

/** Uvu's total holds what failed; what it skipped stands beside it. @param {string} output @returns {Counts} */
function readUvu(output) {
  const passed = sum(output, /^ {2}Passed: +(\d+)$/gm);
  return {
    passed,
    failed: sum(output, /^ {2}Total: +(\d+)$/gm) - passed,
    skipped: sum(output, /^ {2}Skipped: +(\d+)$/gm),
    reasons: spoken(output),
  };
}

/** Pytest's last line names only what occurred. @param {string} output @returns {Counts} */
function readPytest(output) {
  const last = output.match(/^=+ .*\d+ .* in [\d.]+s.* =+$/gm)?.at(-1) ?? '';
  return {
    passed: sum(last, /(\d+) (?:passed|xfailed)/g),
    failed: sum(last, /(\d+) (?:failed|errors?|xpassed)/g),
    skipped: sum(last, /(\d+) skipped/g),
    reasons: [...lines(output, /^SKIPPED (.+)$/gm), ...spoken(output)],
  };
}

const READERS = { cargo: readCargo, uvu: readUvu, pytest: readPytest };

/** @typedef {keyof typeof READERS | 'check'} Runner   `check`: a command that is right or wrong as a whole */

/**
 * What a suite amounts to. A bad ending always counts as a failure, whatever was printed before it.
 *
 * @param {Runner} runner @param {{ code: number | null, output: string }} ending
 * @returns {Counts}
 */
export function count(runner, ending) {
  const is_good = ending.code === 0;
  if (runner === 'check') {
    return { passed: Number(is_good), failed: Number(!is_good), skipped: 0, reasons: spoken(ending.output) };
  }
  const counts = READERS[runner](ending.output);
  const is_silent = counts.passed + counts.failed + counts.skipped === 0;
  if (counts.failed === 0 && (is_silent || !is_good)) counts.failed = 1;
  return counts;
}

/** Figures that a suite wants to be seen. @param {string} output */
export function notes(output) {
  return lines(output, /^note: (.+)$/gm);
}

/** How much of each failure is said again. */
const LINES = 14;

/** @param {string} text */
function beginning(text) {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(0, LINES)
    .map((line) => `    ${line.trimEnd()}`);
}

/** What a test of cargo printed. @param {string} output @param {string} name */
function printedBy(output, name) {
  const heading = `---- ${name} stdout ----\n`;
  const start = output.indexOf(heading);
  return start < 0
    ? ''
    : (output.slice(start + heading.length).split(/^(?:----|stack backtrace:|failures:)/m)[0] ?? '');
}

/** @param {string} output */
function ofCargo(output) {
  const names = lines(output, /^test (.+) \.\.\. FAILED$/gm);
  return [
    ...names.flatMap((name) => [name, ...beginning(printedBy(output, name))]),
    ...lines(output, /^(test .+ has been running for over .+)$/gm),
    ...lines(output, /^ *(process didn't exit successfully.+)$/gm),
    ...lines(output, /^(error(?:\[E\d+\])?: .+)$/gm),
  ];
}

/** @param {string} output */
function ofUvu(output) {
  const failed = output.matchAll(/^ +FAIL {2}(.+ {2}".+")$/gm);
  return [...failed].flatMap(({ 0: line, 1: name = '', index = 0 }) => {
    const text = output.slice(index + line.length).split(/^ +(?:at |FAIL {2}|Total: )/m)[0] ?? '';
    // Of a difference, only the lines that differ: those of both sides begin with dots.
    return [name, ...beginning(text.replaceAll(/^ +·.*$/gm, ''))];
  });
}

/** @param {string} output */
function ofPytest(output) {
  return lines(output, /^((?:FAILED|ERROR) .+)$/gm);
}

const FINDERS = { cargo: ofCargo, uvu: ofUvu, pytest: ofPytest, check: () => [] };

/**
 * Which tests failed, and how what they said begins; the end of the output, where no test is to be found in it.
 *
 * @param {Runner} runner @param {string} output
 */
export function failures(runner, output) {
  const found = FINDERS[runner](output);
  if (found.length > 0) return found;
  return output.trimEnd().split('\n').slice(-LINES);
}
