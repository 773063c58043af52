/**
 * Thread: what runs in a worker of a page, or in another page: it attaches to the region that it is handed.
 */
import { type Producer, Region } from '../../../sdk/browser.ts';
import { around, type Given, newWorker } from './given.ts';

async function sendAll(producer: Producer, payloads: Uint8Array[]): Promise<void> {
  for (let done = producer.writeBatch(payloads); done < payloads.length; ) {
    await producer.send(payloads[done]!);
    done += 1;
    done += producer.writeBatch(payloads.slice(done));
  }
}

async function echo(region: Region): Promise<void> {
  const consumer = region.openConsumer('there', { label: 'echo' });
  const producer = region.openProducer('back', { label: 'echo' });
  for await (const batch of consumer) {
    await sendAll(
      producer,
      [...batch].map(({ payload }) => payload),
    );
  }
}

/** What is collected is closed, and then it holds nothing. */
const kept: unknown[] = [];

/** Holds what it claimed, and writes; the caller is told as soon as it does both. */
async function hold(region: Region, tell: () => void): Promise<void> {
  const consumer = region.openConsumer('there', { label: 'hold' });
  const producer = region.openProducer('noise', { label: 'hold' });
  kept.push(consumer);
  await consumer.wait();
  consumer.take(5);
  const batch = Array.from({ length: 8 }, () => new Uint8Array(3_000));
  for (let turn = 0; ; turn += 1) {
    producer.writeBatch(batch);
    if (turn === 20) tell();
    if (turn % 50 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
}

/** Starts a worker that stops, and passes on what it says. */
function host(region: Region, { inner }: Given, tell: (words: unknown) => void): void {
  const worker = newWorker('stopped');
  kept.push(worker);
  worker.onmessage = ({ data }) => tell(data);
  worker.postMessage({ ...inner, shared: region.share(worker) });
}

around.opener?.postMessage('here');
around.addEventListener('message', (event) => {
  const data = event.data as Given;
  if (data.shared?.tailrace !== 'memory') return;
  const tell = (words: unknown) => (event.source ?? around).postMessage(words);
  try {
    const region = Region.attach(data.shared);
    if (data.does === 'host') {
      kept.push(region);
      host(region, data, tell);
      return;
    }
    const done = data.does === 'echo' ? echo(region) : hold(region, () => tell('holding'));
    done.catch((error: unknown) => tell(String(error)));
    if (data.does === 'echo') tell('echoing');
  } catch (error) {
    tell(String(error));
  }
});
