/**
 * Browser: the package in a page of headless Chromium, with two workers: messages, the vectors, the book, and the end of a
 * worker and of a page in the middle of their work.
 *
 * The page is served by this process, on loopback, with the headers that let it share memory; `dist/browser.js` is bundled
 * anew from the sources, and lies where the npm package has it.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bundle, bundlePackage } from '../../scripts/browser.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHROMIUM = '/usr/bin/chromium';
/** Nothing but the page: the network is closed, and knocking at it takes time. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};
const TYPES: Record<string, string> = {
  html: 'text/html',
  js: 'text/javascript',
  json: 'application/json',
  wasm: 'application/wasm',
};
const COUNT = 1_000_000;
const isInstalled = existsSync(CHROMIUM);

const folder = mkdtempSync(join(tmpdir(), 'tailrace-browser-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** The page, and what it loads: by address, a file or a text. */
function contentOf(address: string): Uint8Array | string | undefined {
  const scripts = { '/index.html': ['page', 'frames'], '/other.html': ['thread'], '/open.html': ['page'] }[address];
  if (scripts) {
    const loaded = scripts.map((script) => `<script type="module" src="/dist/${script}.js"></script>`).join('');
    return `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body>${loaded}`;
  }
  const [, place = '', name = ''] = /^\/(dist|native\/wasm|vectors)\/([\w.]+)$/.exec(address) ?? [];
  const file = { dist: folder, 'native/wasm': `${ROOT}bindings/wasm`, vectors: `${ROOT}test/vectors` }[place];
  return file && existsSync(`${file}/${name}`) ? readFileSync(`${file}/${name}`) : undefined;
}

const server = createServer(({ url = '' }, answer) => {
  const content = contentOf(url);
  const headers = url === '/open.html' ? {} : ISOLATED;
  answer.writeHead(content === undefined ? 404 : 200, {
    ...headers,
    'Content-Type': TYPES[url.split('.').at(-1) ?? ''] ?? 'text/plain',
  });
  answer.end(content);
});

const browsers = suite('browser');
const problems: string[] = [];
let browser: Browser;
let page: Page;
let home: string;

browsers.before(async () => {
  if (!isInstalled) return;
  await bundlePackage(folder);
  await bundle(
    { page: 'test/browser/page/page.ts', thread: 'test/browser/page/thread.ts' },
    folder,
    '/dist/browser.js',
  );
  await bundle({ frames: 'test/browser/page/frames.ts' }, folder);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  home = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, timeout: 30_000 });
  page = await browser.newPage();
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (line) => line.type() === 'error' && problems.push(line.text()));
  await page.goto(`${home}/index.html`);
});

browsers.after(async () => {
  await browser?.close();
  server.close();
});

/** Runs one trial in the page. */
async function run(name: string, ...given: unknown[]): Promise<Record<string, unknown>> {
  const call = `trials[${JSON.stringify(name)}](...${JSON.stringify(given)})`;
  const answer = await page.evaluate(call);
  assert.equal(problems, []);
  return answer as Record<string, unknown>;
}

/** A test where there is a browser; said aloud where there is none. */
function trial(name: string, test: () => Promise<void>): void {
  if (isInstalled) {
    browsers(name, test);
    return;
  }
  console.log(`skip: ${name}: there is no ${CHROMIUM} (Debian's package chromium)`);
  browsers.skip(name);
}

trial('the package is itself in a page', async () => {
  const { refused, ...rest } = await run('self');
  assert.match(String(refused), /await ready\(\) first/);
  assert.equal(rest, { name: 'wasm', text: 'größe · 大きさ · 🜁', type: 7, isNow: true, files: 'ERR_UNSUPPORTED' });
});

trial('a million messages go to two workers and come back, each once and whole', async () => {
  const { seconds, each, ...rest } = await run('messages', COUNT, 64);
  assert.equal(rest, { read: COUNT, isOnce: true, buried: [2, 2], left: 2 });
  const shares = each as number[];
  assert.is(shares.length, 2);
  assert.ok(
    shares.every((count) => count > 0),
    `one worker had nothing to do: ${shares}`,
  );
  console.log(`\nnote: ${COUNT} messages to two workers and back in ${(seconds as number).toFixed(1)} s`);
});

trial('the book has the events and states of the vector', async () => {
  const { after } = JSON.parse(readFileSync(`${ROOT}test/vectors/book.json`, 'utf8'));
  assert.equal(await run('book'), after);
});

trial('messages and datagrams have the bytes of the vectors', async () => {
  const { differing, count } = await run('bytes');
  assert.equal(differing, []);
  assert.ok((count as number) > 10);
});

trial('frames of a log have the bytes of the vector', async () => {
  const { differing, count } = await run('frames');
  assert.equal(differing, []);
  assert.ok((count as number) > 10);
});

for (const [what, delayMs] of [
  ['worker', 300],
  ['page', 300],
  ['worker', 0],
] as const) {
  const when = delayMs === 0 ? 'as soon as it has begun' : 'in the middle of its work';
  trial(`a ${what} that disappears ${when} does no harm to the others`, async () => {
    const before = [5, 6, 7, 8].map((index) => [index, false]);
    const after = [0, 1, 2, 3, 4].map((index) => [index, true]);
    const rest = { echoed: [77, false], heard: [[5, false]], corrupt: 0 };
    assert.equal(await run('end', what, delayMs), { before, buried: 2, after, ...rest });
  });
}

trial('a page that may not share memory is told so', async () => {
  const other = await browser.newPage();
  await other.goto(`${home}/open.html`);
  const message = await other.evaluate('trials.messages(1, 64).catch((error) => error.code + ": " + error.message)');
  assert.match(String(message), /^ERR_UNSUPPORTED: this page may not share memory: serve it with the headers/);
  await other.close();
});

browsers.run();
