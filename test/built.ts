/**
 * Built: how tests start programs of the package, and programs of their own.
 *
 * A loader of TypeScript takes a third of a second of a processor for each process, and some tests start hundreds. So what
 * is of the package runs as `npm start` runs it, from `dist/`, as long as that is of these sources; and programs of tests
 * are bundled once by whoever starts them.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { isSdkFresh } from '../scripts/build.mjs';

const root = fileURLToPath(new URL('../', import.meta.url));
const LOADER = import.meta.resolve('tsx');

let isFresh: boolean | undefined;
const bundles = new Map<string, string>();

/** The command of a program of the package; `source` below the root. */
export function packaged(source: string): string[] {
  isFresh ??= isSdkFresh();
  if (!isFresh) return [process.execPath, '--import', LOADER, `${root}${source}`];
  return [process.execPath, `${root}${source.replace(/^sdk/, 'dist').replace(/\.ts$/, '.js')}`];
}

/**
 * The command of a program of a test, bundled with what it imports.
 *
 * The bundle lies as deep below the root as `sdk/` does, so that the package finds its library from there.
 */
export function bundled(source: string): string[] {
  let bundle = bundles.get(source);
  if (bundle === undefined) {
    const made = `${root}target/${source.replaceAll('/', '-').replace(/\.ts$/, '')}-${process.pid}.mjs`;
    mkdirSync(`${root}target`, { recursive: true });
    process.on('exit', () => rmSync(made, { force: true }));
    bundle = made;
    buildSync({
      absWorkingDir: root,
      entryPoints: [source],
      outfile: bundle,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      packages: 'external',
      logLevel: 'error',
    });
    bundles.set(source, bundle);
  }
  return [process.execPath, bundle];
}
