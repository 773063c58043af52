/**
 * Kernel: `tailrace kernel`, from an empty folder to a kernel that runs over a channel.
 */

import { buildKernel, newKernel, testKernel } from './kernel-project.ts';
import { kernelRun } from './kernel-run.ts';
import { FLAG, Misuse, number, parse, TEXT, whole } from './words.ts';

const WORDS = 'give new, build, test or run';

const MAKING = { schema: TEXT, name: TEXT, 'memory-bytes': TEXT, kind: TEXT } as const;
const RUNNING = {
  from: TEXT,
  count: TEXT,
  take: FLAG,
  hold: FLAG,
  into: TEXT,
  type: TEXT,
  skip: FLAG,
  budget: TEXT,
} as const;

type Kind = 'filter' | 'map' | 'aggregate';

function kindOf(text: string | undefined): Kind | undefined {
  if (text === undefined || text === 'filter' || text === 'map' || text === 'aggregate') return text;
  throw new Misuse(`--kind is "${text}"; give filter, map or aggregate`);
}

function making(values: { [Name in keyof typeof MAKING]: string | undefined }) {
  return {
    schema: values.schema,
    name: values.name,
    kind: kindOf(values.kind),
    memoryBytes: whole('memory-bytes', values['memory-bytes'], 1),
  };
}

const COMMANDS: Record<string, (words: string[]) => unknown> = {
  new(words) {
    const { values, names, paper } = parse(words, { kind: TEXT }, 1, 1);
    newKernel(paper, names[0]!, kindOf(values.kind) ?? 'filter');
    return true;
  },
  async build(words) {
    const { values, names, paper } = parse(words, { ...MAKING, out: TEXT }, 0, 1);
    await buildKernel(paper, names[0] ?? '.', making(values), values.out);
  },
  test(words) {
    const { values, names, paper } = parse(words, { ...MAKING, vectors: TEXT }, 0, 1);
    return testKernel(paper, names[0] ?? '.', making(values), values.vectors);
  },
  async run(words) {
    const { values, names, paper } = parse(words, { ...MAKING, ...RUNNING }, 3, 3);
    const from = values.from ?? 'latest';
    if (from !== 'latest' && from !== 'oldest') throw new Misuse(`--from is "${from}"; give latest or oldest`);
    await kernelRun(paper, names as [string, string, string], {
      making: making(values),
      from,
      count: number('count', values.count, Number.POSITIVE_INFINITY),
      take: values.take,
      hold: values.hold,
      into: values.into,
      type: whole('type', values.type, 0),
      skip: values.skip,
      budget: whole('budget', values.budget, 1),
    });
  },
};

/** What `tailrace kernel` was asked for. */
export function kernelCommand([name, ...words]: string[]): unknown {
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command) return command(words);
  throw new Misuse(name === undefined ? `kernel what? ${WORDS}` : `there is no command "kernel ${name}": ${WORDS}`);
}
