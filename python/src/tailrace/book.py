"""Book: orders in, executions out, by price and then time; the same commands give the same events in every language.

A batch of commands is a numpy array, and so are its events. All memory of the book itself is taken when it is made.
"""

from __future__ import annotations

import ctypes
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ._generated.errors import ArgumentError, TailraceError
from ._generated.messages import BOOK_HALTED, BOOK_TRADED, MESSAGES, SIDE_BUY, SIDE_SELL
from .arguments import chosen
from .library import Library, checked, load, pointer
from .wire import COMMAND, DEPTH_LEVEL, DTYPES, EVENT

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

_COMMAND_BYTES: Final = MESSAGES["StampedCommand"].size
_KEY_BYTES: Final = 16
_SIDES: Final = {"buy": SIDE_BUY, "sell": SIDE_SELL}
# Room for events when a batch is small.
_ROOM_MIN: Final = 64


class Level(NamedTuple):
    """One price of one side."""

    price: int
    quantity: int
    order_count: int


class BookAccount(NamedTuple):
    """What a book knows of an account; later client order ids must be above the last one."""

    last_client_order_id: int
    report_sequence: int
    open_count: int
    is_killed: bool


class Book:
    """The orders of one instrument. Belongs to one thread at a time."""

    __slots__ = ("__weakref__", "_close", "_handle", "_library")

    def __init__(
        self,
        *,
        slot_count: int = 1 << 20,
        account_count: int = 1 << 12,
        band_ticks: int = 1 << 12,
        open_orders_max: int = 0,
        quantity_max: int = 0,
        collar_ticks: int = 0,
        key: bytes | None = None,
    ) -> None:
        """A book without orders.

        `slot_count` orders can rest at once, about 130 bytes each; accounts are numbered from 0; `band_ticks` prices,
        a power of two from 64 to 262,144, are found without a search. The limits hold for new orders and replaces; 0 is
        none. `key`: 16 random bytes that no client knows; random ones unless given.

        Raises ArgumentError.
        """
        limits = _word(open_orders_max, "open_orders_max"), _long(quantity_max, "quantity_max")
        collar = _long(collar_ticks, "collar_ticks")
        size = _size(slot_count, account_count, band_ticks)
        library = load()
        self._open(library, library.book_create(*size, *limits, collar, _key(key)))

    def _open(self, library: Library, answer: int) -> None:
        self._handle = ctypes.c_int64(checked(answer))
        self._library = library
        self._close = weakref.finalize(self, library.close, self._handle.value)

    @classmethod
    def restore(
        cls,
        snapshot: Buffer,
        *,
        slot_count: int = 1 << 20,
        account_count: int = 1 << 12,
        band_ticks: int = 1 << 12,
        key: bytes | None = None,
    ) -> Self:
        """The book of a snapshot, whose limits it takes.

        Raises CorruptError when the bytes are no snapshot, NoSpaceError when the sizes are too small for it.
        """
        data = _bytes(snapshot, "snapshot")
        size = _size(slot_count, account_count, band_ticks)
        library = load()
        book = cls.__new__(cls)
        book._open(library, library.book_restore(*size, _key(key), pointer(data), len(data)))
        return book

    def apply(self, commands: npt.NDArray[Any] | Buffer) -> npt.NDArray[np.void]:
        """Applies commands in order; what the book says to them, as an array of `wire.EVENT`.

        `commands` is an array of `wire.COMMAND`, or their bytes. Every command makes at least one event, and its last
        one has the flag `wire.EVENT_LAST`. Raises ArgumentError when one of them is no command; nothing of the batch is
        applied then.
        """
        data = _commands(commands)
        count = len(data) // _COMMAND_BYTES
        room = max(_ROOM_MIN, 2 * count)
        parts: list[npt.NDArray[np.void]] = []
        consumed, taken = ctypes.c_uint64(), 0
        while True:
            events = np.empty(room, EVENT)
            given = pointer(data[taken * _COMMAND_BYTES :])
            found = self._library.book_apply(
                self._handle, given, count - taken, pointer(events), room, ctypes.byref(consumed)
            )
            parts.append(events[: checked(found)])
            taken += consumed.value
            # Room that is left was not needed.
            if found < room:
                return parts[0] if len(parts) == 1 else np.concatenate(parts)
            room *= 2

    def _summary(self) -> Any:
        summary = np.empty(1, DTYPES["BookSummary"])
        checked(self._library.book_state(self._handle, pointer(summary)))
        return summary[0]

    @property
    def state_hash(self) -> int:
        """Equal, but for chance, exactly for books with the same orders and histories, in every language."""
        return int(self._summary()["state_hash"])

    def _best(self, side: str) -> Level | None:
        summary = self._summary()
        price, quantity, count = (int(summary[f"{side}_{name}"]) for name in ("price", "quantity", "order_count"))
        return Level(price, quantity, count) if count else None

    @property
    def best_bid(self) -> Level | None:
        """The highest price that somebody buys at."""
        return self._best("bid")

    @property
    def best_ask(self) -> Level | None:
        """The lowest price that somebody sells at."""
        return self._best("ask")

    @property
    def order_count(self) -> int:
        """Resting orders."""
        return int(self._summary()["order_count"])

    @property
    def last_trade_price(self) -> int | None:
        """The price of the last trade."""
        summary = self._summary()
        return int(summary["last_trade_price"]) if summary["flags"] & BOOK_TRADED else None

    @property
    def is_halted(self) -> bool:
        """Whether trading is halted."""
        return bool(self._summary()["flags"] & BOOK_HALTED)

    @property
    def sequence(self) -> int:
        """The global sequence of the last command."""
        return int(self._summary()["sequence"])

    @property
    def timestamp_ns(self) -> int:
        """The timestamp of the last command, nanoseconds since 1970."""
        return int(self._summary()["timestamp_ns"])

    @property
    def market_sequence(self) -> int:
        """The sequence of the last market message."""
        return int(self._summary()["market_sequence"])

    def depth(self, side: Literal["buy", "sell"], levels: int | None = None) -> npt.NDArray[np.void]:
        """The best prices of a side, best first, as an array of `wire.DEPTH_LEVEL`; all of them without a number."""
        number = chosen(_SIDES, side, "side")
        most = self.order_count if levels is None else min(_word(levels, "levels"), self.order_count)
        found = np.empty(most, DEPTH_LEVEL)
        return found[: checked(self._library.book_depth(self._handle, number, pointer(found), most))]

    def account(self, account: int) -> BookAccount:
        """What the book knows of an account."""
        record = np.empty(1, DTYPES["AccountRecord"])
        checked(self._library.book_account(self._handle, _word(account, "account"), pointer(record)))
        last_id, sequence, count, is_killed = (int(value) for value in record[0])
        return BookAccount(last_id, sequence, count, bool(is_killed))

    def snapshot(self) -> bytes:
        """The whole state in bytes."""
        length = checked(self._library.book_snapshot(self._handle, None, 0))
        state = np.empty(length, np.uint8)
        checked(self._library.book_snapshot(self._handle, pointer(state), length))
        return state.tobytes()

    def close(self) -> None:
        """Lets go of its memory. A second time is nothing."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            return f"<Book bid={self.best_bid} ask={self.best_ask} orders={self.order_count}>"
        except TailraceError:
            return "<Book closed>"


def _commands(commands: Any) -> npt.NDArray[np.uint8]:
    if isinstance(commands, np.ndarray) and commands.dtype != np.uint8:
        if commands.dtype.itemsize != COMMAND.itemsize or commands.dtype.kind != "V":
            raise ArgumentError(f"commands are an array of {commands.dtype}; give one of tailrace.wire.COMMAND")
        return np.ascontiguousarray(commands).reshape(-1).view(np.uint8)
    data = _bytes(commands, "commands")
    if len(data) % _COMMAND_BYTES:
        raise ArgumentError(f"commands have {_COMMAND_BYTES} bytes each, and these are {len(data)}; see wire.commands")
    return data


def _bytes(data: Any, what: str) -> npt.NDArray[np.uint8]:
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError):
        raise ArgumentError(f"{what} is {data!r}; give bytes") from None


def _whole(number: Any, what: str, most: int) -> int:
    if not isinstance(number, int) or not 0 <= number <= most:
        raise ArgumentError(f"{what} is {number!r}; give a whole number from 0 to {most}")
    return number


def _word(number: Any, what: str) -> int:
    return _whole(number, what, 2**32 - 1)


def _long(number: Any, what: str) -> int:
    return _whole(number, what, 2**64 - 1)


def _size(slot_count: int, account_count: int, band_ticks: int) -> tuple[int, int, int]:
    return (
        _word(slot_count, "slot_count"),
        _word(account_count, "account_count"),
        _word(band_ticks, "band_ticks"),
    )


def _key(key: Any) -> bytes | None:
    if key is None or (isinstance(key, bytes) and len(key) == _KEY_BYTES):
        return key
    raise ArgumentError(f"key is {key!r}; give {_KEY_BYTES} bytes, or none for random ones")
