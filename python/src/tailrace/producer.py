"""Producer: writes messages into one channel.

A single write is one call into the library whose arguments exist already: the handle, the bytes, and, for short
payloads and small types, numbers that were made once for the whole process. Making them for each call would cost as
much as the call. What is unusual (other buffers than bytes, long payloads, large types) finds its way through `except`,
which costs nothing until it happens.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ._generated import signatures
from ._generated.errors import NUMBERS, ArgumentError
from ._generated.layout import SLOT_PAYLOAD
from .arguments import chosen
from .library import Library, checked, failure, pointer
from .waiting import slices, wait_durable

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

_LENGTHS: Final = tuple(ctypes.c_uint64(length) for length in range(SLOT_PAYLOAD + 1))
_TYPES: Final = {number: ctypes.c_uint32(number) for number in range(256)}
_TYPE_MAX: Final = 2**32 - 1
_TIMED_OUT: Final = NUMBERS["ERR_TIMED_OUT"]
_MEMORY: Final = signatures.LEVEL_MEMORY
LEVELS: Final = {"memory": _MEMORY, "wal": signatures.LEVEL_WAL, "replicated": signatures.LEVEL_REPLICATED}

Durability = Literal["memory", "wal", "replicated"]


class Producer:
    """Writes messages into one channel. Made by `Region.open_producer`; used by one thread at a time."""

    __slots__ = ("__weakref__", "_close", "_handle", "_library", "_write", "channel")

    def __init__(self, library: Library, handle: int, channel: str) -> None:
        self._library = library
        self._write = library.write
        self._handle = ctypes.c_int64(handle)
        self._close = weakref.finalize(self, library.close, handle)
        self.channel = channel

    def write(self, payload: Buffer, type: int = 0) -> bool:
        """Writes one message; False when there is no room."""
        try:
            result = self._write(self._handle, payload, _LENGTHS[len(payload)], _TYPES[type])  # type: ignore[arg-type]
        except (TypeError, IndexError, KeyError, ctypes.ArgumentError):
            result = self._write_unusual(payload, type)
        if result > 0:
            return True
        if result == 0:
            return False
        raise failure(result)

    def _write_unusual(self, payload: Buffer, type: int) -> int:
        message_type = checked_type(type)
        if isinstance(payload, bytes):
            return self._write(self._handle, payload, len(payload), message_type)
        view = contiguous(payload, "write")
        return self._library.write_at(self._handle, address(view), view.nbytes, message_type)

    def write_batch(self, payloads: Sequence[Buffer] | npt.NDArray[Any], type: int = 0) -> int:
        """Writes as many of the first messages as there is room for, and says how many.

        `payloads` is a sequence of bytes, a 2-D array (each row is a message), or a 1-D array of a structured type.
        """
        message_type = checked_type(type)
        if isinstance(payloads, np.ndarray):
            result = self._write_rows(payloads, message_type)
        elif isinstance(payloads, (bytes, bytearray, memoryview, str)):
            raise ArgumentError("write_batch: one payload is not a batch; give a list, or call write")
        else:
            result = self._write_list(list(payloads), message_type)
        if result < 0:
            raise failure(result)
        return result

    def _write_rows(self, rows: npt.NDArray[Any], message_type: int) -> int:
        if rows.dtype.hasobject or not (rows.ndim == 2 or (rows.ndim == 1 and rows.dtype.kind == "V")):
            raise ArgumentError(
                f"write_batch: an array of {rows.dtype} and shape {rows.shape} has no rows of bytes; give a 2-D array, "
                "or a 1-D array of a structured type"
            )
        length = rows.itemsize if rows.ndim == 1 else rows.itemsize * rows.shape[1]
        if rows.strides[0] < length or (rows.ndim == 2 and rows.strides[1] != rows.itemsize):
            rows = np.ascontiguousarray(rows)
        if not rows.size:
            return 0 if len(rows) == 0 else self._write_list([b""] * len(rows), message_type)
        return self._library.write_strided(
            self._handle, pointer(rows), rows.strides[0], length, len(rows), message_type
        )

    def _write_list(self, payloads: list[Any], message_type: int) -> int:
        count = len(payloads)
        try:
            joined = b"".join(payloads)
            lengths = np.fromiter(map(len, payloads), np.uint64, count)
        except TypeError:
            return self._write_list([bytes(contiguous(payload, "write_batch")) for payload in payloads], message_type)
        if lengths.sum() != len(joined):
            # Some buffer counts elements that are larger than a byte.
            return self._write_list([bytes(contiguous(payload, "write_batch")) for payload in payloads], message_type)
        starts = lengths.cumsum() - lengths + np.uint64(address(memoryview(joined)) or 0)
        return self._library.write_batch(self._handle, pointer(starts), pointer(lengths), count, message_type)

    def send(
        self,
        payload: Buffer,
        type: int = 0,
        timeout: float | None = None,
        durability: Durability = "memory",
    ) -> int:
        """Writes one message as soon as there is room, and returns its sequence.

        Waits at most `timeout` seconds (None: for ever) and raises TimedOutError then. Ctrl-C ends the wait, and other
        threads run meanwhile.

        With durability 'wal' it returns when a recorder has the message on this machine's disk. UnsupportedError: the
        channel has no log; DiskFullError or IoError: the log has stopped before the message was written. Once it is in
        the channel it will be recorded, over a full disk and over the death of the recorder, and also when the time is
        up; only a disk that fails is an IoError then, whose `outcome` is 'unknown'.
        """
        message_type, level = checked_type(type), chosen(LEVELS, durability, "durability")
        view = contiguous(payload, "send")
        start, length = address(view), view.nbytes
        if level != _MEMORY:
            return self._send_durable((start, length, message_type, level), timeout)
        for slice_ns in slices(timeout):
            result = self._library.send(self._handle, start, length, message_type, slice_ns)
            if result != _TIMED_OUT:
                break
        return checked(result)

    def _send_durable(self, message: tuple[int | None, int, int, int], timeout: float | None) -> int:
        sequence = 0
        for slice_ns in slices(timeout):
            if sequence:
                result = self._library.wait_durable(self._handle, sequence, slice_ns) or _TIMED_OUT
            else:
                result = self._library.send_durable(self._handle, *message, slice_ns)
                # Of a message that is in the channel already, the sequence comes with the time-out.
                sequence = self._library.last_value() if result == _TIMED_OUT else max(result, 0)
            if result != _TIMED_OUT:
                break
        checked(result)
        return sequence

    def wait_durable(self, sequence: int, timeout: float | None = None) -> bool:
        """Waits until the message of this sequence is on disk; False when `timeout` seconds have passed (None: waits
        for ever). UnsupportedError: the channel has no log; IoError: the log failed, and its `outcome` is 'unknown'."""
        return wait_durable(self._library, self._handle, sequence, timeout)

    @property
    def last_sequence(self) -> int:
        """Sequence of the last message that this producer wrote, or 0."""
        result = self._library.last_sequence(self._handle)
        if result < 0:
            raise failure(result)
        return result

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._close.alive

    def close(self) -> None:
        """Closes it; again, it does nothing. A thread that waits on it gets ClosedError."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Producer of {self.channel!r}{' (closed)' if self.closed else ''}>"


def checked_type(type: int) -> int:
    """The number itself, if it may be the type of a message."""
    if not isinstance(type, int) or not 0 <= type <= _TYPE_MAX:
        raise ArgumentError(f"type is {type!r}; it must be a number from 0 to {_TYPE_MAX}")
    return type


def contiguous(payload: Any, call: str) -> memoryview:
    """The bytes of any buffer."""
    try:
        view = memoryview(payload)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{call}: {payload.__class__.__name__} has no bytes; give bytes, or another buffer (encode text first)"
        ) from None
    return view if view.c_contiguous else memoryview(view.tobytes())


def address(view: memoryview) -> int | None:
    """Where the bytes are; valid as long as the view is."""
    if view.nbytes == 0:
        return None
    start: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return start
