/**
 * Browser: the package in a page and its workers: what `portable.ts` has, and that its modules are fetched first.
 *
 * It is bundled into one file (scripts/browser.mjs), with `browser/` in the place of what belongs to Node.
 */
export { ready } from './browser/load.ts';
export * from './portable.ts';
