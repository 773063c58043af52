/**
 * Process: one child with a time limit, and nothing of it left behind.
 *
 * A child gets a process group of its own. When its time is up, when it has ended, or when we are interrupted, the
 * whole group is killed by its id, so a test that hangs cannot leave readers or writers spinning on the machine.
 */
import { spawn } from 'node:child_process';

/** How long the pipes may stay open after the child itself ended; longer means that a grandchild holds them. */
const GRACE_MS = 1_000;

/** @type {Set<number>} */
const groups = new Set();

/** @param {number} group */
function killGroup(group) {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

function interrupt() {
  for (const group of groups) killGroup(group);
  process.exit(130);
}

/** @param {number} group */
function adopt(group) {
  if (groups.size === 0) for (const signal of SIGNALS) process.on(signal, interrupt);
  groups.add(group);
}

/** @param {number} group */
function bury(group) {
  killGroup(group);
  groups.delete(group);
  if (groups.size === 0) for (const signal of SIGNALS) process.off(signal, interrupt);
}

/**
 * @typedef {object} Ending
 * @property {number | null} code       exit code, null when a signal ended it
 * @property {string | null} signal
 * @property {boolean} is_late          the time was up
 * @property {string} output            stdout and stderr, as they came
 * @property {number} seconds
 */

/**
 * Runs a command to its end. Never rejects: a command that cannot be started ends with code 127.
 *
 * @param {readonly string[]} command
 * @param {{ environment?: Record<string, string>, folder?: string, limit_seconds?: number, is_shown?: boolean }} [options]
 *   `is_shown` also copies the output to stderr as it comes.
 * @returns {Promise<Ending>}
 */
export function run(command, options = {}) {
  const start = performance.now();
  const [program = '', ...rest] = command;
  return new Promise((resolve) => {
    const child = spawn(program, rest, {
      cwd: options.folder,
      env: { ...process.env, ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    /** @type {Buffer[]} */
    const pieces = [];
    let is_late = false;
    const limit = setTimeout(
      () => {
        is_late = true;
        if (child.pid) killGroup(child.pid);
      },
      (options.limit_seconds ?? 3_600) * 1_000,
    );
    /** @param {number | null} code @param {string | null} signal */
    const finish = (code, signal) => {
      clearTimeout(limit);
      if (child.pid) bury(child.pid);
      child.stdout.destroy();
      child.stderr.destroy();
      const output = Buffer.concat(pieces).toString('utf8');
      resolve({ code, signal, is_late, output, seconds: (performance.now() - start) / 1_000 });
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (/** @type {Buffer} */ piece) => {
        pieces.push(piece);
        if (options.is_shown) process.stderr.write(piece);
      });
    }
    if (child.pid) adopt(child.pid);
    child.once('error', (error) => {
      pieces.push(Buffer.from(`${program}: ${error.message}\n`));
      finish(127, null);
    });
    child.once('exit', (code, signal) => {
      const grace = setTimeout(() => finish(code, signal), GRACE_MS);
      child.once('close', () => {
        clearTimeout(grace);
        finish(code, signal);
      });
    });
  });
}
