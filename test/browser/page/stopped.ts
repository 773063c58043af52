/**
 * Stopped: a worker that stops at a named step of the protocol, in the middle of a call, until it is ended. Bundled with
 * the package's sources, because the package tells nobody of steps; its module is the one that was built for them.
 */
import { Region } from '../../../sdk/browser.ts';
import { onStep } from '../../../sdk/wasm/instance.ts';
import { Plan } from '../../../sdk/wasm/plan.ts';
import { around, messageOf, type Stopping } from './given.ts';

const DOES: Record<Stopping['does'], (region: Region) => unknown> = {
  join: (region) => region.openConsumer('there'),
  take: (region) => region.openConsumer('there').take(5),
  write: (region) => region.openProducer('there').writeBatch([50, 51, 52].map((index) => messageOf(index, 64))),
};

async function run({ shared, step, does }: Stopping): Promise<void> {
  const region = Region.attach(shared);
  if (shared.backend !== 'wasm') throw new Error('this is no page');
  // Its lifeline is held by the event loop, which is about to stop.
  while (!Plan.of(shared.memory).isTied(shared.ticket)) await new Promise((resolve) => setTimeout(resolve, 1));
  onStep((name) => {
    if (name !== step) return;
    around.postMessage('stopped');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
  DOES[does](region);
  throw new Error(`it never came to ${step}`);
}

around.addEventListener('message', ({ data }) => {
  run(data as Stopping).catch((error: unknown) => around.postMessage(String(error)));
});
