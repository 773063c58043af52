"""Bids, raises the bid, takes it back, and prints what the exchange says.

python examples/order_entry.py GATEWAY USER TOKEN
"""

import asyncio
import sys

from tailrace import wire
from tailrace.exchange import OrderEntry

WORDS = {wire.EXEC_ACCEPTED: "accepted", wire.EXEC_FILL: "filled", wire.EXEC_CANCELLED: "cancelled"}


async def trade(gateway: str, user: str, token: str) -> None:
    async with OrderEntry.connect(gateway=gateway, user=user, token=token) as orders:
        bid = orders.new_order(side="buy", price=99, quantity=10, post_only=True)
        raised = orders.replace(bid, price=100, quantity=20)
        async for report in orders:
            if report.exec_type in WORDS:
                word = WORDS[report.exec_type]
                print(f"{report.client_order_id} was {word}: {report.quantity} at {report.price}")
            elif report.exec_type == wire.EXEC_REPLACED:
                orders.cancel(raised)
            else:
                print(f"{report.client_order_id} was rejected: {report.reason}")
            if report.is_done or report.exec_type == wire.EXEC_REJECTED:
                break


asyncio.run(trade(*sys.argv[1:]))
