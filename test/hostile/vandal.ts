/**
 * Vandal: writes rubbish over a region while others use it.
 *
 * Half of it is random bytes anywhere. The other half is likely enough to be believed: sequences close to where a
 * channel is, lengths just beyond what fits, flags, positions of other laps. Now and then the words that are checked
 * when a region or a channel is opened are put right again, or nobody would come any further than that.
 */
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { below, type Dice, pick } from '../dice.ts';

const HEADER_BYTES = 128;
const ENTRY_BYTES = 384;
const ENTRY_FIELDS = [0, 4, 8, 16, 24, 64, 68, 72, 80, 84, 128, 256];
/** Words of an entry that say where its band is. */
const CONFIGURATION_BYTES = 24;
const ENTRY_BAND = 16;
const ENTRY_CAPACITY = 8;
const CURSORS = [128, 256];
const SLOT_BYTES = 1_088;
const SLOT_FIELDS = [0, 8, 16, 24, 28, 32, 36, 38, 40, 44, 48, 52, 56];
const ANNEX = 102_400;
const ANNEX_BYTES = 72;
const NAMES = 106_496;
const NAME_BYTES = 64;
const PARTICIPANTS = 155_648;
const PARTICIPANT_BYTES = 128;
/** Entries that the few handles of a test use. */
const SEATS = 12;
const LENGTHS = [0, 1, 959, 960, 961, 1_023, 1_024, 1_025, 2_048, 16_384, 16_385, 2 ** 20, 2 ** 31, 2 ** 32 - 1];
const FLAGS = [0, 1, 2, 3, 4, 5, 6, 8, 16, 0xffff];

/** Breaks one region file. */
export class Vandal {
  readonly #file: number;
  readonly #good: Buffer;
  readonly #word = Buffer.alloc(8);
  /** How often it wrote. */
  writes = 0;

  constructor(
    path: string,
    readonly roll: Dice,
    readonly channels: number,
  ) {
    this.#file = openSync(path, 'r+');
    this.#good = readFileSync(path);
  }

  close(): void {
    closeSync(this.#file);
  }

  /** Breaks something. */
  strike(): void {
    const { roll } = this;
    this.writes += 1;
    const kind = roll();
    if (kind < 0.005) this.#restore(0, this.#good.length);
    else if (kind < 0.06) this.#mend();
    else if (kind < 0.08) this.#put(below(roll, HEADER_BYTES - 8), this.#anything(), 1 << below(roll, 4));
    else if (kind < 0.2) this.#put(this.#entry() + pick(roll, ENTRY_FIELDS), this.#anything(), pick(roll, [4, 8]));
    else if (kind < 0.25) this.#put(this.#entry() + pick(roll, CURSORS), this.#near(), 8);
    else if (kind < 0.65) this.#strikeSlot();
    else if (kind < 0.68) this.#put(ANNEX + below(roll, ANNEX_BYTES), this.#anything(), 4);
    else if (kind < 0.7) this.#put(NAMES + below(roll, this.channels * NAME_BYTES), this.#anything(), 1);
    else if (kind < 0.9) this.#strikeParticipant();
    else this.#put(below(roll, this.#good.length - 8), this.#anything(), 8);
  }

  #entry(): number {
    return HEADER_BYTES + below(this.roll, this.channels) * ENTRY_BYTES;
  }

  #strikeSlot(): void {
    const { roll } = this;
    const entry = this.#entry();
    const slot = below(roll, Number(this.#good.readBigUInt64LE(entry + ENTRY_CAPACITY)));
    const at = Number(this.#good.readBigUInt64LE(entry + ENTRY_BAND)) + slot * SLOT_BYTES;
    const field = pick(roll, SLOT_FIELDS);
    if (field === 0) this.#put(at, this.#near(), 8);
    else if (field === 38) this.#put(at + field, BigInt(pick(roll, FLAGS)), 2);
    else if (field === 40 || field === 52) this.#put(at + field, BigInt(pick(roll, LENGTHS)), 4);
    else this.#put(at + field, this.#anything(), 4);
  }

  #strikeParticipant(): void {
    const { roll } = this;
    const at = PARTICIPANTS + below(roll, SEATS) * PARTICIPANT_BYTES;
    // The intent: any kind, any count, over positions that are near.
    if (roll() < 0.4) {
      const [kind, count] = [BigInt(below(roll, 8)), BigInt(pick(roll, [0, 1, 2, 64, 8_191]))];
      this.#put(at + 64, (kind << 61n) | (count << 48n) | (this.#near() & 0xffff_ffff_ffffn), 8);
    } else if (roll() < 0.3) this.#put(at + 72, this.#near(), 8);
    else this.#put(at + 4 * below(roll, 32), pick(roll, [0n, 1n, 2n, 3n, this.#anything()]), 4);
  }

  /** A position, or a sequence, close to a cursor of some channel, or a lap away. */
  #near(): bigint {
    const cursor = this.#entry() + pick(this.roll, CURSORS);
    readSync(this.#file, this.#word, 0, 8, cursor);
    const lap = pick(this.roll, [0n, 0n, 0n, 8n, -8n, 64n, -64n]);
    return BigInt.asUintN(64, this.#word.readBigUInt64LE() + BigInt(below(this.roll, 5) - 2) + lap);
  }

  #anything(): bigint {
    const { roll } = this;
    const random = () => BigInt(below(roll, 2 ** 32));
    return pick(roll, [0n, 2n ** 64n - 1n, 2n ** 63n, BigInt(below(roll, 300)), (random() << 32n) | random()]);
  }

  #put(at: number, value: bigint, bytes: number): void {
    this.#word.writeBigUInt64LE(value);
    writeSync(this.#file, this.#word, 0, bytes, at);
  }

  #restore(at: number, bytes: number): void {
    writeSync(this.#file, this.#good, at, bytes, at);
  }

  /** Puts right what is looked at when something is opened. */
  #mend(): void {
    this.#restore(0, HEADER_BYTES);
    this.#restore(ANNEX, ANNEX_BYTES);
    this.#restore(NAMES, this.channels * NAME_BYTES);
    for (let channel = 0; channel < this.channels; channel += 1) {
      this.#restore(HEADER_BYTES + channel * ENTRY_BYTES, CONFIGURATION_BYTES);
    }
  }
}
