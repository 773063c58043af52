/** The view's state: a checkpoint of it and the records after that come to the same as all records. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Laps } from '../../sdk/pipeline/laps.ts';
import { digestRecord, emptyRecord, encodeRecord, RECORD_BYTES } from '../../sdk/pipeline/record.ts';
import { State } from '../../sdk/pipeline/state.ts';

const test = suite('pipeline state');

/** Plays records `from` to `to` of the flow into a state, as if so many gateways had written them. */
function play(state: State, from: number, to: number, runs: number): State {
  const source = new Laps(2);
  source.seek(from);
  const record = emptyRecord();
  const view = new DataView(new ArrayBuffer(RECORD_BYTES));
  for (let counter = from; counter < to; counter++) {
    source.next(record);
    Object.assign(record, { counter, run: Math.floor((counter * runs) / 10_000) });
    encodeRecord(view, 0, record);
    state.apply(record, digestRecord(view, 0));
  }
  return state;
}

test('kept and gone on with', () => {
  const whole = play(new State(), 0, 10_000, 1).totals();
  const part = play(new State(), 0, 3_333, 1);
  const again = State.decode(part.encode());
  assert.equal(again.totals(), part.totals());
  assert.equal(play(again, 3_333, 10_000, 1).totals(), whole);
  assert.ok(whole.trades > 100 && whole.volume > 10_000 && whole.book.bid < whole.book.ask, JSON.stringify(whole));
});

test('how many gateways wrote the records makes no difference, another record does', () => {
  const whole = play(new State(), 0, 10_000, 1).totals();
  assert.equal(play(new State(), 0, 10_000, 7).totals(), whole);
  const other = play(new State(), 0, 9_999, 1).totals();
  assert.is.not(other.digest, whole.digest);
});

test.run();
