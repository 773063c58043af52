/**
 * Matcher: takes commands from the queue `orders`, matches them in a book, and writes what everybody may know to the
 * stream `market`. A thread of the pipeline.
 */
import { Book } from '../index.ts';
import { marketMessage } from '../market.ts';
import { run, tell } from './thread.ts';
import { BOOK, MARKET, type Matched, ORDERS, type Ready } from './words.ts';

/** Of a market message in its ring: it says nothing of its command. */
const TYPE = { type: 1 };

await run(async (region, _, signal) => {
  const book = new Book(BOOK);
  using producer = region.openProducer(MARKET.name, { label: 'matcher' });
  using consumer = region.openConsumer(ORDERS.name, { label: 'matcher', signal });
  tell<Ready>({ word: 'ready' });
  let [commands, messages] = [0, 0];
  try {
    for await (const batch of consumer) {
      const stamped = Buffer.concat(Array.from(batch, ({ payload }) => payload));
      const market: Uint8Array[] = [];
      let index = 0;
      for (const event of book.apply(stamped)) {
        const message = marketMessage(event, batch.at(index)!.timestamp);
        if (message !== undefined) market.push(message);
        index += Number(event.isLast);
      }
      for (let at = producer.writeBatch(market, TYPE); at < market.length; ) {
        at += Number((await producer.send(market[at]!, TYPE)) > 0n);
        at += producer.writeBatch(market.slice(at), TYPE);
      }
      commands += batch.length;
      messages += market.length;
      const { stateHash, marketSequence } = book;
      tell<Matched>({ word: 'matched', commands, messages, stateHash, marketSequence });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
});
