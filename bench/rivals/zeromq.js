/**
 * zeromq between two processes, over its ipc transport: single frames, awaited in groups of 32, as its users do.
 *
 *     node zeromq.js read|write|pong|ping ADDRESS BYTES BATCH COUNT
 */
import { Pair, Pull, Push } from 'zeromq';
import { print } from '../node/spread.ts';
import { Checker, isRight, stamp, template } from '../node/stamp.ts';

const GROUP = 32;
const [role, path, ...numbers] = process.argv.slice(2);
const [bytes, , count] = numbers.map(Number);
const address = `ipc://${path}`;

async function read() {
  const socket = new Pull({ receiveHighWaterMark: 0 });
  await socket.bind(address);
  const checker = new Checker(bytes, count);
  console.log('ready');
  for await (const [frame] of socket) {
    checker.see(frame);
    if (checker.isDone) break;
  }
  print('zeromq', 'one-way', checker.times, checker.end());
  socket.close();
}

async function write() {
  const socket = new Push({ linger: -1, sendHighWaterMark: 0 });
  socket.connect(address);
  for (let sent = 0; sent < count; sent += GROUP) {
    const group = Array.from({ length: Math.min(GROUP, count - sent) }, (_, index) => {
      const message = template(bytes);
      stamp(message, sent + index);
      return message;
    });
    await sendAll(socket, group);
  }
}

/** Awaits the group, and a single message only where the socket asks for that: it takes one that has to wait. */
async function sendAll(socket, group) {
  let last;
  for (const message of group) {
    try {
      last = socket.send(message);
    } catch (error) {
      if (error.code !== 'EBUSY') throw error;
      await last;
      last = socket.send(message);
    }
  }
  await last;
}

async function ping() {
  const socket = new Pair();
  socket.connect(address);
  const times = [];
  const start = process.hrtime.bigint();
  for (let number = 0; number < count; number += 1) {
    const message = template(bytes);
    stamp(message, number);
    const from = process.hrtime.bigint();
    await socket.send(message);
    const [frame] = await socket.receive();
    if (number >= count / 5) times.push(Number(process.hrtime.bigint() - from));
    if (!isRight(frame, number, bytes)) throw new Error(`message ${number} came back wrong`);
  }
  print('zeromq', 'round-trip', times, count / (Number(process.hrtime.bigint() - start) / 1e9));
  socket.close();
}

async function pong() {
  const socket = new Pair();
  await socket.bind(address);
  console.log('ready');
  for (let number = 0; number < count; number += 1) {
    const [frame] = await socket.receive();
    await socket.send(frame);
  }
}

await { read, write, ping, pong }[role]();
