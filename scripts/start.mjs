/**
 * Start: the main job, from a fresh clone on. Builds what is missing, then becomes the exchange, or the pipeline when
 * that is asked for by name.
 *
 * It becomes it in this very process (and npm becomes this process, by `exec`), so that a signal that is meant for the
 * job reaches it, whether a terminal sends it to everybody or a script to the one process that it started.
 */
import { build, orExplain } from './build.mjs';
import { python, root } from './toolchain.mjs';

await orExplain(async () => {
  await build();
  process.env.TAILRACE_PYTHON = python;
  const isPipeline = process.argv[2] === 'pipeline';
  if (isPipeline) process.argv.splice(2, 1);
  await import(`${root}dist/${isPipeline ? 'pipeline' : 'exchange/job'}/main.js`);
});
