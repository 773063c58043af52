/**
 * Counts: what runners print at their end, and what `npm test` makes of it.
 *
 * The story behind each: a runner that ran nothing and said nothing once counted as success.
 */
import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { count, failures, notes } from '../scripts/counts.mjs';
import { run } from '../scripts/process.mjs';

const counts = suite('counts');

const CARGO = `
test ring::wraps ... ok
test ring::large ... ignored, needs 2 GiB
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
`;
const UVU = `
  Total:     5
  Passed:    3
  Skipped:   1
  Duration:  1.20ms
skip: no second NUMA node
note: stall p50 1.2 ms, max 9.0 ms
`;
const PYTEST = `
SKIPPED [1] tests/test_wait.py:4: no asyncio here
======= 1 failed, 7 passed, 1 skipped, 1 error in 0.12s =======
`;

/** Whether it runs: a container without an init never buries it, so a zombie counts as dead. */
function isRunning(pid: number): boolean {
  const status = `/proc/${pid}/status`;
  return existsSync(status) && !/^State:\tZ/m.test(readFileSync(status, 'utf8'));
}

counts('adds up the binaries of cargo', () => {
  const reasons = ['ring::large ... ignored, needs 2 GiB'];
  assert.equal(count('cargo', { code: 101, output: CARGO }), { passed: 15, failed: 2, skipped: 1, reasons });
});

counts('finds the failures that uvu does not print', () => {
  const reasons = ['no second NUMA node'];
  assert.equal(count('uvu', { code: 1, output: UVU }), { passed: 3, failed: 2, skipped: 1, reasons });
  assert.equal(notes(UVU), ['stall p50 1.2 ms, max 9.0 ms']);
});

counts('takes an error of pytest for a failure', () => {
  const reasons = ['[1] tests/test_wait.py:4: no asyncio here'];
  assert.equal(count('pytest', { code: 1, output: PYTEST }), { passed: 7, failed: 2, skipped: 1, reasons });
});

counts('says again which tests failed, and how what they said begins', () => {
  const cargo = `
test ring::wraps ... FAILED
test ring::large ... ok
test log::waits has been running for over 60 seconds
---- ring::wraps stdout ----

thread 'ring::wraps' panicked at core/src/ring/mod.rs:7:5:
assertion failed: left == right
stack backtrace:
   0: rust_begin_unwind

failures:
    ring::wraps
error: test failed, to rerun pass \`-p tailrace-core --lib\`
`;
  assert.equal(
    failures('cargo', cargo).map((line) => line.trim()),
    [
      'ring::wraps',
      "thread 'ring::wraps' panicked at core/src/ring/mod.rs:7:5:",
      'assertion failed: left == right',
      'test log::waits has been running for over 60 seconds',
      'error: test failed, to rerun pass `-p tailrace-core --lib`',
    ],
  );
  const uvu = `
   FAIL  region  "is shared"
    Expected values to be deeply equal:  (equal)
        ··{
        Actual:
        --··"buried":·1,
        Expected:
        ++··"buried":·2,
        ··}
    at assert (file:///uvu/assert/index.mjs:33:8)

   FAIL  region  "is removed"
    not within thirty seconds
    at eventually (test/scratch.ts:93:40)

  Total:     2
`;
  assert.equal(
    failures('uvu', uvu).map((line) => line.trim()),
    [
      'region  "is shared"',
      'Expected values to be deeply equal:  (equal)',
      'Actual:',
      '--··"buried":·1,',
      'Expected:',
      '++··"buried":·2,',
      'region  "is removed"',
      'not within thirty seconds',
    ],
  );
  const pytest = 'FAILED tests/test_wait.py::test_wakes - assert 1 == 2\n==== 1 failed, 3 passed in 0.1s ====';
  assert.equal(failures('pytest', pytest), ['FAILED tests/test_wait.py::test_wakes - assert 1 == 2']);
  assert.equal(failures('check', 'one\ntwo\n'), ['one', 'two'], 'where nothing is found, the end');
});

counts('lets neither silence nor a bad ending pass', () => {
  assert.is(count('uvu', { code: 0, output: '' }).failed, 1);
  assert.is(count('cargo', { code: 0, output: 'test result: ok. 0 passed; 0 failed; 0 ignored;' }).failed, 1);
  assert.is(count('pytest', { code: 3, output: '==== 4 passed in 0.1s ====' }).failed, 1);
  assert.is(count('check', { code: null, output: '' }).failed, 1);
});

counts('kills what does not end, and all that it started', async () => {
  const ending = await run(['sh', '-c', 'sleep 300 & echo $!; wait'], { limit_seconds: 0.5 });
  assert.ok(ending.is_late);
  assert.is(ending.signal, 'SIGKILL');
  assert.ok(ending.seconds < 10);
  const grandchild = Number(ending.output);
  assert.ok(grandchild > 0);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.not.ok(isRunning(grandchild));
});

counts('reports a command that is not there', async () => {
  const ending = await run(['tailrace-has-no-such-command']);
  assert.is(ending.code, 127);
  assert.match(ending.output, /ENOENT/);
});

counts.run();
