/**
 * Cases: calls that must fail, and the code that must come back, whoever makes them.
 *
 * Each case begins with `open`, which closes what was open before, and with empty channels, so that none depends on
 * another.
 */
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type ChannelOptions, type Consumer, type Producer, type Recorder, Region } from '../../sdk/index.ts';
import type { Line } from '../drivers/drive.ts';
import { payload } from './crew.ts';

/** A call that must fail. */
export interface Case {
  name: string;
  ask: Line;
  code: string;
  /** What is asked before; it must succeed. */
  before?: Line[];
  /** What happens then, before the call. */
  meanwhile?: (place: Place) => void;
}

const CHANNELS: Record<string, ChannelOptions> = {
  queue: { capacity: 8 },
  stream: { kind: 'stream', capacity: 8 },
  held: { capacity: 8, exclusiveProducer: true, exclusiveConsumer: true },
  document: { capacity: 8, foreign: 'document' },
  code: { capacity: 8, foreign: 'code' },
  damaged: { capacity: 8 },
  recorded: { kind: 'stream', capacity: 8, recorded: true },
  kept: { kind: 'stream', capacity: 8, recorded: true },
};
const LONGEST = 2 * 1_024;
const RECORD_LONGEST = 1 << 20;
const SEATS = 1_024;
const VERSION_OFFSET = 8;
const CAPACITY_OFFSET = 128 + 384 * Object.keys(CHANNELS).indexOf('damaged') + 8;

/** Files to make mistakes with, and somebody who has what others want. */
export class Place {
  readonly directory = mkdtempSync('/dev/shm/tailrace-cases-');
  readonly path = `${this.directory}/region`;
  readonly #region = Region.create(this.path, { limitBytes: 1 << 20 });
  readonly #held: (Producer | Consumer)[];
  readonly #recorder: Recorder;
  readonly #crowd: Producer[] = [];

  constructor() {
    for (const [name, options] of Object.entries(CHANNELS)) this.#region.createChannel(name, options);
    this.#held = [this.#region.openProducer('held'), this.#region.openConsumer('held')];
    this.#recorder = this.#region.record('kept', { log: `${this.directory}/log` });
    this.#put('region', CAPACITY_OFFSET, 7);
    for (const name of ['other', 'cut']) Region.create(`${this.directory}/${name}`).close();
    this.#put('other', VERSION_OFFSET, 2);
    truncateSync(`${this.directory}/cut`, 200_000);
    symlinkSync(this.path, `${this.directory}/link`);
    writeFileSync(`${this.directory}/text`, 'not a region', { mode: 0o600 });
    writeFileSync(`${this.directory}/open`, '');
    chmodSync(`${this.directory}/open`, 0o602);
  }

  #put(name: string, offset: number, value: number): void {
    const file = openSync(`${this.directory}/${name}`, 'r+');
    writeSync(file, Buffer.from([value, 0, 0, 0]), 0, 4, offset);
    closeSync(file);
  }

  /** The question with the directory of this place before its path. */
  at(ask: Line): Line {
    const { op, path, log } = ask;
    if (op === 'open' || path !== undefined) return { ...ask, path: `${this.directory}${path ?? '/region'}` };
    return log === undefined ? ask : { ...ask, log: `${this.directory}${log}` };
  }

  /** A region that can be removed. */
  makeTransient(): void {
    rmSync(`${this.directory}/transient`, { force: true });
    using region = Region.create(`${this.directory}/transient`, { limitBytes: 1 << 20 });
    region.createChannel('queue', CHANNELS.queue);
  }

  removeTransient(): void {
    Region.remove(`${this.directory}/transient`);
  }

  /** Nothing is in the channels, and seats are free. */
  clear(): void {
    for (const producer of this.#crowd.splice(0)) producer.close();
    for (const channel of ['queue', 'document', 'code']) {
      using consumer = this.#region.openConsumer(channel);
      while (consumer.poll().length > 0);
    }
    this.makeTransient();
  }

  /** All seats of the region are taken. */
  crowd(): void {
    try {
      for (;;) this.#crowd.push(this.#region.openProducer('queue'));
    } catch (error) {
      if (this.#crowd.length < SEATS / 2) throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const held of [...this.#held, ...this.#crowd]) held.close();
    this.#recorder[Symbol.dispose]();
    this.#region.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const open = (path: string): Line => ({ op: 'open', path });
const create = (name: string, capacity: number, options: Line = {}): Line => ({
  op: 'create_channel',
  name,
  capacity,
  ...options,
});
const producer = (channel: string): Line => ({ op: 'open_producer', channel });
const consumer = (channel: string, options: Line = {}): Line => ({ op: 'open_consumer', channel, ...options });
const write = (...sizes: number[]): Line => ({ op: 'write', payloads: sizes.map((size) => payload(size)), type: 0 });
const send = (size: number): Line => ({ op: 'send', payload: payload(size), type: 0, timeout_ms: 20 });
const poll: Line = { op: 'poll', limit: 8 };
const take: Line = { op: 'take', limit: 8 };
const record = (channel: string, log: string): Line => ({ op: 'record', channel, log });
const openLog = (path: string): Line => ({ op: 'open_log', path });
const openReader = (path: string): Line => ({ op: 'open_reader', path });
const append = (size: number): Line => ({ op: 'append', payloads: [payload(size)], type: 0, durability: 'wal' });
const wait: Line = { op: 'wait', timeout_ms: 20 };

const transient = [open('/transient'), producer('queue'), consumer('queue')];
const remove = (place: Place) => place.removeTransient();
const crowd = (place: Place) => place.crowd();
const claimed = [producer('queue'), consumer('queue'), write(5, 5, 5), take];
const written = [producer('queue'), { op: 'close_producer' }];
const read = [consumer('queue'), { op: 'close_consumer' }];

/** The table. */
export const CASES: Case[] = [
  { name: 'a file that is not there', ask: open('/nothing'), code: 'ERR_NOT_FOUND' },
  { name: 'a file that is no region', ask: open('/text'), code: 'ERR_FOREIGN' },
  { name: 'a directory', ask: open(''), code: 'ERR_FOREIGN' },
  { name: 'a region of another version', ask: open('/other'), code: 'ERR_VERSION' },
  { name: 'a region that was cut short', ask: open('/cut'), code: 'ERR_CORRUPT' },
  { name: 'a symbolic link', ask: open('/link'), code: 'ERR_PERMISSION' },
  { name: 'a file that everybody may write', ask: open('/open'), code: 'ERR_PERMISSION' },
  { name: 'an offset that nobody uses', ask: { op: 'open', payload_offset: 56 }, code: 'ERR_ARGUMENT' },

  { name: 'a channel without a name', ask: create('', 8), code: 'ERR_ARGUMENT' },
  { name: 'a name of 64 bytes', ask: create('n'.repeat(64), 8), code: 'ERR_ARGUMENT' },
  { name: 'a name with a control character', ask: create('a\u007fb', 8), code: 'ERR_ARGUMENT' },
  { name: 'a capacity of 3', ask: create('new', 3), code: 'ERR_ARGUMENT' },
  { name: 'a capacity of 1', ask: create('new', 1), code: 'ERR_ARGUMENT' },
  { name: 'a capacity beyond all bounds', ask: create('new', 2 ** 40), code: 'ERR_ARGUMENT' },
  { name: 'a capacity beyond the limit', ask: create('new', 1_024), code: 'ERR_NO_SPACE' },
  { name: 'a gated queue', ask: create('new', 8, { gated: true }), code: 'ERR_ARGUMENT' },
  {
    name: 'an exclusive consumer of a stream',
    ask: create('new', 8, { kind: 'stream', exclusive_consumer: true }),
    code: 'ERR_ARGUMENT',
  },
  { name: 'a foreign stream', ask: create('new', 8, { kind: 'stream', foreign: 'code' }), code: 'ERR_ARGUMENT' },
  { name: 'checksums of foreigners', ask: create('new', 8, { foreign: 'code', checksum: true }), code: 'ERR_ARGUMENT' },
  { name: 'a channel with another capacity', ask: create('queue', 16), code: 'ERR_EXISTS' },
  { name: 'a channel of another kind', ask: create('stream', 8), code: 'ERR_EXISTS' },

  { name: 'a producer of no channel', ask: producer('none'), code: 'ERR_NOT_FOUND' },
  { name: 'a consumer of no channel', ask: consumer('none'), code: 'ERR_NOT_FOUND' },
  { name: 'a producer of a damaged channel', ask: producer('damaged'), code: 'ERR_CORRUPT' },
  { name: 'a consumer of a damaged channel', ask: consumer('damaged'), code: 'ERR_CORRUPT' },
  { name: 'a second exclusive producer', ask: producer('held'), code: 'ERR_BUSY' },
  { name: 'a second exclusive consumer', ask: consumer('held'), code: 'ERR_BUSY' },
  { name: 'from, on a queue', ask: consumer('queue', { from: 'latest' }), code: 'ERR_ARGUMENT' },
  { name: 'gating, on a queue', ask: consumer('queue', { gating: true }), code: 'ERR_ARGUMENT' },
  { name: 'a producer too many', meanwhile: crowd, ask: producer('queue'), code: 'ERR_NO_SPACE' },
  { name: 'a consumer too many', meanwhile: crowd, ask: consumer('stream'), code: 'ERR_NO_SPACE' },

  { name: 'a message too long', before: [producer('queue')], ask: write(LONGEST + 1), code: 'ERR_TOO_LARGE' },
  { name: 'one too long to be sent', before: [producer('queue')], ask: send(LONGEST + 1), code: 'ERR_TOO_LARGE' },
  { name: 'a batch with one too long', before: [producer('queue')], ask: write(5, LONGEST + 1), code: 'ERR_TOO_LARGE' },
  { name: 'too long by the document', before: [producer('document')], ask: write(961), code: 'ERR_TOO_LARGE' },
  { name: 'too long by the code', before: [producer('code')], ask: write(1_025), code: 'ERR_TOO_LARGE' },
  {
    name: 'no room in time',
    before: [producer('queue'), write(1, 2, 3, 4, 5, 6, 7, 8)],
    ask: send(5),
    code: 'ERR_TIMED_OUT',
  },

  { name: 'a take from a stream', before: [consumer('stream')], ask: take, code: 'ERR_UNSUPPORTED' },
  { name: 'a poll with a claim open', before: claimed, ask: poll, code: 'ERR_BUSY' },
  { name: 'a take with a claim open', before: claimed, ask: take, code: 'ERR_BUSY' },
  { name: 'more to release than is open', before: claimed, ask: { op: 'release', count: 4 }, code: 'ERR_ARGUMENT' },

  { name: 'a write after close', before: written, ask: write(5), code: 'ERR_CLOSED' },
  { name: 'a send after close', before: written, ask: send(5), code: 'ERR_CLOSED' },
  { name: 'a poll after close', before: read, ask: poll, code: 'ERR_CLOSED' },
  { name: 'a take after close', before: read, ask: take, code: 'ERR_CLOSED' },
  { name: 'a wait after close', before: read, ask: wait, code: 'ERR_CLOSED' },

  { name: 'a recorded queue', ask: create('new', 8, { recorded: true }), code: 'ERR_ARGUMENT' },
  { name: 'a recorder of a queue', ask: record('queue', '/new'), code: 'ERR_UNSUPPORTED' },
  { name: 'a recorder of what is not recorded', ask: record('stream', '/new'), code: 'ERR_UNSUPPORTED' },
  { name: 'a recorder of no channel', ask: record('none', '/new'), code: 'ERR_NOT_FOUND' },
  { name: 'a second recorder', ask: record('kept', '/log'), code: 'ERR_BUSY' },
  { name: 'a log that is written', ask: openLog('/log'), code: 'ERR_BUSY' },
  { name: 'a log of another channel', ask: record('recorded', '/log'), code: 'ERR_BUSY' },
  {
    name: 'on disk, without a log',
    before: [producer('recorded')],
    ask: { ...send(5), durability: 'wal' },
    code: 'ERR_UNSUPPORTED',
  },
  {
    name: 'on disk, from a queue',
    before: [producer('queue')],
    ask: { ...send(5), durability: 'wal' },
    code: 'ERR_UNSUPPORTED',
  },
  { name: 'a group of a queue', ask: consumer('queue', { group: 'sinks' }), code: 'ERR_UNSUPPORTED' },
  { name: 'a group of a stream', ask: consumer('stream', { group: 'sinks' }), code: 'ERR_UNSUPPORTED' },
  { name: 'a group without a name', ask: consumer('kept', { group: '' }), code: 'ERR_ARGUMENT' },
  { name: 'a level of a stream', ask: consumer('stream', { level: 'wal' }), code: 'ERR_UNSUPPORTED' },
  { name: 'a sequence of a stream', ask: consumer('stream', { from: '3' }), code: 'ERR_UNSUPPORTED' },
  {
    name: 'a log of nobody',
    ask: consumer('kept', { from: 'oldest', log: '/nothing' }),
    code: 'ERR_NOT_FOUND',
  },
  { name: 'a seek in a stream', before: [consumer('stream')], ask: { op: 'seek', from: '3' }, code: 'ERR_UNSUPPORTED' },
  { name: 'a take without a group', before: [consumer('kept')], ask: take, code: 'ERR_UNSUPPORTED' },
  {
    name: 'a commit without a group',
    before: [consumer('kept')],
    ask: { op: 'commit', timeout_ms: 20 },
    code: 'ERR_UNSUPPORTED',
  },
  { name: 'a log that is not there', ask: openReader('/nothing'), code: 'ERR_NOT_FOUND' },
  { name: 'a log that is a file', ask: openReader('/text'), code: 'ERR_FOREIGN' },
  { name: 'a record too long', before: [openLog('/own')], ask: append(RECORD_LONGEST + 1), code: 'ERR_TOO_LARGE' },
  {
    name: 'an append after close',
    before: [openLog('/own'), { op: 'close_log' }],
    ask: append(5),
    code: 'ERR_CLOSED',
  },

  {
    name: 'a producer of what was removed',
    before: transient,
    meanwhile: remove,
    ask: producer('queue'),
    code: 'ERR_GONE',
  },
  {
    name: 'a consumer of what was removed',
    before: transient,
    meanwhile: remove,
    ask: consumer('queue'),
    code: 'ERR_GONE',
  },
  {
    name: 'a channel in what was removed',
    before: transient,
    meanwhile: remove,
    ask: create('new', 8),
    code: 'ERR_GONE',
  },
  { name: 'a wait for what was removed', before: transient, meanwhile: remove, ask: wait, code: 'ERR_GONE' },
  {
    name: 'no room in what was removed',
    before: [...transient, write(1, 2, 3, 4, 5, 6, 7, 8)],
    meanwhile: remove,
    ask: write(1),
    code: 'ERR_GONE',
  },
];
