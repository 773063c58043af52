"""Shelf: the resting orders of one side, by price and then time.

Prices stand in a sorted list with the best one last: most changes happen near the touch, so inserting and removing move
few entries. Each price has its order ids in a dictionary, which keeps them in order of time, and their total.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from ..book import Level
from ..wire import SIDE_BUY


class Resting:
    """A resting order; its price and side are its level's."""

    __slots__ = ("level", "quantity")

    def __init__(self, level: ShelfLevel, quantity: int) -> None:
        self.level = level
        self.quantity = quantity


class ShelfLevel:
    """One price of one side; `ids` are in order of time."""

    __slots__ = ("ids", "price", "quantity", "side")

    def __init__(self, side: Shelf, price: int) -> None:
        self.side = side
        self.price = price
        self.quantity = 0
        self.ids: dict[int, None] = {}

    def told(self) -> Level:
        """As it is shown."""
        return Level(self.price, self.quantity, len(self.ids))


class Shelf:
    """The prices of a side. `keys` are sorted, the best one last: the prices of bids, and those of asks negated."""

    __slots__ = ("keys", "levels", "number", "sign")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sign = 1 if number == SIDE_BUY else -1
        self.keys: list[int] = []
        self.levels: dict[int, ShelfLevel] = {}

    def find_or_insert(self, price: int) -> ShelfLevel:
        """The level of a price."""
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = ShelfLevel(self, price)
            insort(self.keys, price * self.sign)
        return level

    def remove(self, price: int) -> None:
        """Takes the level of a price out."""
        del self.levels[price]
        del self.keys[bisect_left(self.keys, price * self.sign)]

    def best(self) -> ShelfLevel | None:
        """The best level."""
        return self.levels[self.keys[-1] * self.sign] if self.keys else None

    def best_first(self) -> Iterator[ShelfLevel]:
        """All levels."""
        return (self.levels[key * self.sign] for key in reversed(self.keys))
