"""Market book: the resting orders of an exchange, from its market data.

Every order is known by its public id; prices, their quantities and the best of them follow from that. Public ids only
grow, and are priorities, too: whoever loses its place gets a new one. So the book needs nothing but the messages, in
order and without a gap, and :class:`MarketData` sees to that. A message that contradicts the book raises CorruptError.

`image` gives the bytes that the snapshot service would send at the same sequence: the same orders in the same order, so
two books are compared with one call.

Reading what is asked for rarely (depth, orders, the image) walks the orders; writing never does.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .._generated.errors import CorruptError
from ..arguments import chosen, count
from ..book import Level
from ..wire import DEPTH_LEVEL, DTYPES, MARKET_SELL, SIDE_BUY, SIDE_SELL
from .codec import Codec
from .market_batch import MarketBatch, Snapshot
from .shelf import Resting, Shelf

Side = Literal["buy", "sell"]

_ORDER: Final = DTYPES["SnapshotOrder"]
_TRADE: Final = DTYPES["Executed"]
_SIDES: Final = {"buy": SIDE_BUY, "sell": SIDE_SELL}
_ADDED: Final = Codec("Added")
_EXECUTED: Final = Codec("Executed")
_REDUCED: Final = Codec("Reduced")
_DELETED: Final = Codec("Deleted")
_REPLACED: Final = Codec("Replaced")
_STATE: Final = Codec("StateChanged")
_NO_TRADES: Final = np.empty(0, _TRADE)
_CODECS: Final = {codec.type: codec for codec in (_ADDED, _EXECUTED, _REDUCED, _DELETED, _REPLACED, _STATE)}
_TRADING, _HALTED = 0, 1
# Trades that have room from the start.
_TRADES_MIN: Final = 1 << 10
_QUANTITY_MAX: Final = 2**64 - 1


class MarketOrder(NamedTuple):
    """One resting order; within a price, lower priorities come first."""

    order_id: int
    side: Side
    price: int
    quantity: int
    priority: int


class MarketBook:
    """The resting orders of an exchange, as everybody may know them: no accounts, no client ids."""

    __slots__ = (
        "_asks",
        "_bids",
        "_halted",
        "_last_id",
        "_orders",
        "_sequence",
        "_session",
        "_timestamp_ns",
        "_trades",
        "_trades_end",
        "_trades_max",
    )

    def __init__(self, *, trades_max: int = 1 << 16) -> None:
        """A book without orders, that keeps the last `trades_max` trades."""
        self._trades_max = count(trades_max, "trades_max")
        self._begin()

    def _begin(self) -> None:
        self._bids = Shelf(SIDE_BUY)
        self._asks = Shelf(SIDE_SELL)
        self._orders: dict[int, Resting] = {}
        self._last_id = 0
        self._session = ""
        self._sequence = 0
        self._timestamp_ns = 0
        self._halted: bool | None = False
        self._trades = np.empty(0, np.uint8)
        self._trades_end = 0

    def apply(self, batch: MarketBatch) -> npt.NDArray[np.void]:
        """Takes a batch in, a snapshot or messages, and gives its trades as an array of `Executed`.

        Raises CorruptError when the messages do not follow what the book has seen, or say what cannot be: what came
        before them is in the book then, and only a snapshot helps it.
        """
        if batch.snapshot is not None:
            self.load(batch.snapshot)
        elif batch.payloads and batch.sequence != self._sequence + 1:
            raise CorruptError(
                f"market message {batch.sequence} came, and {self._sequence + 1} is next; load a snapshot"
            )
        trades: list[bytes] = []
        for payload in batch.payloads:
            if self._take(payload):
                trades.append(payload)
        self._session = batch.session
        return self._keep(b"".join(trades)) if trades else _NO_TRADES

    def _take(self, message: bytes) -> bool:
        """Takes one message in, and says whether it is a trade."""
        codec = _CODECS.get(message[0]) if message else None
        if codec is None:
            raise CorruptError(f"these {len(message)} bytes are no market message: {message[:8].hex(' ')}")
        flags, sequence, timestamp_ns, *fields = codec.unpack(message)
        if sequence != self._sequence + 1:
            raise CorruptError(f"market message {sequence} came, and {self._sequence + 1} is next; load a snapshot")
        if flags & ~MARKET_SELL or (flags and codec is _STATE):
            raise CorruptError(f"market message {sequence} has flags {flags}")
        if codec is _STATE:
            self._change_state(sequence, fields[0])
        else:
            self._change_order(codec, self._asks if flags else self._bids, sequence, fields)
        self._sequence = sequence
        self._timestamp_ns = timestamp_ns
        return codec is _EXECUTED

    def _change_state(self, sequence: int, state: int) -> None:
        if state not in (_TRADING, _HALTED):
            raise CorruptError(f"market message {sequence} names state {state}")
        self._halted = state == _HALTED

    def _change_order(self, codec: Codec, side: Shelf, sequence: int, fields: list[int]) -> None:
        if codec is _ADDED:
            self._check_new(side, *fields)
            self._insert(side, *fields)
            return
        order = self._orders.get(fields[0])
        if order is None or order.level.side is not side:
            raise CorruptError(f"market message {sequence} is about order {fields[0]}, which does not rest there")
        if codec is _EXECUTED:
            _, _, price, quantity = fields
            if price != order.level.price:
                raise CorruptError(f"market message {sequence} trades order {fields[0]} at {price}, not its price")
            self._lose(sequence, fields[0], order, quantity, order.quantity)
        elif codec is _REDUCED:
            self._lose(sequence, fields[0], order, fields[1], order.quantity - 1)
        elif codec is _DELETED:
            self._lose(sequence, fields[0], order, order.quantity, order.quantity)
        else:
            _, new_id, price, quantity = fields
            self._check_new(side, new_id, price, quantity)
            self._lose(sequence, fields[0], order, order.quantity, order.quantity)
            self._insert(side, new_id, price, quantity)

    def _check_new(self, side: Shelf, order_id: int, price: int, quantity: int) -> None:
        if order_id <= self._last_id:
            raise CorruptError(f"a market message adds order {order_id} after order {self._last_id}")
        self._check_quantity(side, order_id, price, quantity)

    def _check_quantity(self, side: Shelf, order_id: int, price: int, quantity: int) -> None:
        level = side.levels.get(price)
        if not 0 < quantity <= _QUANTITY_MAX - (level.quantity if level else 0):
            raise CorruptError(f"order {order_id} asks for {quantity} at {price}, which cannot be")

    def _insert(self, side: Shelf, order_id: int, price: int, quantity: int) -> None:
        level = side.find_or_insert(price)
        level.ids[order_id] = None
        level.quantity += quantity
        self._orders[order_id] = Resting(level, quantity)
        self._last_id = max(self._last_id, order_id)

    def _lose(self, sequence: int, order_id: int, order: Resting, quantity: int, most: int) -> None:
        """Takes `quantity` off an order, and the order out if that was all it had."""
        if not 0 < quantity <= most:
            raise CorruptError(f"market message {sequence} takes {quantity} off order {order_id}, which has {most}")
        level = order.level
        order.quantity -= quantity
        level.quantity -= quantity
        if order.quantity == 0:
            del self._orders[order_id]
            del level.ids[order_id]
            if not level.ids:
                level.side.remove(level.price)

    def _keep(self, trades: bytes) -> npt.NDArray[np.void]:
        end = self._trades_end + len(trades)
        if end > len(self._trades):
            # What was shown is never moved: it stays as it was, in the array that was left.
            kept = self.trades.view(np.uint8)
            self._trades = np.empty(max(len(kept) + len(trades), _TRADES_MIN * _TRADE.itemsize) * 2, np.uint8)
            self._trades[: len(kept)] = kept
            self._trades_end, end = len(kept), len(kept) + len(trades)
        self._trades.data[self._trades_end : end] = trades
        first, self._trades_end = self._trades_end, end
        return self._seen(first)

    def _seen(self, first: int) -> npt.NDArray[np.void]:
        seen = self._trades[first : self._trades_end].view(_TRADE)
        seen.flags.writeable = False
        return seen

    def load(self, snapshot: Snapshot) -> None:
        """Forgets everything, and begins with a snapshot.

        Whether trading is halted is not in it, nor are earlier trades. Raises CorruptError when its orders are none;
        the book is as it was then.
        """
        other = MarketBook(trades_max=self._trades_max)
        other._session = snapshot.session
        other._sequence = snapshot.sequence
        other._halted = None if snapshot.sequence else False
        other._fill(memoryview(snapshot.orders))
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    def _fill(self, image: memoryview) -> None:
        if len(image) % _ORDER.itemsize:
            raise CorruptError(f"an image has {_ORDER.itemsize} bytes for each order, and these are {len(image)}")
        orders = np.frombuffer(image, _ORDER)
        columns = (orders[name].tolist() for name in ("side", "order_id", "price", "quantity", "priority"))
        before = (0, 0, 0)
        for side, order_id, price, quantity, priority in zip(*columns, strict=True):
            is_late = (side, price) != before[:2] or order_id > before[2]
            if not is_late or priority != order_id or order_id in self._orders:
                raise CorruptError(f"order {order_id} of an image has priority {priority}, after {before[2]}")
            shelf = self._asks if side == SIDE_SELL else self._bids
            self._check_quantity(shelf, order_id, price, quantity)
            self._insert(shelf, order_id, price, quantity)
            before = (side, price, order_id)
        if self.image() != bytes(image):
            raise CorruptError("the orders of an image are not in order, or have sides that nobody knows")

    def image(self) -> bytes:
        """The orders in the bytes of the snapshot service: bids best first, then asks, in order of time in a price."""
        return np.concatenate([self.orders("buy"), self.orders("sell")]).tobytes()

    def orders(self, side: Side) -> npt.NDArray[np.void]:
        """The resting orders of a side, as an array of `SnapshotOrder`: best first, in order of time in a price."""
        shelf = self._shelf(side)
        rows = [(order_id, level.price) for level in shelf.best_first() for order_id in level.ids]
        found = np.zeros(len(rows), _ORDER)
        if rows:
            ids, prices = zip(*rows, strict=True)
            found["order_id"] = found["priority"] = ids
            found["price"] = prices
            found["quantity"] = [self._orders[order_id].quantity for order_id in ids]
            found["side"] = shelf.number
        return found

    def depth(self, side: Side, levels: int | None = None) -> npt.NDArray[np.void]:
        """The best prices of a side, best first, as an array of `wire.DEPTH_LEVEL`; all of them without a number."""
        shelf = self._shelf(side)
        most = len(shelf.keys) if levels is None else min(count(levels, "levels", 0), len(shelf.keys))
        found = np.zeros(most, DEPTH_LEVEL)
        for row, level in zip(range(most), shelf.best_first(), strict=False):
            found[row] = (level.price, level.quantity, len(level.ids), 0)
        return found

    def order(self, order_id: int) -> MarketOrder | None:
        """A resting order."""
        order = self._orders.get(order_id)
        if order is None:
            return None
        side: Side = "buy" if order.level.side is self._bids else "sell"
        return MarketOrder(order_id, side, order.level.price, order.quantity, order_id)

    def _shelf(self, side: Side) -> Shelf:
        return self._bids if chosen(_SIDES, side, "side") == SIDE_BUY else self._asks

    @property
    def best_bid(self) -> Level | None:
        """The highest price that somebody buys at."""
        best = self._bids.best()
        return best.told() if best else None

    @property
    def best_ask(self) -> Level | None:
        """The lowest price that somebody sells at."""
        best = self._asks.best()
        return best.told() if best else None

    @property
    def trades(self) -> npt.NDArray[np.void]:
        """The last trades, oldest first, as an array of `Executed`: a view that stays as it is when more come."""
        return self._seen(max(0, self._trades_end - self._trades_max * _TRADE.itemsize))

    @property
    def last_trade(self) -> Any:
        """The last trade that it has seen, if any; of `trades`."""
        return self.trades[-1] if self._trades_end else None

    @property
    def order_count(self) -> int:
        """Resting orders."""
        return len(self._orders)

    @property
    def is_halted(self) -> bool | None:
        """Whether trading is halted; None after a snapshot, which does not say, until a message does."""
        return self._halted

    @property
    def session(self) -> str:
        """Ten characters: the exchange's epoch in digits, right-justified; none before the first batch."""
        return self._session

    @property
    def sequence(self) -> int:
        """Of the last market message; 0: none yet."""
        return self._sequence

    @property
    def timestamp_ns(self) -> int:
        """The timestamp of the last market message, nanoseconds since 1970; 0 after a snapshot."""
        return self._timestamp_ns

    def __repr__(self) -> str:
        return f"<MarketBook bid={self.best_bid} ask={self.best_ask} orders={self.order_count}>"
