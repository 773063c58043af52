/**
 * Start: the main job, from a fresh clone on. Builds what is missing, then becomes the pipeline.
 *
 * It becomes it in this very process (and npm becomes this process, by `exec`), so that a signal that is meant for the
 * pipeline reaches it, whether a terminal sends it to everybody or a script to the one process that it started.
 */
import { build, orExplain } from './build.mjs';
import { python, root } from './toolchain.mjs';

await orExplain(async () => {
  await build();
  process.env.TAILRACE_PYTHON = python;
  await import(`${root}dist/pipeline/main.js`);
});
