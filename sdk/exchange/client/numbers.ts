/**
 * Numbers: checks what people give.
 */
import { wrongArgument } from '../../error.ts';

/** The number, if it is one and large enough; `name` is what it is called in the error. */
export function atLeast(least: number, value: unknown, name: string): number {
  if (typeof value === 'number' && value >= least) return value;
  throw wrongArgument(`${name} is ${String(value)}; give a number, at least ${least}`);
}
