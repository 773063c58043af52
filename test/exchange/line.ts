/**
 * Line: whatever order datagrams come in, however often and however cut, messages leave in order, once, and never within
 * a command; and what may wait has an end. Hundreds of small feeds at random; the seed is in the message.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Line } from '../../sdk/exchange/client/line.ts';
import { wire } from '../../sdk/index.ts';
import { below, type Dice, dice, pick } from '../dice.ts';

const SEEDS = 400;
const COMMANDS = 120;

interface Datagram {
  sequence: bigint;
  payloads: Uint8Array[];
}

/** A feed: messages, datagrams as a publisher would send them, and the sequences after which a command ends. */
function feedOf(roll: Dice): { messages: Uint8Array[]; datagrams: Datagram[]; ends: Set<bigint> } {
  const messages: Uint8Array[] = [];
  const datagrams: Datagram[] = [];
  const ends = new Set<bigint>();
  let timestampNs = 1;
  let open: Datagram | undefined;
  for (let command = 0; command < COMMANDS; command += 1) {
    // Several commands may have one time.
    timestampNs += below(roll, 3);
    const size = 1 + below(roll, 6);
    open ??= { sequence: BigInt(messages.length + 1), payloads: [] };
    for (let index = 0; index < size; index += 1) {
      const payload = wire.encodeAs('Deleted', { sequence: messages.length + 1, timestampNs });
      messages.push(payload);
      open.payloads.push(payload);
    }
    ends.add(BigInt(messages.length));
    if (roll() < 0.5 || command === COMMANDS - 1) {
      datagrams.push(open);
      open = undefined;
    }
  }
  return { messages, datagrams, ends };
}

/** The same datagrams as a bad network brings them. */
function shaken(roll: Dice, datagrams: readonly Datagram[]): Datagram[] {
  const come = datagrams
    .filter(() => roll() > 0.2)
    .flatMap((datagram) => (roll() < 0.1 ? [datagram, datagram] : [datagram]));
  for (let index = 0; index + 1 < come.length; index += 1) {
    if (roll() >= 0.3) continue;
    const other = Math.min(come.length - 1, index + 1 + below(roll, 4));
    [come[index], come[other]] = [come[other]!, come[index]!];
  }
  return come;
}

/** Hears a feed to its end, and says what left, run by run. */
function hear(seed: number, most: number): void {
  const roll = dice(seed);
  const { messages, datagrams, ends } = feedOf(roll);
  const line = new Line(most);
  const left: Uint8Array[] = [];
  // A snapshot is of a moment between two commands.
  const first = pick(roll, [1n, ...ends]);
  const beginning = first === 1n ? 1n : first + 1n;
  const take = () => {
    for (const { sequence, payloads } of line.release()) {
      assert.is(sequence, beginning + BigInt(left.length), `seed ${seed}`);
      left.push(...payloads);
      const last = sequence + BigInt(payloads.length) - 1n;
      assert.ok(ends.has(last) || most < 1_000, `seed ${seed}: a run ended with ${last}, within a command`);
    }
    assert.ok(line.expected <= line.end || !line.isPlaced, `seed ${seed}`);
  };
  const come = shaken(roll, datagrams);
  const placedAt = below(roll, 10);
  for (const [index, { sequence, payloads }] of come.entries()) {
    if (index === placedAt) line.place(beginning);
    line.take(sequence, payloads, true);
    take();
    if (roll() < 0.2) answer(roll, line, messages, most);
    take();
  }
  if (!line.isPlaced) line.place(beginning);
  line.hear(BigInt(messages.length + 1));
  for (let round = 0; line.gap(1) !== undefined; round += 1) {
    assert.ok(round < 10_000, `seed ${seed} does not come to an end`);
    answer(roll, line, messages, most);
    take();
  }
  take();
  assert.equal(left, messages.slice(Number(beginning) - 1), `seed ${seed}`);
  assert.equal(line.release(), []);
}

/** A retransmission: a part of what is missing, cut anywhere. */
function answer(roll: Dice, line: Line, messages: readonly Uint8Array[], most: number): void {
  const gap = line.gap(most);
  if (gap === undefined) return;
  const start = Number(gap.sequence) - 1;
  line.take(gap.sequence, messages.slice(start, start + 1 + below(roll, gap.count + 3)), false);
}

const test = suite('exchange: line');

test('messages leave in order, once, and in whole commands', () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) hear(seed, 10_000);
});

test('with little room they still leave in order, once', () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) hear(seed, 20);
});

test('what is far ahead is refused, and what is known is nothing new', () => {
  const line = new Line(10);
  const payload = wire.encodeAs('Deleted', {});
  assert.equal([line.isPlaced, line.gap(5)], [false, undefined]);
  line.place(5n);
  assert.is(line.take(3n, [payload, payload], true), 'known');
  assert.is(line.take(5n, [payload], true), 'new');
  assert.is(line.take(16n, [payload], true), 'refused');
  assert.is(line.take(15n, [payload], true), 'late');
  assert.is(line.take(7n, [payload], true), 'late');
  assert.equal(
    [line.gap(100), line.gap(1)],
    [
      { sequence: 6n, count: 1 },
      { sequence: 6n, count: 1 },
    ],
  );
  assert.is(line.take(6n, [payload], false), 'late');
  assert.equal(
    line.release().map(({ sequence, payloads }) => [sequence, payloads.length]),
    [
      [5n, 1],
      [6n, 2],
    ],
  );
  assert.equal([line.expected, line.end, line.gap(3)], [8n, 17n, { sequence: 8n, count: 3 }]);
  assert.equal([line.hear(17n), line.hear(18n)], [false, true]);
  line.clear();
  assert.equal([line.isPlaced, line.expected, line.end], [false, 0n, 0n]);
});

test.run();
