/**
 * Start: the main job, from a fresh clone on. Builds what is missing, then becomes the pipeline.
 *
 * The pipeline gets this process's terminal, arguments and signals; its exit code is ours.
 */
import { spawn } from 'node:child_process';
import { build, orExplain } from './build.mjs';
import { python, root } from './toolchain.mjs';

await orExplain(async () => {
  await build();
  const child = spawn(process.execPath, [`${root}dist/pipeline/main.js`, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, TAILRACE_PYTHON: python },
  });
  // A terminal sends Ctrl-C to both of us: the child ends cleanly by it, and we stay to pass its exit code on.
  process.on('SIGINT', () => {});
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
  });
});
