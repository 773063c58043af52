/**
 * Load: which backend this thread gets, in Node.
 *
 * The native library, else the core in WebAssembly, which needs no platform; `TAILRACE_BACKEND=native|wasm` takes one of
 * them and no other. `TAILRACE_LIBRARY` and `TAILRACE_WASM` name the file and the
 * folder to take instead of the package's own.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DESK_FIELDS } from './desk.ts';
import { failure } from './error.ts';
import { LAYOUT_HASH } from './generated/layout.ts';
import type { Backend, Native, SharedRegion } from './native.ts';
import { wasmBackend } from './wasm/backend.ts';
import { compile, type Module } from './wasm/engine.ts';
import { closeAll, type ModuleName } from './wasm/regions.ts';

const NAMES = ['native', 'wasm'] as const;

/** The functions of the addon that are not those of a backend. */
interface Addon extends Native {
  regionMemory(limitBytes: number, lockTimeoutMs: number): number;
  regionAttach(region: number): number;
}

function places(told: string | undefined, ...files: string[]): string[] {
  return told ? [told] : files.map((file) => fileURLToPath(new URL(file, import.meta.url)));
}

/** Where the native library may be, in the order in which it is looked for. */
export function candidates(): string[] {
  const packaged = `../native/${process.platform}-${process.arch}/tailrace.node`;
  return places(process.env.TAILRACE_LIBRARY, packaged, '../target/release/libtailrace_native.so');
}

/** The folders in which the WebAssembly modules may be. */
function folders(): string[] {
  return places(process.env.TAILRACE_WASM, '../bindings/wasm', '../native/wasm');
}

function openNative(file: string): Native {
  const module: { exports: Partial<Addon> } = { exports: {} };
  process.dlopen(module, file);
  const addon = module.exports as Addon;
  if (!addon.attach || addon.deskFields().join() !== DESK_FIELDS.join()) {
    throw new Error('this file belongs to another version of tailrace');
  }
  if (addon.layoutHashOfLibrary() !== LAYOUT_HASH) {
    throw new Error('this file was built with another layout of the shared bytes');
  }
  return {
    // What an addon exports is a slow dictionary: 6 ns for each look into it.
    ...addon,
    regionMemory: (limitBytes, _threads, lockTimeoutMs) => addon.regionMemory(limitBytes, lockTimeoutMs),
    share: (region) => ({ tailrace: 'memory', backend: 'native', region, pid: process.pid }),
    attachShared: (shared: SharedRegion) => {
      if (shared.backend === 'native' && shared.pid === process.pid) return addon.regionAttach(shared.region);
      throw failure('ERR_UNSUPPORTED', 'this region was shared by another process, or by the WebAssembly backend');
    },
    // The native library knows itself when a thread has ended.
    adopt: () => {},
    bury: () => 0,
    ended: async () => 0,
  };
}

function openWasm(folder: string, why: string): Native {
  const compiled = new Map<ModuleName, Module>();
  const module = (name: ModuleName): Module => {
    const known = compiled.get(name) ?? compile(readFileSync(`${folder}/${name}.wasm`));
    compiled.set(name, known);
    return known;
  };
  const { isMainThread, threadId } = process.getBuiltinModule('node:worker_threads');
  // A module that is broken is found now, when there is something else to try.
  module('rings');
  const native = wasmBackend({ module, thread: threadId + 1, pid: process.pid, maySleep: !isMainThread }, why);
  process.once('exit', closeAll);
  return native;
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function attempt(name: Backend['name'], tried: string[]): Backend | undefined {
  if (name === 'native' && process.platform !== 'linux') {
    tried.push(
      `this platform is ${process.platform}-${process.arch}, and the native library needs Linux (x64 or arm64)`,
    );
    return undefined;
  }
  for (const file of name === 'native' ? candidates() : folders()) {
    try {
      if (!existsSync(file)) throw new Error('there is no such file');
      const native = name === 'native' ? openNative(file) : openWasm(file, tried.join(' · '));
      return { name, file, tried, native };
    } catch (error) {
      tried.push(`${file}: ${sentence(error)}`);
    }
  }
  return undefined;
}

/** The first backend that can be loaded. Throws ERR_UNSUPPORTED, with every attempt, when none can. */
export function load(): Backend {
  const told = process.env.TAILRACE_BACKEND;
  const tried: string[] = [];
  if (told && !NAMES.some((name) => name === told)) {
    throw failure('ERR_ARGUMENT', `TAILRACE_BACKEND is ${told}; give 'native' or 'wasm', or nothing`);
  }
  for (const name of NAMES) {
    if (told && name !== told) {
      tried.push(`TAILRACE_BACKEND is ${told}`);
      continue;
    }
    const found = attempt(name, tried);
    if (found) return found;
  }
  throw failure('ERR_UNSUPPORTED', `no backend could be loaded. Tried: ${tried.join(' · ')}`);
}
