/**
 * Ending: what happens when somebody asks this command to end.
 *
 * Most commands end at once; handles are closed on the way out, so that nobody has to repair what they left. One that has
 * something to finish asks to be told instead, once: who asks a second time does not want to wait, not even for handles
 * whose disk hangs, and what is left then is what a crash leaves.
 */
let asked: AbortController | undefined;

/** Ends this process when it is interrupted. */
export function endWhenAsked(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (asked === undefined) process.exit(130);
      if (asked.signal.aborted) process.kill(process.pid, 'SIGKILL');
      asked.abort();
    });
  }
}

/** Aborts when this process is interrupted for the first time, which then goes on. */
export function untilAsked(): AbortSignal {
  asked ??= new AbortController();
  return asked.signal;
}
