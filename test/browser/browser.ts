/**
 * Browser: the package in a page of headless Chromium, with two workers: messages, the vectors, the book, kernels, and the
 * end of a worker, a frame, a tab and a whole process of the browser in the middle of their work.
 *
 * The page is served by this process, on loopback, with the headers that let it share memory; `dist/browser.js` is bundled
 * anew from the sources, and lies where the npm package has it. Below `/paused/` is the same with the module that was
 * built for the kill matrix.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bundle, bundlePackage } from '../../scripts/browser.mjs';
import { badRegions } from '../bad.ts';
import { eventually } from '../scratch.ts';
import { wantedOf } from '../wasm/bytes.ts';
import { buildPaused, PAUSED } from '../wasm/paused.ts';

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
interface Kernel {
  name: string;
  kind: string;
  wasm: string;
  result?: string;
  turns?: number;
  error?: { reason: string; record: number };
}
const kernels: Kernel[] = JSON.parse(readFileSync(`${ROOT}test/vectors/kernels.json`, 'utf8')).cases;
const isInstalled = existsSync(CHROMIUM);

const folder = mkdtempSync(join(tmpdir(), 'tailrace-browser-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** The page, and what it loads: by address, a file or a text. */
function contentOf(address: string): Uint8Array | string | undefined {
  const [, paused, rest = ''] = /^(\/paused)?(\/.*)$/.exec(address) ?? [];
  const scripts = { '/index.html': ['page', 'contents', 'inside'], '/other.html': ['thread'], '/open.html': ['page'] }[
    rest
  ];
  if (scripts) {
    const loaded = scripts.map((script) => `<script type="module" src="./dist/${script}.js"></script>`).join('');
    return `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body>${loaded}`;
  }
  const [, place = '', name = ''] = /^\/(dist|native\/wasm|vectors)\/([\w.]+)$/.exec(rest) ?? [];
  const modules = paused && name === 'rings.wasm' ? PAUSED : `${ROOT}bindings/wasm`;
  const file = { dist: folder, 'native/wasm': modules, vectors: `${ROOT}test/vectors` }[place];
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
/** With the module that stops; and why there is none. */
let paused: Page | undefined;
let missing: string | undefined;

browsers.before(async () => {
  if (!isInstalled) return;
  await bundlePackage(folder);
  await bundle(
    Object.fromEntries(['page', 'contents', 'thread'].map((name) => [name, `test/browser/page/${name}.ts`])),
    folder,
    './browser.js',
  );
  await bundle({ inside: 'test/browser/page/inside.ts', stopped: 'test/browser/page/stopped.ts' }, folder);
  writeFileSync(join(folder, 'filter.wasm'), Buffer.from(kernels[0]!.wasm, 'base64'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  home = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  missing = await buildPaused();
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, timeout: 30_000 });
  page = await opened('/index.html');
});

/** A page of its own, in a part of the browser of its own, which can close the tabs that it opens. */
async function opened(address: string, context?: BrowserContext): Promise<Page> {
  const page = await (context ?? browser).newPage();
  const tabs: Page[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (line) => {
    // One trial asks for what is not there.
    const isAsked = line.location().url.endsWith('/none.wasm');
    if (line.type() === 'error' && !isAsked) problems.push(`${line.location().url}: ${line.text()}`);
  });
  page.on('popup', (tab) => tabs.push(tab));
  await page.exposeFunction('closeTab', async () => tabs.pop()?.close());
  await page.goto(`${home}${address}`);
  return page;
}

browsers.after(async () => {
  await browser?.close();
  server.close();
});

/** Runs one trial in the page. */
function run(name: string, ...given: unknown[]): Promise<Record<string, unknown>> {
  return runIn(page, name, ...given);
}

async function runIn(where: Page, name: string, ...given: unknown[]): Promise<Record<string, unknown>> {
  const call = `trials[${JSON.stringify(name)}](...${JSON.stringify(given)})`;
  const answer = await where.evaluate(call);
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

trial('slots and records have the bytes of the vectors', async () => {
  const { slots, records } = (await run('slots')) as Record<string, { count: number; differing: string[] }>;
  assert.equal([slots?.differing, records?.differing], [[], []]);
  assert.ok(slots!.count >= 20 && records!.count >= 10, `${slots!.count} and ${records!.count}`);
});

trial('bad regions are refused by their code, and bad slots passed over', async () => {
  const regions = badRegions();
  for (const { vector, runs, bytes, limitBytes, roomBytes } of regions) {
    assert.equal(await run('bad', vector, runs, bytes, limitBytes, roomBytes), wantedOf(vector), vector.name);
  }
  assert.ok(regions.length > 10, `${regions.length}`);
});

trial('built kernels answer as everywhere', async () => {
  const wanted = kernels.map(({ name, kind, result, turns, error }) => {
    return error ? { name, kind, error } : { name, kind, result, turns };
  });
  assert.equal(await run('kernels'), wanted);
});

trial("a kernel from an address goes over a channel's messages; a source needs a compiler", async () => {
  const { source, missing, ...rest } = await run('piped');
  assert.is(rest.isSame, true);
  assert.ok((rest.kept as number) > 0 && (rest.kept as number) < (rest.seen as number), `${rest.kept} of ${rest.seen}`);
  assert.match(
    String(source),
    /^ERR_UNSUPPORTED: a page has no compiler for kernels: build it with `tailrace kernel build`/,
  );
  assert.match(String(missing), /^ERR_NOT_FOUND: .*none\.wasm answers 404/);
});

for (const [what, delayMs] of [
  ['worker', 300],
  ['page', 300],
  ['tab', 300],
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

/** What is to be seen of ten messages when nobody had taken any. */
const ALL = Array.from({ length: 10 }, (_, index) => [index, false]);

const WHOSE = {
  worker: 'that is ended',
  nested: 'of a worker that is ended',
  tab: 'of a tab that is closed',
};

for (const [what, whose] of Object.entries(WHOSE)) {
  for (const [step, does, buried, again] of [
    ['join.locked', 'join', 0, 0],
    ['join.filled', 'join', 0, 0],
    ['join.done', 'join', 1, 0],
    ['take.read', 'take', 1, 5],
    ['write.writing', 'write', 1, 0],
  ] as const) {
    trial(`a worker ${whose} at ${step} does no harm to the others`, async () => {
      if (missing) return console.log(`skip: ${missing}`);
      paused ??= await opened('/paused/index.html');
      const read = ALL.map(([index]) => [index, (index as number) < again]);
      assert.equal(await runIn(paused, 'stopped', what, step, does), { buried, read, left: 3 });
    });
  }
}

trial(
  'a process of the browser that is killed takes all who share its memory along, and nobody waits for them',
  async () => {
    const context = await browser.newContext();
    const session = await browser.newBrowserCDPSession();
    const renderers = async () => {
      const { processInfo } = await session.send('SystemInfo.getProcessInfo');
      return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
    };
    const other = await opened('/index.html', context);
    const before = await renderers();
    const dying = await opened('/index.html', context);
    const ended: string[] = [];
    dying.on('crash', () => ended.push('page'));
    dying.on('popup', (tab) => tab.on('crash', () => ended.push('tab')));
    await runIn(dying, 'leave');
    assert.is(await runIn(other, 'lifelines'), 2, 'a worker and a tab hold theirs');
    for (const id of (await renderers()).filter((id) => !before.includes(id))) process.kill(id, 'SIGKILL');
    await eventually(() => ended.length === 2);
    await eventually(async () => Number(await runIn(other, 'lifelines')) === 0);
    const answer = await runIn(other, 'self');
    assert.is(answer.name, 'wasm');
    await context.close();
  },
);

trial('a page that may not share memory is told so', async () => {
  const other = await browser.newPage();
  await other.goto(`${home}/open.html`);
  const message = await other.evaluate('trials.messages(1, 64).catch((error) => error.code + ": " + error.message)');
  assert.match(String(message), /^ERR_UNSUPPORTED: this page may not share memory: serve it with the headers/);
  await other.close();
});

browsers.run();
