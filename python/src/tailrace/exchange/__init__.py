"""Clients of an exchange: order entry, and market data.

What goes over the wire is in `docs/reference/wire.md`; the words are those of the other languages.
"""

from .exchange_error import ExchangeError
from .execution_report import ExecutionReport
from .market_batch import MarketBatch, Snapshot
from .market_book import MarketBook, MarketOrder
from .market_data import MarketData, MarketDataCounters
from .order_entry import OrderEntry
from .session import OrderEntryCounters

__all__ = [
    "ExchangeError",
    "ExecutionReport",
    "MarketBatch",
    "MarketBook",
    "MarketData",
    "MarketDataCounters",
    "MarketOrder",
    "OrderEntry",
    "OrderEntryCounters",
    "Snapshot",
]
