/**
 * Load: the backend of a page or of its workers, which is WebAssembly. It stands for `sdk/load.ts` there.
 *
 * The modules are fetched by `ready`, and never by importing: a worker whose import waits misses the message that hands
 * it a region. A worker that only attaches needs none: the handle of the region brings the module along.
 */
import { failure } from '../error.ts';
import type { Backend, Native } from '../native.ts';
import { wasmBackend } from '../wasm/backend.ts';
import { compileLater, type Module } from '../wasm/engine.ts';
import { find } from '../wasm/handles.ts';
import { bury, type ModuleName, ticketsOf } from '../wasm/regions.ts';
import { hold, untilEnded } from './lifeline.ts';

/** What is used of a page's globals. */
interface Around {
  crossOriginIsolated?: boolean;
  WorkerGlobalScope?: abstract new () => object;
}

const NAMES = ['rings', 'books'] as const;
const WHY = 'this is a page';
const around = globalThis as Around;
const compiled = new Map<ModuleName, Module>();

/** Beside the bundle, in the package. */
const places: Record<ModuleName, URL> = {
  rings: new URL('../native/wasm/rings.wasm', import.meta.url),
  books: new URL('../native/wasm/books.wasm', import.meta.url),
};

async function fetchModule(name: ModuleName): Promise<void> {
  if (compiled.has(name)) return;
  const place = places[name];
  const answer = await fetch(place);
  if (!answer.ok) throw failure('ERR_UNSUPPORTED', `${place.href} answers ${answer.status}`);
  compiled.set(name, await compileLater(new Uint8Array(await answer.arrayBuffer())));
}

/** Fetches what the package runs on. Throws ERR_UNSUPPORTED when a page may not share memory, or a module is not there. */
export async function ready(): Promise<void> {
  load();
  await Promise.all(NAMES.map(fetchModule));
}

function module(name: ModuleName): Module {
  const found = compiled.get(name);
  if (found === undefined) throw failure('ERR_UNSUPPORTED', 'nothing was fetched yet: await ready() first');
  return found;
}

/** The backend of a thread whose end can be seen. */
function visible(backend: Native): Native {
  return {
    ...backend,
    attachShared: (shared, lockTimeoutMs) => {
      const region = backend.attachShared(shared, lockTimeoutMs);
      if (shared.backend === 'wasm') hold(shared.memory, shared.ticket);
      return region;
    },
    bury: () => {
      throw failure('ERR_UNSUPPORTED', 'a worker of a page runs on after terminate(): await region.ended(worker)');
    },
    ended: async (region, tickets) => {
      const { memory } = find('region', region).instance;
      await Promise.all(ticketsOf(region, tickets).map((ticket) => untilEnded(memory, ticket)));
      return bury(region, tickets, 0);
    },
  };
}

/** The backend. Throws ERR_UNSUPPORTED in a page that may not share memory. */
export function load(): Backend {
  if (around.crossOriginIsolated !== true) {
    throw failure(
      'ERR_UNSUPPORTED',
      'this page may not share memory: serve it with the headers Cross-Origin-Opener-Policy: same-origin and ' +
        'Cross-Origin-Embedder-Policy: require-corp',
    );
  }
  const { WorkerGlobalScope: Scope } = around;
  const maySleep = Scope !== undefined && globalThis instanceof Scope;
  const native = visible(wasmBackend({ module, thread: 0, pid: 1, maySleep }, WHY));
  return { name: 'wasm', file: places.rings.href, tried: [`the native library: ${WHY}`], native };
}
