/**
 * Browser: bundles the package for pages, into one file that a page and its workers import alike.
 *
 * Import maps do not reach workers, so what belongs to Node is replaced here: `load.ts` and the modules of Node, by
 * `sdk/browser/`. Anything else of Node that is imported is an error of the build.
 */
import { build } from 'esbuild';
import { root } from './toolchain.mjs';

const STANDS_FOR = /^node:(events|timers\/promises|util|util\/types)$/;

/** @type {import('esbuild').Plugin} */
const inPages = {
  name: 'in pages',
  setup(builder) {
    builder.onResolve({ filter: STANDS_FOR }, () => ({ path: `${root}sdk/browser/node.ts` }));
    builder.onResolve({ filter: /^\.\/load\.ts$/ }, ({ importer }) =>
      importer === `${root}sdk/native.ts` ? { path: `${root}sdk/browser/load.ts` } : undefined,
    );
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
    external: ['node:fs', 'node:url'],
    logLevel: 'silent',
  });
}

/** Makes `dist/browser.js` of the sources. @param {string} into */
export async function bundlePackage(into) {
  await bundle({ browser: 'sdk/browser.ts' }, into);
}
