"""Clients of an exchange: order entry, and market data.

What goes over the wire is in `docs/reference/wire.md`; the words are those of the other languages.
"""

from .market_batch import MarketBatch, Snapshot
from .market_book import MarketBook, MarketOrder
from .market_data import MarketData, MarketDataCounters

__all__ = ["MarketBatch", "MarketBook", "MarketData", "MarketDataCounters", "MarketOrder", "Snapshot"]
