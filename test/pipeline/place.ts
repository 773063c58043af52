/** Where the flow stands: found in the ring, in the log, behind tombstones, and when there is nothing. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Region } from '../../sdk/index.ts';
import { countAt, findPlace } from '../../sdk/pipeline/place.ts';
import { emptyRecord, encodeRecord, RECORD_BYTES } from '../../sdk/pipeline/record.ts';

const test = suite('pipeline place');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-test-'));
let regions = 0;

/** A region with the channel, and what records it; `log` is one that was there before, or a new one. */
function opened(log = join(folder, `log-${regions}`)) {
  regions += 1;
  const region = Region.create(join(folder, `region-${regions}`));
  region.createChannel('orders', { kind: 'stream', recorded: true, gated: true, capacity: 64 });
  return { region, log, recorder: region.record('orders', { log }) };
}

function payload(run: number, counter: number): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES);
  encodeRecord(new DataView(bytes.buffer), 0, { ...emptyRecord(), run, counter });
  return bytes;
}

test('nothing yet', async () => {
  const { region, recorder } = opened();
  assert.equal(await findPlace(region), { run: -1, count: 0 });
  await recorder.close();
  region.close();
});

test('in the ring, in the log, and in a log with another region over it', async () => {
  const { region, log, recorder } = opened();
  {
    using producer = region.openProducer('orders');
    for (let counter = 0; counter < 10; counter++) await producer.send(payload(0, counter));
    assert.equal(await findPlace(region), { run: 0, count: 10 });
    for (let counter = 10; counter < 6_000; counter++) await producer.send(payload(3, counter));
    assert.equal(await findPlace(region), { run: 3, count: 6_000 });
  }
  await recorder.close();
  assert.equal(await findPlace(region), { run: 3, count: 6_000 }, 'with no recorder at work');
  region.close();
  const again = opened(log);
  assert.equal(await findPlace(again.region), { run: 3, count: 6_000 });
  using producer = again.region.openProducer('orders');
  await producer.send(payload(4, 6_000));
  assert.equal(await findPlace(again.region), { run: 4, count: 6_001 });
  await again.recorder.close();
  again.region.close();
});

test('the counter counts modulo 2 ** 32, and tombstones count for nothing', () => {
  assert.is(countAt(0, 1), 1);
  assert.is(countAt(4, 9), 5);
  assert.is(countAt(2 ** 32 - 1, 2 ** 32), 2 ** 32);
  assert.is(countAt(0, 2 ** 32 + 1), 2 ** 32 + 1);
  assert.is(countAt(7, 3 * 2 ** 32 + 1_000), 3 * 2 ** 32 + 8);
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
