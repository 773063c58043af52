/**
 * Paused: the module that tells its host of every step, built when there is none of these sources.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWasm, sourcesHash, statedHash } from '../../scripts/wasm.mjs';

/** Where it lies. */
export const PAUSED = fileURLToPath(new URL('../../target/pause-wasm', import.meta.url));

/** Makes sure that it is there; else why it cannot be built. */
export async function buildPaused(): Promise<string | undefined> {
  const file = join(PAUSED, 'rings.wasm');
  if (existsSync(file) && statedHash(file) === sourcesHash()) return undefined;
  mkdirSync(PAUSED, { recursive: true });
  try {
    await buildWasm(PAUSED, { is_pausing: true, names: ['rings'] });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
