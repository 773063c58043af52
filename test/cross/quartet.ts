/**
 * Quartet: a recorded channel whose recorder, writer, reader and group are of different languages, and its log.
 *
 * It knows what was written, and so what each of them must tell, all of it exactly: bytes, type, log sequence, process id
 * and runtime of the sender.
 */
import { deepEqual, equal } from 'node:assert/strict';
import type { Driver, Line } from '../drivers/drive.ts';
import { payload, RUNTIMES, SLOT_PAYLOAD, type Told } from './crew.ts';

const CAPACITY = 64;
const GROUP = 'sinks';
/** Bytes: at the edges of one slot and of two, and the longest of this capacity. */
const SIZES = [0, 1, 8, 100, 1_023, 1_024, 1_025, 2_049, 300, (CAPACITY / 4) * 1_024];
const SEND_MS = 20_000;

/** Who does what; each is a process. */
export interface Roles {
  recorder: Driver;
  /** Goes on with the same log when the first one has ended. */
  heir: Driver;
  writer: Driver;
  reader: Driver;
  members: readonly Driver[];
  auditor: Driver;
}

/** A recorded channel that they share. */
export class Quartet {
  readonly #due: Told[] = [];
  #next = 1;
  #read = 0;

  constructor(
    readonly roles: Roles,
    readonly channel: string,
    readonly log: string,
  ) {}

  /** Opens all ends; the recorder first, so that sequences are known. */
  async open(): Promise<void> {
    const { recorder, writer, reader, members } = this.roles;
    const { channel } = this;
    for (const driver of new Set([recorder, writer, reader, ...members])) {
      await driver.must({ op: 'create_channel', name: channel, kind: 'stream', capacity: CAPACITY, recorded: true });
    }
    await this.record(recorder);
    await writer.must({ op: 'open_producer', channel });
    await reader.must({ op: 'open_consumer', channel, from: 'oldest' });
    for (const member of members) await member.must({ op: 'open_consumer', channel, from: 'oldest', group: GROUP });
  }

  async record(recorder: Driver): Promise<void> {
    await recorder.must({ op: 'record', channel: this.channel, log: this.log, segment_bytes: 256 * 1_024 });
  }

  /** What is told of a message that is written next. */
  #expect(hex: string, type: number): string {
    const { language, pid } = this.roles.writer;
    const sequence = String(this.#next);
    this.#next += Math.max(1, Math.ceil(hex.length / 2 / SLOT_PAYLOAD));
    this.#due.push({
      sequence,
      type,
      payload: hex,
      pid,
      runtime: RUNTIMES[language],
      redelivered: false,
      delivery_count: 1,
    });
    return sequence;
  }

  /** Writes so many messages in every way there is; the last one is on disk when this ends. */
  async write(count: number): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      const hex = payload(SIZES[index % SIZES.length]!, index);
      const type = [0, 1, 0x8000_0000, 0xffff_ffff][index % 4]!;
      const durability = index % 5 === 4 || index === count - 1 ? 'wal' : 'memory';
      const { sequence } = await this.roles.writer.must({
        op: 'send',
        payload: hex,
        type,
        durability,
        timeout_ms: SEND_MS,
      });
      equal(sequence, this.#expect(hex, type));
    }
  }

  /** What `reader` gives until nothing comes any more. */
  async #all(reader: Driver, limit: number): Promise<Told[]> {
    const seen: Told[] = [];
    for (;;) {
      const { messages, lost } = await reader.must({ op: 'poll', limit });
      equal(lost, 0);
      seen.push(...(messages as Told[]));
      if ((messages as Told[]).length === 0) return seen;
    }
  }

  /** The reader gets what is new to it, in order. */
  async checkReader(): Promise<void> {
    deepEqual(await this.#all(this.roles.reader, 7), this.#due.slice(this.#read));
    equal((await this.roles.reader.must({ op: 'position' })).sequence, String(this.#next));
    this.#read = this.#due.length;
  }

  /** The members get what is new, each message once, whoever is quicker; then nothing is unfinished. */
  async checkGroup(): Promise<void> {
    const { members } = this.roles;
    const seen: Told[] = [];
    const given = new Set<Driver>();
    for (let idle = 0, turn = 0; idle < members.length; turn += 1) {
      const member = members[turn % members.length]!;
      const messages = (await member.must({ op: 'take', limit: 3 + (turn % 4) })).messages as Told[];
      if (messages.length > 0) {
        given.add(member);
        deepEqual(await member.must({ op: 'release' }), { ok: true, count: messages.length });
      }
      idle = messages.length > 0 ? 0 : idle + 1;
      seen.push(...messages);
    }
    equal(given.size, members.length);
    deepEqual(seen, this.#due.slice(this.#due.length - seen.length), 'in order, for they took turns');
    for (const member of members) {
      equal((await member.must({ op: 'commit', timeout_ms: SEND_MS })).sequence, String(this.#next));
    }
  }

  /** The log has all of it, from its beginning and from any place in it. */
  async checkLog(): Promise<void> {
    const { auditor } = this.roles;
    const open: Line = { op: 'open_reader', path: this.log };
    await auditor.must({ ...open, durable_only: true });
    deepEqual(await this.#all(auditor, 256), this.#due);
    const middle = this.#due[this.#due.length >> 1]!;
    await auditor.must({ ...open, from: middle.sequence });
    deepEqual(await this.#all(auditor, 11), this.#due.slice(this.#due.length >> 1));
    equal((await auditor.must({ op: 'seek', from: middle.sequence })).sequence, middle.sequence);
    const [first] = (await auditor.must({ op: 'poll', limit: 1 })).messages as Told[];
    deepEqual(first, middle);
    await auditor.must({ op: 'close_consumer' });
  }

  /** Another recorder goes on. */
  async handOver(): Promise<void> {
    const { recorder, heir } = this.roles;
    const busy = await heir.ask({ op: 'record', channel: this.channel, log: this.log });
    equal(busy.code, 'ERR_BUSY');
    await recorder.must({ op: 'close_recorder' });
    await this.record(heir);
  }

  async close(): Promise<void> {
    const { heir, writer, reader, members } = this.roles;
    await heir.must({ op: 'close_recorder' });
    await writer.must({ op: 'close_producer' });
    for (const driver of [reader, ...members]) await driver.must({ op: 'close_consumer' });
  }
}
