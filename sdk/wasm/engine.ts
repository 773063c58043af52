/**
 * Engine: what of WebAssembly is used here, in types of our own: those of TypeScript belong to pages, and programs in Node
 * have none.
 */

/** A memory that threads share. */
export interface Memory {
  readonly buffer: SharedArrayBuffer;
}

/** A compiled module. */
export interface Module {
  readonly [Symbol.toStringTag]?: string;
}

/** A number that module and host share. */
export interface Global {
  value: number;
}

interface Engine {
  Memory: new (limits: { initial: number; maximum: number; shared: true }) => Memory;
  Module: new (bytes: Uint8Array) => Module;
  compile(bytes: Uint8Array): Promise<Module>;
  Instance: new (
    module: Module,
    imports: Record<string, Record<string, unknown>>,
  ) => { exports: Record<string, unknown> };
}

const engine = (globalThis as unknown as { WebAssembly: Engine }).WebAssembly;

/** A memory of so many pages that never grows beyond the most. */
export function newMemory(initial: number, maximum: number): Memory {
  return new engine.Memory({ initial, maximum, shared: true });
}

/** Compiles a module. */
export function compile(bytes: Uint8Array): Module {
  return new engine.Module(bytes);
}

/** Compiles a module without holding anybody up. */
export function compileLater(bytes: Uint8Array): Promise<Module> {
  return engine.compile(bytes);
}

/** Instantiates a module. */
export function instantiate<E>(module: Module, imports: Record<string, unknown>): E {
  return new engine.Instance(module, { env: imports }).exports as E;
}
