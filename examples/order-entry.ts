/**
 * Bids, raises the bid, takes it back, and prints what the exchange says.
 *
 *     npx tsx examples/order-entry.ts GATEWAY USER TOKEN
 */
import { OrderEntry, wire } from 'tailrace/exchange';

const [gateway = '', user = '', token = ''] = process.argv.slice(2);
await using orders = await OrderEntry.connect({ gateway, user, token });
const bid = orders.newOrder({ side: 'buy', price: 99, quantity: 10, postOnly: true });
const raised = orders.replace(bid, { price: 100, quantity: 20 });
for await (const { execType, clientOrderId, quantity, price, reason, isDone } of orders) {
  if (execType === wire.EXEC_ACCEPTED) console.log(`${clientOrderId} was accepted: ${quantity} at ${price}`);
  if (execType === wire.EXEC_FILL) console.log(`${clientOrderId} was filled: ${quantity} at ${price}`);
  if (execType === wire.EXEC_CANCELLED) console.log(`${clientOrderId} was cancelled: ${quantity} at ${price}`);
  if (execType === wire.EXEC_REJECTED) console.log(`${clientOrderId} was rejected: ${reason}`);
  if (execType === wire.EXEC_REPLACED) orders.cancel(raised);
  if (isDone || execType === wire.EXEC_REJECTED) break;
}
