/**
 * Start: the main job, from a fresh clone on. Builds what is missing, then becomes the exchange; or the pipeline when that
 * is asked for by name, or the pipeline in threads when a backend is chosen.
 *
 * It becomes it in this very process (and npm becomes this process, by `exec`), so that a signal that is meant for the
 * job reaches it, whether a terminal sends it to everybody or a script to the one process that it started.
 */
import { build, orExplain } from './build.mjs';
import { python, root } from './toolchain.mjs';

/** Which main job is meant; its name is taken off the arguments. */
function job() {
  if (process.argv.slice(2).some((word) => /^--backend(=|$)/.test(word))) return 'threads';
  if (process.argv[2] !== 'pipeline') return 'exchange/job';
  process.argv.splice(2, 1);
  return 'pipeline';
}

await orExplain(async () => {
  await build();
  process.env.TAILRACE_PYTHON = python;
  await import(`${root}dist/${job()}/main.js`);
});
