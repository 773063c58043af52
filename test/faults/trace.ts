/**
 * Trace: what strace wrote of a program's calls: which of them was made to fail, and what was synced after it.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** One call, in the order in which they began. */
export interface Call {
  name: string;
  /** Name of the file, without its folder. */
  file: string;
  /** The same with its folder, as far as strace knows it. */
  path: string;
  isInjected: boolean;
}

const BEGIN = /^(\d+)\s+(\w+)\((?:\d+<([^>]*)>|"([^"]*)")/;
const RESUMED = /^(\d+)\s+<\.\.\. \w+ resumed>/;

/** Reads the output of `strace -f -y`. */
export function read(path: string): Call[] {
  const calls: Call[] = [];
  const unfinished = new Map<string, Call>();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [, process, name, descriptor, file] = line.match(BEGIN) ?? [];
    if (process && name) {
      const path = descriptor ?? file ?? '';
      const call = { name, file: basename(path), path, isInjected: line.includes('(INJECTED)') };
      calls.push(call);
      if (line.includes('<unfinished')) unfinished.set(process, call);
      continue;
    }
    const resumed = line.match(RESUMED)?.[1];
    const call = resumed && unfinished.get(resumed);
    if (call && line.includes('(INJECTED)')) call.isInjected = true;
  }
  return calls;
}

/** Whether the call makes bytes or names durable. */
export const isSync = ({ name }: Call) => name === 'fsync' || name === 'fdatasync';
