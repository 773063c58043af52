/**
 * Refusal: what a code of the module means to people. The module has no words, so they are found here.
 */
import { TailraceError } from '../error.ts';
import { ADVICE, CODES, type Code, TEXTS } from '../generated/errors.ts';

/** Throws an error of this code, with the advice that belongs to it. */
export function refuse(code: Code, message: string = TEXTS[code], value = 0): never {
  throw new TailraceError(code, `${message}; ${ADVICE[code]}`, undefined, value);
}

/** What to say about some codes; the value is the number that the module left. */
export type Sentences = { [C in Code]?: (value: number) => string };

/** Gives an answer back, or throws what it means. */
export function checked(answer: number, value: () => number, sentences: Sentences = {}): number {
  if (answer >= 0) return answer;
  const code = CODES.get(answer) ?? 'ERR_INTERNAL';
  const number = value();
  return refuse(code, sentences[code]?.(number), number);
}
