/**
 * Compiler: there is none in a page, where it would be tens of megabytes. It stands for `assemblyscript/asc` there.
 */
import { failure } from '../error.ts';

/** Throws ERR_UNSUPPORTED. */
export async function main(): Promise<never> {
  throw failure(
    'ERR_UNSUPPORTED',
    'a page has no compiler for kernels: build it with `tailrace kernel build`, and give the bytes or the address of kernel.wasm',
  );
}
