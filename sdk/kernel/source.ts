/**
 * Source: where kernels, and what a kernel's source imports, are read from; in Node, files.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Reads what a source imports; null when it is not there. */
export type Read = (path: string) => string | null;

/** What an address holds, a compiled module (.wasm) or a source, and its name for people. */
export async function readFrom(address: URL): Promise<{ content: string | Uint8Array; file: string }> {
  const content = address.pathname.endsWith('.wasm') ? readFileSync(address) : readFileSync(address, 'utf8');
  return { content, file: fileURLToPath(address) };
}

/** Reads what lies in a folder, or below it. */
export function readerOf(folder: string): Read {
  return (path) => {
    try {
      return readFileSync(folder + path, 'utf8');
    } catch {
      return null;
    }
  };
}
