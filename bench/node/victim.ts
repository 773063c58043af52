/** Victim: opens a handle of the region given, says `ready`, and waits to be killed. */
import { Region } from 'tailrace';

const consumer = Region.open(process.argv.at(-1)!).openConsumer('bench');
console.log('ready');
setInterval(() => consumer.depth, 10_000);
