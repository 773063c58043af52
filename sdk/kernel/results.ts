/**
 * Results: what a kernel has said of one batch; a view of its memory, valid until the kernel runs again.
 */
import { RECORD_HEADER_BYTES } from '../generated/layout.ts';
import { Message } from '../message.ts';
import type { Struct } from '../struct.ts';
import { KernelError } from './failure.ts';
import type { Room } from './room.ts';

/** Where results lie. */
export interface ResultsPlace {
  kernel: string;
  room: Room;
  struct: Struct;
  /** Whether `out` holds addresses of records, or records. */
  isAddresses: boolean;
  /** Whether a message's header stands before each record. */
  hasHeaders: boolean;
}

/** What was kept of a batch: its records, or those that the kernel made. */
export class Results<Out = Record<string, unknown>> implements Iterable<Out> {
  /** How many were kept. */
  readonly length: number;
  /** Records that the kernel has seen for them. */
  readonly seen: number;
  /** Positions that were lost before the batch; streams only. */
  readonly lost: number;
  readonly #place: ResultsPlace;

  /** @internal */
  constructor(place: ResultsPlace, length: number, seen: number, lost: number) {
    this.#place = place;
    this.length = length;
    this.seen = seen;
    this.lost = lost;
  }

  /** One of them, decoded; negative indexes count from the end. */
  at(index: number): Out | undefined {
    const address = this.#address(index);
    return address === undefined ? undefined : (this.#place.struct.decode(this.#place.room.view, address) as Out);
  }

  /** The bytes of one of them, as a view. */
  bytes(index: number): Uint8Array<ArrayBuffer> | undefined {
    const address = this.#address(index);
    const { struct, room } = this.#place;
    return address === undefined ? undefined : new Uint8Array(room.chunk.buffer, address, struct.size);
  }

  /** The message that a record came in, of a filter over a batch. */
  message(index: number): Message | undefined {
    const { isAddresses, hasHeaders, room } = this.#place;
    const address = isAddresses && hasHeaders ? this.#address(index) : undefined;
    return address === undefined ? undefined : new Message(room.chunk, address - RECORD_HEADER_BYTES);
  }

  /** All of them, one after the other, as bytes of their own. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const { size } = this.#place.struct;
    const all = new Uint8Array(this.length * size);
    for (let index = 0; index < this.length; index += 1) all.set(this.bytes(index)!, index * size);
    return all;
  }

  *[Symbol.iterator](): Generator<Out, void> {
    for (let index = 0; index < this.length; index += 1) yield this.at(index)!;
  }

  #address(index: number): number | undefined {
    const place = index < 0 ? this.length + index : index;
    if (!(place >= 0 && place < this.length)) return undefined;
    const { room, struct, isAddresses, hasHeaders, kernel } = this.#place;
    if (!isAddresses) return room.out + place * struct.size;
    const address = room.chunk.words[(room.out >>> 2) + place]!;
    const least = room.chunk.start + (hasHeaders ? RECORD_HEADER_BYTES : 0);
    if (address >= least && address + struct.size <= room.chunk.at && (!hasHeaders || address % 8 === 0))
      return address;
    throw new KernelError(`the kernel "${kernel}" has kept a record at ${address}, where there is none`, {
      kernel,
      reason: 'answer',
      record: place,
    });
  }
}
