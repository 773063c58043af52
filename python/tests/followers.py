"""Followers: a client with what it has heard so far, read by a task of its own."""

from __future__ import annotations

import asyncio

from patience import until

from tailrace.exchange import ExecutionReport, MarketBatch, MarketBook, MarketData, OrderEntry


class Trader:
    """A client that sends orders, and the reports it has read."""

    def __init__(self, orders: OrderEntry) -> None:
        self.orders = orders
        self.reports: list[ExecutionReport] = []
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for report in self.orders:
            self.reports.append(report)

    async def answered(self) -> None:
        """Waits until all commands have answers that were read."""
        await until(
            lambda: not self.orders.unanswered and self.orders.counters.reports == len(self.reports),
            self.task,
        )


class View:
    """A client that hears the feed, and its book."""

    def __init__(self, data: MarketData) -> None:
        self.data = data
        self.book = MarketBook()
        self.batches: list[MarketBatch] = []
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for batch in self.data:
            self.batches.append(batch)
            self.book.apply(batch)
            bid, ask = self.book.best_bid, self.book.best_ask
            assert bid is None or ask is None or bid.price < ask.price

    async def reaches(self, session: str, sequence: int) -> None:
        """Waits until the book is that far."""
        await until(lambda: self.book.session == session and self.book.sequence >= sequence, self.task)
