/**
 * Source: where kernels are read from in a page: addresses. It stands for `sdk/kernel/source.ts` there.
 */
import { failure } from '../error.ts';
import type { Read } from '../kernel/source.ts';

/** What an address holds, a compiled module (.wasm) or a source, and its name for people. */
export async function readFrom(address: URL): Promise<{ content: string | Uint8Array; file: string }> {
  const answer = await fetch(address);
  if (!answer.ok) throw failure('ERR_NOT_FOUND', `${address.href} answers ${answer.status}`);
  const isModule = address.pathname.endsWith('.wasm');
  const content = isModule ? new Uint8Array(await answer.arrayBuffer()) : await answer.text();
  return { content, file: address.href };
}

/** There are no folders here. */
export function readerOf(): Read {
  return () => null;
}
