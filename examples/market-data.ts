/**
 * Follows an exchange's market data, and prints trades and the best prices, until the session ends.
 *
 *     npx tsx examples/market-data.ts FEED REQUESTS SNAPSHOTS      (addresses, host:port)
 */
import { type Level, MarketBook, MarketData } from 'tailrace/exchange';

const [feed = '', requests = '', snapshots = ''] = process.argv.slice(2);
const show = (level: Level | undefined) => (level ? `${level.quantity} at ${level.price}` : 'nobody');
const book = new MarketBook();
using data = await MarketData.join({ feed, requests, snapshots });
for await (const batch of data) {
  for (const { side, quantity, price } of book.apply(batch)) console.log(`trade: ${side} ${quantity} at ${price}`);
  console.log(`${book.sequence}: bid ${show(book.bestBid)}, ask ${show(book.bestAsk)}`);
}
console.log(`the session is over, ${book.orderCount} orders are left`);
