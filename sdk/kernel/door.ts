/**
 * Door: how programs come to kernels. What compiles them, limits them and runs them is loaded with the first one, for it is
 * a fifth of the package's files, and a first message needs none of it.
 */
import type { Infer, Struct } from '../struct.ts';
import type { Kernel, KernelOptions } from './kernel.ts';

/**
 * A kernel from source in AssemblyScript (a string), from a compiled module (bytes), or from a file with either (a URL).
 *
 * Throws KernelError when it does not compile or ends while it starts, ERR_ARGUMENT when it may not be a kernel (imports,
 * memory), ERR_UNSUPPORTED when a package that it needs is not there, or a page has no compiler for a source.
 */
export async function kernel<R extends Struct, O extends Struct>(
  from: string | Uint8Array | URL,
  options: KernelOptions<R, O> & { output: O },
): Promise<Kernel<Infer<O>>>;
export async function kernel<R extends Struct>(
  from: string | Uint8Array | URL,
  options: KernelOptions<R> & { record: R; output?: undefined },
): Promise<Kernel<Infer<R>>>;
export async function kernel(from: string | Uint8Array | URL, options?: KernelOptions): Promise<Kernel>;
export async function kernel(from: string | Uint8Array | URL, options: KernelOptions = {}): Promise<Kernel> {
  const { makeKernel } = await import('./kernel.ts');
  return makeKernel(from, options);
}
