/**
 * The witness in Python and the one in TypeScript testify the same of the same batches, whole and torn ones.
 *
 * Batches are made by a seed: runs that end, laps, gaps, repetitions, and records with a word that is not theirs.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Dice } from '../../sdk/crew/dice.ts';
import { emptyRecord, encodeRecord, LAP_STRIDE, type OrderRecord, RECORD_BYTES } from '../../sdk/pipeline/record.ts';
import { Witness } from '../../sdk/pipeline/witness.ts';

const test = suite('pipeline analytics');
const PYTHON = process.env.TAILRACE_PYTHON ?? fileURLToPath(new URL('../../.venv/bin/python', import.meta.url));
const DRIVER = fileURLToPath(new URL('analytics_driver.py', import.meta.url));
const BATCHES = 400;

interface Shown {
  positions: number[];
  flags: boolean[];
  bytes: Uint8Array;
}

/** Makes batches; `isTorn` also changes single words of some records. */
class Batches {
  readonly #dice: Dice;
  #position = 50;
  #record: OrderRecord = { ...emptyRecord(), timeNs: 1e9, orderId: 1, price: 100, size: 1, type: 1, side: 1, run: 3 };

  constructor(
    seed: number,
    readonly isTorn: boolean,
  ) {
    this.#dice = new Dice(seed);
    this.#record.counter = 4_294_967_295 - 5_000;
  }

  next(): Shown {
    const count = 1 + this.#dice.below(200);
    const bytes = new Uint8Array(count * RECORD_BYTES);
    const view = new DataView(bytes.buffer);
    const shown: Shown = { positions: [], flags: [], bytes };
    for (let index = 0; index < count; index++) {
      const isRepetition = index > 0 && this.#dice.below(150) === 0;
      if (!isRepetition) this.#step();
      encodeRecord(view, index * RECORD_BYTES, this.#record);
      if (this.isTorn && this.#dice.below(100) === 0) {
        const word = index * RECORD_BYTES + 4 * this.#dice.below(RECORD_BYTES / 4);
        view.setUint32(word, this.#dice.below(3) === 0 ? 0 : this.#dice.word(), true);
      }
      shown.positions.push(this.#position - 1);
      shown.flags.push(isRepetition && this.#dice.below(2) === 0);
    }
    return shown;
  }

  /** The next record: usually the next of its run; sometimes a gap and a new run, or a new lap. */
  #step(): void {
    const record = this.#record;
    if (this.#dice.below(5_000) === 0) {
      this.#position += this.#dice.below(20);
      record.run += 1;
    }
    record.counter = (record.counter + 1) >>> 0;
    record.timeNs += this.#dice.below(1_000);
    if (this.#dice.below(1_000) === 0) {
      record.lap = (record.lap + 1) & 0xffff;
      record.timeNs = 1e9;
    }
    record.orderId = record.lap * LAP_STRIDE + this.#dice.below(1_000_000);
    record.price = 1 + this.#dice.below(1e9);
    record.size = 1 + this.#dice.below(1e6);
    record.type = 1 + this.#dice.below(7);
    record.side = this.#dice.below(2) === 0 ? 1 : -1;
    this.#position += 1;
  }
}

for (const [seed, isTorn] of [
  [1, false],
  [2, false],
  [3, true],
  [4, true],
] as const) {
  test(`seed ${seed}, ${isTorn ? 'torn' : 'whole'} records`, async () => {
    const python = spawn(PYTHON, [DRIVER], { stdio: ['pipe', 'pipe', 'inherit'] });
    const answers = createInterface(python.stdout)[Symbol.asyncIterator]();
    python.stdin.write('50\n');
    const witness = new Witness(50);
    const batches = new Batches(seed, isTorn);
    const seen = { torn: 0, duplicates: 0, gaps: 0, blocks: 0 };
    for (let turn = 0; turn < BATCHES; turn++) {
      const { positions, flags, bytes } = batches.next();
      const view = new DataView(bytes.buffer);
      for (const [index, position] of positions.entries()) {
        witness.see(position, view, index * RECORD_BYTES, flags[index]!);
      }
      const testimony = witness.testify();
      python.stdin.write(`${JSON.stringify({ positions, flags, rows: Buffer.from(bytes).toString('hex') })}\n`);
      const answer = await answers.next();
      assert.equal(JSON.parse(answer.value), testimony, `batch ${turn}`);
      seen.torn += testimony.torn;
      seen.duplicates += testimony.duplicates;
      seen.gaps += testimony.gaps.length;
      seen.blocks += testimony.blocks.length;
    }
    python.stdin.end();
    assert.ok(seen.duplicates > 10 && seen.gaps > 0, JSON.stringify(seen));
    if (isTorn) assert.ok(seen.torn > 100, JSON.stringify(seen));
    else assert.ok(seen.torn === 0 && seen.blocks > 0, JSON.stringify(seen));
  });
}

test.run();
