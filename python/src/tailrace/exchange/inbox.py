"""Inbox: what has come and was not read yet, for one `async for` loop.

Items have weights, so that whoever fills it can stop at a bound: it holds no more than it is given, and `has_room` says
when to go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .._generated.errors import BusyError

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """What has come and was not read yet."""

    __slots__ = ("_drained", "_end", "_is_overfull", "_items", "_most", "_reader", "_weight")

    def __init__(self, most: int, drained: Callable[[], None]) -> None:
        """With `most` or more in it there is no room, until it is read down to half of that; then `drained` is
        called."""
        self._most = most
        self._drained = drained
        self._items: deque[tuple[Item, int]] = deque()
        self._weight = 0
        self._is_overfull = False
        self._end: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None

    @property
    def has_room(self) -> bool:
        """Whether more may be put into it."""
        return not self._is_overfull

    @property
    def is_ended(self) -> bool:
        """Whether nothing will come any more."""
        return self._end is not None

    def put(self, item: Item, weight: int) -> None:
        """Puts an item into it."""
        if self._end is not None:
            return
        self._items.append((item, weight))
        self._weight += weight
        self._is_overfull = self._is_overfull or self._weight >= self._most
        self._wake()

    def clear(self) -> None:
        """Forgets what nobody has read."""
        self._items.clear()
        self._weight = 0
        self._is_overfull = False

    def finish(self) -> None:
        """Ends it after what is in it."""
        self.fail(StopAsyncIteration())

    def fail(self, error: BaseException) -> None:
        """Ends it with an error, after what is in it."""
        if self._end is None:
            self._end = error
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def next(self) -> Item:
        """The oldest item; waits for it. At the end raises what it ended with."""
        while not self._items:
            if self._end is not None:
                raise self._end
            if self._reader is not None:
                raise BusyError("somebody reads this already; read it in one loop")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        item, weight = self._items.popleft()
        self._weight -= weight
        if self._is_overfull and self._weight <= self._most // 2:
            self._is_overfull = False
            self._drained()
        return item
