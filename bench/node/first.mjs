/**
 * First: import, region, and the first message there and back, as a program without any tool around it does that.
 *
 *     node first.mjs native|wasm PATH
 */
import { backend, Region } from 'tailrace';

const [name, path] = process.argv.slice(2);
if (name === undefined || path === undefined) throw new Error('give a backend and a path');
process.env.TAILRACE_BACKEND = name;
const region = name === 'native' ? Region.create(path) : Region.memory();
region.createChannel('first');
const producer = region.openProducer('first');
const consumer = region.openConsumer('first');
const isWritten = producer.write(Uint8Array.of(1, 2, 3));
const [message] = consumer.poll(1);
if (!isWritten || message?.payload.join() !== '1,2,3' || backend().name !== name) throw new Error('it arrived wrong');
region.close();
if (name === 'native') Region.remove(path);
