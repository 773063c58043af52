/**
 * Line: puts the messages of a feed into their order, and knows which are missing.
 *
 * ```text
 *     expected        cut         reached                      end
 *        │ leaves next │ held back │ missing │ waiting │ missing │   sequences
 * ```
 *
 * Messages leave in runs of whole commands. A command has ended where a datagram of the feed begins or ends, where a
 * heartbeat says that the next message will be, and where the time of the messages changes, for a command has one time.
 * A retransmission may begin and end anywhere, so the last messages it brings may have to wait for the next. Only a
 * command that is larger than a datagram of the feed, or than all that may wait, is shown in parts.
 *
 * Always: expected <= cut <= reached <= end, and what waits lies less than `most` behind `expected`.
 */
import { MESSAGES } from '../../wire.ts';

/** Messages that follow each other: whole commands. */
export interface Run {
  sequence: bigint;
  payloads: readonly Uint8Array[];
}

/** Messages that are missing. */
export interface Gap {
  sequence: bigint;
  count: number;
}

/** What a datagram brought: messages in front, older ones that were missing, nothing new, or more than there is room for. */
export type Arrival = 'new' | 'late' | 'known' | 'refused';

const TIMESTAMP = MESSAGES.Added.fields.timestampNs.offset;

function timestampOf(payload: Uint8Array): bigint {
  return new DataView(payload.buffer, payload.byteOffset).getBigUint64(TIMESTAMP, true);
}

/** Puts messages into their order. */
export class Line {
  readonly #most: number;
  readonly #waiting = new Map<bigint, Uint8Array>();
  /** Sequences before which a command ended, as far as they were not reached yet. */
  readonly #ends = new Set<bigint>();
  #isPlaced = false;
  #expected = 0n;
  #cut = 0n;
  #reached = 0n;
  #end = 0n;
  /** Of the last message before `reached`, if that waits. */
  #timestamp: bigint | undefined;
  /** What came in order and had nothing to wait for. */
  #passed: Run[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Whether it knows where to begin. */
  get isPlaced(): boolean {
    return this.#isPlaced;
  }

  /** The message that leaves next. */
  get expected(): bigint {
    return this.#expected;
  }

  /** All messages below exist. */
  get end(): bigint {
    return this.#end;
  }

  /** Forgets everything. */
  clear(): void {
    this.#waiting.clear();
    this.#ends.clear();
    this.#isPlaced = false;
    this.#expected = this.#cut = this.#reached = this.#end = 0n;
    this.#timestamp = undefined;
    this.#passed = [];
  }

  /** Begins at a message, with what waits behind it. */
  place(expected: bigint): void {
    for (const sequence of this.#waiting.keys()) if (sequence < expected) this.#waiting.delete(sequence);
    for (const sequence of this.#ends) if (sequence < expected) this.#ends.delete(sequence);
    this.#isPlaced = true;
    this.#expected = this.#cut = this.#reached = this.#end = expected;
    this.#timestamp = undefined;
    for (const sequence of this.#waiting.keys()) if (sequence >= this.#end) this.#end = sequence + 1n;
    this.#advance();
  }

  /** Hears that all messages below `end` exist, and that a command ends there; whether that is news. */
  hear(end: bigint): boolean {
    const isNews = end > this.#end;
    if (isNews) this.#end = end;
    this.#markEnd(end);
    return isNews;
  }

  #markEnd(sequence: bigint): void {
    if (!this.#isPlaced || sequence > this.#reached) {
      if (this.#ends.size > 2 * this.#most) this.#ends.delete(this.#ends.values().next().value as bigint);
      this.#ends.add(sequence);
    } else if (sequence > this.#cut) this.#cut = sequence;
  }

  /** Takes messages in; `isLive`: it is a datagram of the feed, which begins and ends with commands. */
  take(sequence: bigint, payloads: readonly Uint8Array[], isLive: boolean): Arrival {
    const end = sequence + BigInt(payloads.length);
    const isLate = sequence < this.#end;
    if (isLive && sequence === this.#expected && this.#isPlaced && this.#waiting.size === 0) {
      this.#pass({ sequence, payloads }, end);
      return isLate ? 'late' : 'new';
    }
    let arrival: Arrival = 'known';
    let at = sequence;
    for (const payload of payloads) {
      if (at >= this.#expected && !this.#waiting.has(at)) {
        if (this.#admits(at)) {
          this.#waiting.set(at, payload);
          arrival = isLate ? 'late' : 'new';
        } else if (arrival === 'known') arrival = 'refused';
      }
      at += 1n;
    }
    if (isLive) {
      this.#markEnd(sequence);
      this.hear(end);
    } else if (end > this.#end) this.#end = end;
    this.#advance();
    return arrival;
  }

  /** The ordinary case: what comes is what is expected, and nothing waits. */
  #pass(run: Run, end: bigint): void {
    this.#passed.push(run);
    this.#expected = this.#cut = this.#reached = end;
    if (end > this.#end) this.#end = end;
    if (this.#ends.size > 0) for (const sequence of this.#ends) if (sequence <= end) this.#ends.delete(sequence);
  }

  /** Whether a message may wait; as long as nobody knows where to begin, the oldest makes room for it. */
  #admits(sequence: bigint): boolean {
    if (this.#isPlaced) return sequence < this.#expected + BigInt(this.#most);
    if (this.#waiting.size >= this.#most) this.#waiting.delete(this.#waiting.keys().next().value as bigint);
    return true;
  }

  #advance(): void {
    if (!this.#isPlaced) return;
    for (let payload = this.#waiting.get(this.#reached); payload; payload = this.#waiting.get(this.#reached)) {
      const timestamp = timestampOf(payload);
      if (this.#timestamp !== undefined && timestamp !== this.#timestamp) this.#cut = this.#reached;
      this.#timestamp = timestamp;
      this.#reached += 1n;
      if (this.#ends.delete(this.#reached)) this.#cut = this.#reached;
    }
    if (this.#reached - this.#expected >= BigInt(this.#most)) this.#cut = this.#reached;
  }

  /** Takes out what is in order. */
  release(): Run[] {
    const runs = this.#passed;
    this.#passed = [];
    if (this.#expected < this.#cut) {
      const payloads: Uint8Array[] = [];
      runs.push({ sequence: this.#expected, payloads });
      while (this.#expected < this.#cut) {
        payloads.push(this.#waiting.get(this.#expected)!);
        this.#waiting.delete(this.#expected);
        this.#expected += 1n;
      }
      if (this.#expected === this.#reached) this.#timestamp = undefined;
    }
    return runs;
  }

  /** The first messages that are missing, at most `most` of them. */
  gap(most: number): Gap | undefined {
    if (!this.#isPlaced || this.#reached >= this.#end) return undefined;
    const last = this.#reached + BigInt(most) < this.#end ? this.#reached + BigInt(most) : this.#end;
    let at = this.#reached + 1n;
    while (at < last && !this.#waiting.has(at)) at += 1n;
    return { sequence: this.#reached, count: Number(at - this.#reached) };
  }
}
