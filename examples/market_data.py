"""Follows an exchange's market data, and prints trades and the best prices, until the session ends.

python examples/market_data.py FEED REQUESTS SNAPSHOTS      (addresses, host:port)
"""

import asyncio
import sys

from tailrace import Level
from tailrace.exchange import MarketBook, MarketData


def show(level: Level | None) -> str:
    return f"{level.quantity} at {level.price}" if level else "nobody"


async def follow(feed: str, requests: str, snapshots: str) -> None:
    book = MarketBook()
    async with MarketData.join(feed=feed, requests=requests, snapshots=snapshots) as data:
        async for batch in data:
            for trade in book.apply(batch):
                print(f"trade: {trade['quantity']} at {trade['price']}")
            print(f"{book.sequence}: bid {show(book.best_bid)}, ask {show(book.best_ask)}", flush=True)
    print(f"the session is over, {book.order_count} orders are left")


asyncio.run(follow(*sys.argv[1:]))
