/**
 * Loader: instantiates a kernel in a page. It stands for `@assemblyscript/loader` there, of which kernels use only this:
 * `abort` is an error with the kernel's own words, which lie in its memory as UTF-16 with their length before them.
 */

interface Memory {
  readonly buffer: ArrayBuffer;
}

interface Imports {
  env: { memory: Memory };
}

interface Engine {
  instantiate(module: Uint8Array, imports: object): Promise<{ instance: { exports: object } }>;
}

const engine = (globalThis as unknown as { WebAssembly: Engine }).WebAssembly;

/** The text at an address, which the kernel says and may have wrong. */
function textAt({ buffer }: Memory, address: number): string {
  const bytes = new DataView(buffer);
  const length = address >= 4 && address <= bytes.byteLength ? bytes.getUint32(address - 4, true) >>> 1 : 0;
  if (address + length * 2 > bytes.byteLength) return '';
  const units = Array.from({ length: Math.min(length, 1_024) }, (_, index) =>
    bytes.getUint16(address + index * 2, true),
  );
  return String.fromCharCode(...units);
}

/** Instantiates a module of AssemblyScript over its memory. */
export function instantiate(module: Uint8Array, { env }: Imports): Promise<{ instance: { exports: object } }> {
  const abort = (message: number, file: number, line: number, column: number) => {
    const { memory } = env;
    throw new Error(
      `abort: ${textAt(memory, message >>> 0)} at ${textAt(memory, file >>> 0)}:${line >>> 0}:${column >>> 0}`,
    );
  };
  return engine.instantiate(module, { env: { ...env, abort } });
}
