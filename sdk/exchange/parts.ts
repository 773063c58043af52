/**
 * Parts: the processes of an exchange, and what they say of themselves, a line of JSON each.
 */
import type { Post } from '../crew/crew.ts';
import type { Line } from '../crew/report.ts';
import type { Role } from './config.ts';
import { program } from './program.ts';

/** In the order of their start: the matcher makes the region that the others work in. */
export const ROLES = ['matcher', 'gateway', 'publisher', 'shadow'] as const satisfies Role[];

/** What a part is told before its leash ends when the whole exchange ends, and not only the part. */
export const END = 'end';

/** A line of a part. Numbers count since its process was started, unless they are sequences. */
export interface PartLine extends Line {
  report: 'ready' | 'status' | 'closed';
  role: Role;
  pid?: number;
  /** Bound address, of a part that listens. */
  listen?: string;
  [field: string]: unknown;
}

/** Longer than any replay of a journal: whoever starts an exchange sees that it is not ready, and may interrupt. */
const PATIENCE_MS = 24 * 3_600_000;

/** The process of a part, which says how it is every `status_ms`. */
export function postOf(role: Role, config: string, status_ms: number): Post {
  const args = ['run', '--config', config, '--status', `${status_ms}`, '--leash', role];
  return { name: role, language: 'Rust', patience_ms: PATIENCE_MS, command: () => [program(), ...args] };
}
