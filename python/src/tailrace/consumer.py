"""Consumer: takes messages from a queue, or reads a stream.

Two ways out. `poll` copies messages and is done with them: who dies after it has had them. `take` copies them too but
leaves them claimed until they are released: who dies in between loses nothing, another consumer gets them, flagged.
Iteration takes where it can, and releases a batch when the next is asked for. A member of a group takes, too; who reads
a recorded channel alone, or a log, has nothing to take.

Batches are copied into rooms: buffers with room for as many records as were asked for. A room is used again when nobody
has it any more, neither a batch nor an array or view made from one; the reference count says so. So a loop that drops
its batches allocates nothing, and one that keeps them loses nothing. Rooms are taken out of the list while they are
filled: two threads never get the same.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Iterator
from sys import getrefcount
from types import TracebackType
from typing import TYPE_CHECKING, Final

import numpy as np

from ._generated.errors import NUMBERS, ArgumentError, UnsupportedError
from ._generated.layout import CLAIM_MAX, SLOT_PAYLOAD
from .batch import EMPTY, Array, Batch, Message, record_bytes
from .library import Function, Library, checked, failure
from .readiness import Readiness
from .start import From, encode_start
from .waiting import slices, wait

if TYPE_CHECKING:
    from typing_extensions import Self

BATCH: Final = 256
_ROOMS_MAX: Final = 4
_ROOM_BYTES_MIN: Final = 1 << 16
_TOO_LARGE: Final = NUMBERS["ERR_TOO_LARGE"]
_TIMED_OUT: Final = NUMBERS["ERR_TIMED_OUT"]
_ALL: Final = -1


class _Room:
    """A buffer for records, the two numbers that come back with them, and all that as arguments of a call."""

    __slots__ = ("address", "length", "lost", "lost_address", "records", "size", "start", "used", "used_address")

    def __init__(self, length: int) -> None:
        self.records: Array = np.empty(length, np.uint8)
        self.start: int = self.records.__array_interface__["data"][0]
        self.address = ctypes.c_void_p(self.start)
        self.length = length
        self.size = ctypes.c_uint64(length)
        self.used = ctypes.c_uint64()
        self.used_address = ctypes.c_void_p(ctypes.addressof(self.used))
        self.lost = ctypes.c_uint64()
        self.lost_address = ctypes.c_void_p(ctypes.addressof(self.lost))


_PROBE: Final = _Room(0)
# What this version of Python counts for a buffer that nobody else has: its room, and the question itself.
_ALONE: Final = getrefcount(_PROBE.records)


class Taken(Batch):
    """Messages that stay claimed until they are released: at the end of the `with` block, all of them."""

    __slots__ = ("_claim", "_consumer")

    def __init__(self, consumer: Consumer, claim: int, batch: Batch) -> None:
        super().__init__(batch._records, batch._address, batch._used, batch._count, batch.lost)
        self._consumer = consumer
        self._claim = claim

    def release(self, count: int | None = None) -> int:
        """Releases the first `count` messages that are still claimed (None: all), and says how many. After the end of
        the claim, or of the consumer, it does nothing."""
        return self._consumer.release(count) if self._is_open() else 0

    def keep(self) -> int:
        """Ends the claim and keeps what is left of it: the next take or poll hands that out first, flagged as
        redelivered. Says how many messages are kept."""
        return self._consumer.keep() if self._is_open() else 0

    def _is_open(self) -> bool:
        return self._consumer._claim == self._claim and not self._consumer.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Consumer:
    """Takes messages from one queue, or reads one stream. Made by `Region.open_consumer`; used by one thread at a time.

    Iteration waits for messages and gives one after the other; Ctrl-C ends it, and other threads run meanwhile. When it
    ends, what was given is released, and what was not comes first the next time.
    """

    __slots__ = (
        "__weakref__",
        "_claim",
        "_close",
        "_first",
        "_handle",
        "_left",
        "_library",
        "_limit",
        "_limit_argument",
        "_lost",
        "_poll",
        "_room_bytes",
        "_rooms",
        "_take",
        "_takes",
        "channel",
    )

    def __init__(self, library: Library, handle: int, channel: str, is_recorded: bool = False) -> None:
        self._library = library
        self._poll = library.poll_waiting if is_recorded else library.poll
        self._take = library.take_waiting if is_recorded else library.take
        # Sequence of the message at position 0, of a ring; log sequences are positions themselves.
        self._first = 0 if is_recorded else 1
        self._handle = ctypes.c_int64(handle)
        self._close = weakref.finalize(self, library.close, handle)
        self._rooms: deque[_Room] = deque(maxlen=_ROOMS_MAX)
        self._room_bytes = 0
        self._set_limit(BATCH)
        # What an iteration over a stream had copied and not given.
        self._left: Batch | None = None
        # Number of the claim that is open; odd while one is.
        self._claim = 0
        self._takes = True
        self._lost = 0
        self.channel = channel

    def poll(self, limit: int = BATCH, timeout: float | None = 0.0) -> Batch:
        """Up to `limit` messages, copied and released; an empty batch when there is none.

        With a `timeout` it waits so many seconds for the first one (None: for ever).
        """
        batch = self._fill(self._poll, limit) if self._left is None else self._part_of_left(limit)
        if not batch._count and timeout != 0.0:
            batch = self._wait_and_fill(self._poll, limit, timeout)
        return batch

    def take(self, limit: int = BATCH, timeout: float | None = 0.0) -> Taken:
        """Up to `limit` messages of a queue, or of a group's channel, claimed until they are released; empty when there
        is none.

        With a `timeout` it waits so many seconds for the first one (None: for ever). One claim at a time: until it is
        released, another `take` or `poll` raises BusyError.
        """
        batch = self._fill(self._take, limit)
        if not batch._count and timeout != 0.0:
            batch = self._wait_and_fill(self._take, limit, timeout)
        if batch._count:
            self._claim = self._claim + 2 | 1
        return Taken(self, self._claim if batch._count else -1, batch)

    def release(self, count: int | None = None) -> int:
        """Releases the first `count` messages of the open claim (None: all of it), and says how many."""
        if count is not None and count < 0:
            raise ArgumentError(f"release: count is {count}; give 0 or more, or nothing to release all")
        return self._end_claim(self._library.release(self._handle, _ALL if count is None else count), count is None)

    def keep(self) -> int:
        """Ends the open claim without releasing it: the next take or poll hands its messages out first, flagged as
        redelivered. Says how many."""
        return self._end_claim(self._library.keep(self._handle), True)

    def _end_claim(self, result: int, is_ended: bool) -> int:
        if result < 0:
            raise failure(result)
        if is_ended and self._claim % 2:
            self._claim += 1
        return result

    def batches(self, limit: int = BATCH) -> Batches:
        """Batches without end, for `for` and for `async for`; each waits for its first message, and is released when
        the next is asked for or nobody asks any more."""
        return Batches(self, limit)

    def __iter__(self) -> Iterator[Message]:
        given, batch = 0, EMPTY
        try:
            while True:
                given, batch = 0, EMPTY
                batch = self._next(BATCH, None)
                for message in batch:
                    given += 1
                    yield message
                if isinstance(batch, Taken):
                    batch.release()
        finally:
            self._end_iteration(batch, given)

    def _end_iteration(self, batch: Batch, given: int) -> None:
        if self.closed:
            return
        if self._takes:
            if isinstance(batch, Taken):
                batch.release(given)
            self.keep()
        elif given < len(batch):
            self._left = batch.part(given, len(batch))

    def _next(self, limit: int, timeout: float | None) -> Batch:
        """The next batch: taken, where the channel allows it."""
        if self._takes:
            try:
                return self.take(limit, timeout)
            except UnsupportedError:
                self._takes = False
        return self.poll(limit, timeout)

    def _fill(self, call: Function, limit: int) -> Batch:
        if limit != self._limit:
            self._set_limit(limit)
        room = self._room(self._room_bytes)
        count = call(self._handle, room.address, room.size, self._limit_argument, room.used_address, room.lost_address)
        if count > 0:
            lost = room.lost.value
            self._lost += lost
            batch = Batch(room.records, room.start, room.used.value, count, lost)
            self._rooms.append(room)
            return batch
        if count == 0:
            self._rooms.append(room)
            return EMPTY
        return self._fill_larger(call, limit, room.used.value, count)

    def _fill_larger(self, call: Function, limit: int, needed: int, count: int) -> Batch:
        if count != _TOO_LARGE:
            raise failure(count)
        # The size asked for stands in `used`; from now on every room has it.
        self._room_bytes = max(self._room_bytes, needed)
        return self._fill(call, limit)

    def _set_limit(self, limit: int) -> None:
        if not isinstance(limit, int) or not 1 <= limit < 2**63:
            raise ArgumentError(f"limit is {limit!r}; give the largest number of messages, 1 or more")
        # Enough for short messages; of long ones, the first that does not fit says how much it needs.
        self._room_bytes = max(_ROOM_BYTES_MIN, min(limit, CLAIM_MAX) * record_bytes(SLOT_PAYLOAD))
        self._limit_argument = ctypes.c_uint64(limit)
        self._limit = limit

    def _room(self, least: int) -> _Room:
        rooms = self._rooms
        for _ in range(len(rooms)):
            try:
                room = rooms.popleft()
            except IndexError:
                break
            if room.length >= least and getrefcount(room.records) == _ALONE:
                return room
            rooms.append(room)
        return _Room(least)

    def _part_of_left(self, limit: int) -> Batch:
        left = self._left or EMPTY
        self._left = left.part(limit, len(left)) if limit < len(left) else None
        return left.part(0, limit) if self._left else left

    def _wait_and_fill(self, call: Function, limit: int, timeout: float | None) -> Batch:
        for slice_ns in slices(timeout):
            result = self._library.wait(self._handle, slice_ns)
            if result < 0:
                raise failure(result)
            if result:
                batch = self._fill(call, limit)
                if batch._count:
                    return batch
        return EMPTY

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until there is something to poll; False when `timeout` seconds have passed (None: waits for ever)."""
        return self._left is not None or wait(self._library, self._handle, timeout)

    def seek(self, from_: From) -> int:
        """Goes on somewhere else, on a recorded channel, and returns the sequence that is next then; 0 while the
        channel has no log. A group goes there as a whole, and only forward. GoneError with `oldest_sequence`."""
        sequence = checked(self._library.seek(self._handle, *encode_start(from_)))
        self._left = None
        return sequence

    def commit(self, timeout: float | None = None) -> int:
        """Makes the position of this consumer's group durable: everything below it was released. Returns it, the lowest
        sequence that is not finished, when it is on disk.

        Waits at most `timeout` seconds (None: for ever) for the records below it to be on disk, which they never are
        while no recorder lives, and raises TimedOutError then; nothing was stored.
        """
        # Each try counts the position anew, and needs a sync that begins after that, however long it takes.
        for slice_ns in slices(timeout, is_growing=True):
            result = self._library.commit(self._handle, slice_ns)
            if result != _TIMED_OUT:
                break
        return checked(result)

    @property
    def position(self) -> int:
        """Next position to read; of a recorded channel the next log sequence, 0 while it has no number."""
        if self._left is not None:
            return int(self._left.headers["sequence"][0]) - self._first
        return checked(self._library.position(self._handle))

    @property
    def depth(self) -> int:
        """Positions that were written and not yet taken."""
        left = 0 if self._left is None else len(self._left)
        return checked(self._library.depth(self._handle)) + left

    @property
    def lost(self) -> int:
        """Positions of a stream that went missing before messages that this consumer had."""
        return self._lost

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._close.alive

    def close(self) -> None:
        """Closes it; what it took and has not released goes to others, flagged as redelivered. Again, it does nothing.
        A thread that waits on it gets ClosedError."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Consumer of {self.channel!r}{' (closed)' if self.closed else ''}>"


class Batches:
    """Batches without end. Made by `Consumer.batches`."""

    __slots__ = ("_batch", "_consumer", "_limit", "_readiness")

    def __init__(self, consumer: Consumer, limit: int) -> None:
        self._consumer = consumer
        self._limit = limit
        self._batch: Batch = EMPTY
        self._readiness: Readiness | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        self._release()
        self._batch = self._consumer._next(self._limit, None)
        return self._batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        self._release()
        consumer = self._consumer
        while True:
            self._batch = consumer._next(self._limit, 0.0)
            if self._batch:
                return self._batch
            if self._readiness is None:
                self._readiness = Readiness(consumer._library, consumer._handle)
            await self._readiness.wait()

    def _release(self) -> None:
        batch, self._batch = self._batch, EMPTY
        if isinstance(batch, Taken):
            batch.release()

    def close(self) -> None:
        """Releases the last batch; happens by itself when nobody has this object any more."""
        self._release()
        if self._readiness is not None:
            self._readiness.close()
            self._readiness = None

    __del__ = close
