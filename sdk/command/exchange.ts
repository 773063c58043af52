/**
 * Exchange: `tailrace exchange`, the parts of an exchange for as long as this command lives, and `tailrace replay`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { number } from '../crew/canvas.ts';
import { TailraceError } from '../error.ts';
import { type Role, readConfig } from '../exchange/config.ts';
import { Exchange } from '../exchange/exchange.ts';
import { command, type OperatorCommand } from '../exchange/operator.ts';
import { type PartLine, ROLES } from '../exchange/parts.ts';
import { program } from '../exchange/program.ts';
import { untilAsked } from './ending.ts';
import { type Column, type Paper, printable } from './paper.ts';
import { Misuse, whole } from './words.ts';

/** What one part says of itself. */
interface Row {
  role: Role;
  state: 'ready' | 'starting';
  words: string;
}

const ROWS: Column<Row>[] = [
  { title: 'PART', value: (row) => row.role },
  { title: 'STATE', value: (row) => row.state, color: (row) => (row.state === 'ready' ? undefined : 'yellow') },
  { title: 'NUMBERS', value: (row) => row.words },
];

const NOT_NUMBERS = new Set(['report', 'role', 'pid']);

/** The fields of a part's line, as words. */
function wordsOf(line: PartLine | undefined): string {
  const fields = Object.entries(line ?? {}).filter(([name, value]) => !NOT_NUMBERS.has(name) && value !== null);
  return fields
    .map(([name, value]) => `${name} ${typeof value === 'number' ? number(value) : printable(String(value))}`)
    .join('  ');
}

function rowsOf(exchange: Exchange): Row[] {
  return ROLES.map((role) => {
    const isReady = exchange.crew.members.find(({ name }) => name === role)?.isReady === true;
    return { role, state: isReady ? 'ready' : 'starting', words: wordsOf(exchange.status(role)) };
  });
}

/** Runs the exchange that `config` says until this process is asked to end; every `interval` seconds says how it is. */
export async function exchange(paper: Paper, config: string, interval: number): Promise<void> {
  const signal = untilAsked();
  const running = new Exchange(config, { statusMs: interval * 1_000 });
  const failing = new AbortController();
  let failure: Error | undefined;
  running.on('failed', (error) => {
    failure = error;
    failing.abort();
  });
  running.on('said', (role, line) => process.stderr.write(`${role}: ${printable(line)}\n`));
  running.on('died', ({ process: role, signal: how }) =>
    process.stderr.write(`${role} ended (${how}); started again\n`),
  );
  paper.outlivesReader = true;
  const ending = AbortSignal.any([signal, failing.signal]);
  try {
    await running.start(ending);
    const listening = ROLES.flatMap((role) => {
      const address = running.address(role);
      return address === undefined ? [] : [`${role} ${address}`];
    });
    if (!ending.aborted) paper.remark(`open: ${listening.join(', ')}`, 'bold');
    while (!ending.aborted) {
      paper.table(ROWS, rowsOf(running));
      paper.remark('');
      await aborted(ending, interval * 1_000);
    }
  } finally {
    // What failed is started again, and its readers wait for that.
    await running.stop(failure === undefined);
  }
  paper.table(ROWS, rowsOf(running));
  if (failure !== undefined) throw new TailraceError('ERR_IO', failure.message, { cause: failure });
}

/** Waits until `signal` is aborted, at most so long. */
function aborted(signal: AbortSignal, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });
}

/** What an operator can say in words. */
const ORDERS: Record<string, { argument?: string; message(number: number, limits: Limits): OperatorCommand }> = {
  halt: { message: () => ({ message: 'SetState', state: 1 }) },
  resume: { message: () => ({ message: 'SetState', state: 0 }) },
  kill: { argument: 'ACCOUNT', message: (account) => ({ message: 'SetKilled', isKilled: 1, account }) },
  revive: { argument: 'ACCOUNT', message: (account) => ({ message: 'SetKilled', isKilled: 0, account }) },
  cancel: { argument: 'ACCOUNT', message: (account) => ({ message: 'MassCancel', account }) },
  limits: { message: (_, limits) => ({ message: 'SetLimits', ...limits }) },
};

/** Limits of the book; 0: none. All of them are set. */
export interface Limits {
  openOrdersMax: number;
  quantityMax: number;
  collarTicks: number;
}

/** Words of an operator. */
export const OPERATOR_WORDS = Object.keys(ORDERS);

/** Says something to a running exchange. */
export async function operate(paper: Paper, config: string, names: readonly string[], limits: Limits): Promise<void> {
  const [word = '', text] = names;
  const order = Object.hasOwn(ORDERS, word) ? ORDERS[word] : undefined;
  if (order === undefined) throw new Misuse(`there is no "exchange ${word}"; give ${OPERATOR_WORDS.join(', ')}`);
  if ((order.argument === undefined) !== (text === undefined)) {
    throw new Misuse(order.argument ? `exchange ${word} needs an ${order.argument}` : `"${text}" is too much`);
  }
  const account = text === undefined ? 0 : whole('ACCOUNT', text, 0)!;
  const sequence = await command(readConfig(config).data, order.message(account, limits));
  paper.table([{ title: 'SEQUENCE', value: () => sequence }], [{ sequence }]);
}

/** Replays a journal with the native program, whose output is this command's; false when it found something wrong. */
export async function replay(words: readonly string[]): Promise<boolean> {
  const child = spawn(program(), ['replay', ...words], { stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = await once(child, 'exit');
  return code === 0;
}
