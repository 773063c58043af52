/**
 * Mold: datagrams of the market stream have the bytes of `mold.json`, both ways, and what is none is refused.
 */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeMold, encodeMold, encodeMoldRequest, MOLD_END, MOLD_HEARTBEAT, moldSession } from '../sdk/mold.ts';
import { failureOf } from './scratch.ts';

type Case = { why: string; session: string; sequence: string; count: number; messages: string[]; bytes: string };

const VECTORS: { datagrams: Case[]; requests: Case[]; bad: Pick<Case, 'why' | 'bytes'>[] } = JSON.parse(
  readFileSync(new URL('vectors/mold.json', import.meta.url), 'utf8'),
);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const mold = suite('mold');

mold('datagrams have the bytes of the vector, both ways', () => {
  for (const { why, session, sequence, count, messages, bytes } of VECTORS.datagrams) {
    // Behind other bytes, as in a pool.
    const padded = Buffer.from(`ffff${bytes}ffff`, 'hex');
    const read = decodeMold(padded.subarray(2, -2));
    assert.equal([read.session, read.sequence, read.count], [session, BigInt(sequence), count], why);
    for (let again = 0; again < 2; again++) assert.equal(Array.from(read.messages, hex), messages, why);
    const isHeader = count === MOLD_HEARTBEAT || count === MOLD_END;
    const written = isHeader
      ? encodeMoldRequest(session, BigInt(sequence), count)
      : encodeMold(
          session,
          BigInt(sequence),
          messages.map((message) => Buffer.from(message, 'hex')),
        );
    assert.is(hex(written), bytes, why);
  }
});

mold('requests have the bytes of the vector', () => {
  for (const { session, sequence, count, bytes } of VECTORS.requests) {
    assert.is(hex(encodeMoldRequest(session, BigInt(sequence), count)), bytes);
  }
  assert.is(moldSession(Buffer.from(VECTORS.requests[0]?.bytes ?? '', 'hex')), VECTORS.requests[0]?.session);
});

mold('bytes that are no datagram are refused', async () => {
  for (const { why, bytes } of VECTORS.bad) {
    assert.is((await failureOf(() => decodeMold(Buffer.from(bytes, 'hex')))).code, 'ERR_CORRUPT', why);
  }
});

mold('wrong arguments are told in sentences', async () => {
  const session = '        42';
  const cases: [call: () => unknown, words: RegExp][] = [
    [() => encodeMoldRequest('42', 1n, 1), /^session is "42"; give ten characters/],
    [() => encodeMoldRequest('        4\u20ac', 1n, 1), /give ten characters/],
    [() => encodeMoldRequest(session, -1n, 1), /^sequence is -1/],
    [() => encodeMoldRequest(session, 1n << 64n, 1), /^sequence is 18446744073709551616/],
    [() => encodeMoldRequest(session, 1.5, 1), /^sequence is 1\.5/],
    [() => encodeMoldRequest(session, 1, 65_536), /^count is 65536/],
    [() => encodeMold(session, 1, [new Uint8Array(65_536)]), /^a message has 65536 bytes/],
    [() => encodeMold(session, 1, new Array(65_535).fill(new Uint8Array())), /^there are 65535 messages/],
  ];
  for (const [call, words] of cases) {
    const error = await failureOf(call);
    assert.is(error.code, 'ERR_ARGUMENT');
    assert.match(error.message, words);
  }
});

mold.run();
