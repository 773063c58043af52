/**
 * Browser: bundles the package for pages, into one file that a page and its workers import alike.
 *
 * Import maps do not reach workers, so what belongs to Node is replaced here by `sdk/browser/`: two modules of ours, those
 * of Node, and the packages behind kernels. Anything else of Node that is imported is an error of the build.
 */
import { resolve } from 'node:path';
import { build } from 'esbuild';
import { root } from './toolchain.mjs';

/** What stands for what, in `sdk/browser/`. @type {[RegExp, string][]} */
const STAND_INS = [
  [/^node:(events|timers\/promises|util|util\/types)$/, 'node.ts'],
  [/^@assemblyscript\/loader$/, 'loader.ts'],
  [/^assemblyscript\/asc$/, 'compiler.ts'],
];
/** The same for modules of ours, below `sdk/`. */
const OWN = ['load.ts', 'kernel/source.ts'];

/** @type {import('esbuild').Plugin} */
const inPages = {
  name: 'in pages',
  setup(builder) {
    for (const [filter, name] of STAND_INS)
      builder.onResolve({ filter }, () => ({ path: `${root}sdk/browser/${name}` }));
    for (const own of OWN) {
      const name = own.split('/').at(-1) ?? own;
      builder.onResolve({ filter: new RegExp(`^\\./${name.replace('.', '\\.')}$`) }, ({ resolveDir }) =>
        resolve(resolveDir, name) === `${root}sdk/${own}` ? { path: `${root}sdk/browser/${name}` } : undefined,
      );
    }
  },
};

/** Leaves the package itself to an address. @param {string} address @returns {import('esbuild').Plugin} */
function packageAt(address) {
  return {
    name: 'package at',
    setup(builder) {
      builder.onResolve({ filter: /\/sdk\/browser\.ts$/ }, () => ({ path: address, external: true }));
    },
  };
}

/**
 * Bundles modules for pages.
 *
 * @param {Record<string, string>} entries   name of the result, and its source below the root
 * @param {string} into                      folder
 * @param {string} [address]                 where a page finds the package, if it is not to be a part of the bundle
 */
export async function bundle(entries, into, address) {
  await build({
    absWorkingDir: root,
    entryPoints: entries,
    outdir: into,
    plugins: address === undefined ? [inPages] : [packageAt(address), inPages],
    bundle: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    sourcemap: 'linked',
    logLevel: 'silent',
  });
}

/** Makes `dist/browser.js` of the sources. @param {string} into */
export async function bundlePackage(into) {
  await bundle({ browser: 'sdk/browser.ts' }, into);
}
