/**
 * Appender: the Node program that the storage faults hit. README.md has its lines.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Checkpoints, Log, LogReader, type Recorder, Region, TailraceError } from '../../sdk/index.ts';
import { content, recognised, scattered } from './content.ts';

const LANES = 24;
const STATE = 's';
const STATE_RUN = 77;

let log: Log | undefined;
let recorder: Recorder | undefined;
let region: Region | undefined;
let checkpoints: Checkpoints | undefined;

/** Says it now, however slowly it is listened to. */
function say(...words: unknown[]): void {
  for (let left = Buffer.from(`${words.join(' ')}\n`); left.length > 0; ) {
    try {
      left = left.subarray(writeSync(1, left));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

function sayFailure(error: unknown, verb: string): void {
  if (!(error instanceof TailraceError)) throw error;
  say('failed', error.code, error.outcome ?? 'known', verb, error.message);
}

/** Whether a failure passes, and then the wait before another try is over. */
async function isPassing(error: unknown, verb: string): Promise<boolean> {
  sayFailure(error, verb);
  if ((error as TailraceError).code !== 'ERR_DISK_FULL') return false;
  await sleep(20);
  return true;
}

/** Does something again and again until it has failed three times. */
async function persist(verb: () => string, work: () => Promise<void>): Promise<void> {
  for (let left = 3; left > 0; ) {
    try {
      await work();
    } catch (error) {
      if (!(await isPassing(error, verb()))) left -= 1;
    }
  }
  say('ended');
}

function append(to: Log, run: number): void {
  let index = 0;
  const work = async () => {
    const count = 1 + (scattered(run, index) % 6);
    const isDurable = scattered(run, index + 1_000) % 4 > 0;
    const payloads = Array.from({ length: count }, (_, i) => content(run, index + i));
    const last = await to.append(payloads, { durability: isDurable ? 'wal' : 'memory' });
    say(isDurable ? 'd' : 'm', last - BigInt(count - 1), run, index, count);
    index += count;
  };
  void persist(() => `append/${run}/${index}`, work);
}

function keepCheckpoints(to: Log, kept: Checkpoints): void {
  void persist(
    () => 'checkpoint',
    async () => {
      const sequence = to.durableSequence;
      const id = await kept.checkpoint(STATE, content(STATE_RUN, Number(sequence)), { sequence });
      say('c', id, sequence);
    },
  );
}

async function sayCheckpoint(directory: string, of: Log): Promise<void> {
  checkpoints = await Checkpoints.open(directory);
  const newest = checkpoints.newest(STATE);
  if (!newest) return say('kept', 0, 0, 0);
  const state = recognised(Buffer.from(newest.state));
  if (state?.[0] !== STATE_RUN || state[1] !== Number(newest.sequence)) return say('wrong', newest.checkpointId);
  const { records } = await checkpoints.recover(STATE, { log: of.path });
  let count = 0;
  for await (const batch of records) count += [...batch].length;
  say('kept', newest.checkpointId, newest.sequence, newest.sequence + BigInt(count));
}

async function follow(path: string): Promise<void> {
  for await (const batch of LogReader.open(path)) {
    for (const message of batch) {
      if (!recognised(Buffer.from(message.payload))) say('wrong', message.sequence);
    }
    say('r', batch.at(-1)?.sequence);
  }
}

async function obey(words: string[]): Promise<void> {
  const [verb, first = '', second = '', third = ''] = words;
  switch (verb) {
    case 'open':
      log = await Log.open(first, { segmentBytes: Number(second) });
      return say('opened', log.writtenSequence, log.durableSequence);
    case 'append':
      for (let lane = 0; lane < LANES; lane += 1) append(log!, Number(first) * 64 + lane);
      if (checkpoints) keepCheckpoints(log!, checkpoints);
      return;
    case 'keep':
      return sayCheckpoint(first, log!);
    case 'record':
      region = Region.open(first);
      recorder = region.record('c', { log: second, segmentBytes: Number(third) });
      return say('recording');
    case 'send': {
      region = Region.open(first);
      const producer = region.openProducer('c');
      let index = 0;
      return persist(
        () => 'send',
        async () => {
          say('d', await producer.send(content(Number(second), index), { durability: 'wal' }), second, index, 1);
          index += 1;
        },
      );
    }
    case 'follow':
      return follow(first);
    case 'close':
      await recorder?.close();
      await log?.close();
      return say('closed');
    default:
      throw new Error(`what is ${words}?`);
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const words = line.split(' ');
  obey(words).catch((error) => sayFailure(error, words[0] ?? ''));
});
say('ready');
