/**
 * Injection: runs a program under strace, which makes some of its system calls fail, or skips them.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Why that cannot be done here. */
export function absent(): string | undefined {
  const tried = spawnSync('strace', ['-qq', '-f', '-e', 'trace=fsync', '-e', 'inject=fsync:retval=0', 'true']);
  if (tried.status === 0) return undefined;
  return `strace cannot inject faults here (${tried.stderr?.toString().trim() || tried.error?.message})`;
}

/**
 * Runs a program with an injection, in strace's words (`fdatasync:error=EIO:when=3`). The program is the child, and strace
 * beside it, so that signals go to the program. `trace` are the calls that go to `output`.
 */
export function around(injection: string, trace = injection.split(':')[0]!, output = '/dev/null'): string[] {
  return ['strace', '-D', '-f', '-qq', '-y', '-o', output, '-e', `trace=${trace}`, '-e', `inject=${injection}`];
}

/** Begins an injection into a running process, all its threads; resolves when it has begun. It ends with the process. */
export async function into(pid: number, injection: string, trace: string, output: string): Promise<void> {
  const words = ['-f', '-y', '-o', output, '-e', `trace=${trace}`, '-e', `inject=${injection}`, '-p', `${pid}`];
  const strace = spawn('strace', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = createInterface({ input: strace.stderr });
  const ended = once(strace, 'close').then(() => ['strace has ended']);
  const [line] = await Promise.race([once(lines, 'line'), ended]);
  if (!/attached/.test(line)) throw new Error(`strace of ${pid}: ${line}`);
}
