/**
 * worker_threads' postMessage: one way from a worker, and there and back.
 *
 *     node post_message.ts one-way|round-trip BYTES BATCH COUNT
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { print } from '../node/spread.ts';
import { Checker, isRight, stamp, template } from '../node/stamp.ts';

type Plan = { shape: string; bytes: number; batch: number; count: number };

function post({ bytes, batch, count }: Plan): void {
  for (let sent = 0; sent < count; sent += batch) {
    const messages = Array.from({ length: Math.min(batch, count - sent) }, (_, index) => {
      const message = template(bytes);
      stamp(message, sent + index);
      return message;
    });
    parentPort!.postMessage(messages);
  }
}

function receive(worker: Worker, { bytes, count }: Plan): void {
  const checker = new Checker(bytes, count);
  worker.on('message', (messages: Uint8Array[]) => {
    for (const message of messages) checker.see(message);
    if (checker.isDone) print('postMessage', 'one-way', checker.times, checker.end());
  });
}

function play(worker: Worker, { bytes, count }: Plan): void {
  const message = template(bytes);
  const times: number[] = [];
  const start = process.hrtime.bigint();
  let number = 0;
  let from = start;
  worker.on('message', (answer: Uint8Array) => {
    const now = process.hrtime.bigint();
    if (!isRight(answer, number, bytes)) throw new Error(`message ${number} came back wrong`);
    if (number >= count / 5) times.push(Number(now - from));
    number += 1;
    if (number < count) return serve();
    print('postMessage', 'round-trip', times, count / (Number(now - start) / 1e9));
    void worker.terminate();
  });
  const serve = () => {
    stamp(message, number);
    from = process.hrtime.bigint();
    worker.postMessage(message);
  };
  serve();
}

if (isMainThread) {
  const [shape, ...numbers] = process.argv.slice(2) as [string, ...string[]];
  const [bytes, batch, count] = numbers.map(Number) as [number, number, number];
  const plan: Plan = { shape, bytes, batch, count };
  // A worker does not inherit tsx: it has to be asked in there.
  const start = `import('tsx/esm/api').then(({ register }) => (register(), import(${JSON.stringify(import.meta.url)})))`;
  const worker = new Worker(start, { eval: true, workerData: plan });
  if (shape === 'one-way') receive(worker, plan);
  else play(worker, plan);
} else {
  const plan = workerData as Plan;
  if (plan.shape === 'one-way') post(plan);
  else parentPort!.on('message', (message) => parentPort!.postMessage(message));
}
