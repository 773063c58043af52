"""Batch: messages that were copied out of a ring by one call, and three ways to look at them.

    record    0 sequence u64 · 8 timestamp u64 · 16 type u32 · 20 length u32 · 24 sender_pid u32 · 28 sender_runtime u16
              30 flags u16 · 32 delivery_count u16 · 34 zeros · 40 payload · zeros to a multiple of 8

The records stand one after the other in a buffer that the batch owns for as long as it, or an array made from it,
lives. Most batches hold payloads of one length; their records are equally long, so headers are a strided view, payloads
one call of the library, and messages come out of one C loop. That they really are of one length is checked on every
record before it is believed. Batches of mixed lengths take the slow way.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ._generated.errors import ArgumentError
from ._generated.layout import MESSAGE_REDELIVERED, RECORD_HEADER_BYTES, SLOT_PAYLOAD
from .library import load, pointer

Array = npt.NDArray[Any]
# A numpy array of bytes; that it is a buffer, numpy tells mypy only from Python 3.12 on.
Records = Any

# One header as a numpy scalar; `flags` are MESSAGE_* bits.
HEADER: Final = np.dtype(
    {
        "names": [
            "sequence",
            "timestamp",
            "type",
            "length",
            "sender_pid",
            "sender_runtime",
            "flags",
            "delivery_count",
        ],
        "formats": ["<u8", "<u8", "<u4", "<u4", "<u4", "<u2", "<u2", "<u2"],
        "offsets": [0, 8, 16, 20, 24, 28, 30, 32],
        "itemsize": RECORD_HEADER_BYTES,
    }
)
_LENGTH_OFFSET: Final = 20
_U4: Final = np.dtype("<u4")
_LENGTH: Final = struct.Struct("<I")


class Message(NamedTuple):
    """One message. It owns its bytes and stays valid whatever becomes of its batch."""

    sequence: int
    """Position of its first slot + 1."""
    timestamp: int
    """When it was written, by the clock of :func:`tailrace.now`: nanoseconds since 1970."""
    type: int
    """The user's number for the kind of message."""
    length: int
    """Bytes of payload."""
    sender_pid: int
    """Process id of the writer."""
    sender_runtime: int
    """1 Rust, 2 Python, 3 Node, 4 C, 5 WebAssembly."""
    flags: int
    """MESSAGE_* bits."""
    delivery_count: int
    """1, and 1 more for each time that somebody inherited it."""
    payload: bytes
    """The bytes."""

    @property
    def redelivered(self) -> bool:
        """Whether it was handed out before, to somebody who died or kept it."""
        return self.flags & MESSAGE_REDELIVERED != 0

    def text(self) -> str:
        """The payload as UTF-8."""
        return self.payload.decode()

    def json(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)


# Builds a message from the tuple that `struct` made, without a Python-level call.
_new_message: Final = partial(tuple.__new__, Message)


def record_bytes(length: int) -> int:
    """Bytes of the record of a message of `length` bytes."""
    return RECORD_HEADER_BYTES + (length + 7 & -8)


class _Forms(dict[int, struct.Struct]):
    """The form of a whole record, by the length of its payload."""

    def __missing__(self, length: int) -> struct.Struct:
        padding = record_bytes(length) - RECORD_HEADER_BYTES - length
        form = struct.Struct(f"<QQIIIHHH6x{length}s{padding}x")
        if length <= SLOT_PAYLOAD:
            self[length] = form
        return form


_FORMS: Final = _Forms()


class Batch:
    """Messages in order. Has a length and can be iterated any number of times."""

    __slots__ = ("_address", "_count", "_records", "_uniform", "_used", "lost")

    def __init__(self, records: Records, address: int, used: int, count: int, lost: int) -> None:
        self._records = records
        self._address = address
        self._used = used
        self._count = count
        self._uniform: int | None = None
        # Positions of a stream that went missing before the first message of this batch.
        self.lost = lost

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Message]:
        length = self._uniform_length()
        if length < 0:
            return self._mixed()
        records = _FORMS[length].iter_unpack(memoryview(self._records)[: self._used])
        return map(_new_message, records)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._count} messages>"

    @property
    def headers(self) -> Array:
        """One `HEADER` for each message: sequence, timestamp, type, length, sender_pid, sender_runtime, flags,
        delivery_count. A read-only view where all payloads have one length, else a copy."""
        if self._count == 0:
            headers = np.empty(0, HEADER)
        elif self._uniform_length() >= 0:
            stride = self._used // self._count
            headers = np.ndarray((self._count,), HEADER, self._records, 0, (stride,))
        else:
            starts = np.fromiter(self._offsets(), np.intp, self._count)
            columns = np.arange(RECORD_HEADER_BYTES)
            headers = self._records[starts[:, np.newaxis] + columns].view(HEADER).reshape(self._count)
        headers.flags.writeable = False
        return headers

    @property
    def payloads(self) -> list[bytes]:
        """The payloads alone."""
        return [message.payload for message in self]

    def as_numpy(self, dtype: npt.DTypeLike, out: Array | None = None) -> Array:
        """The payloads, all of one length, as an array: one copy for the whole batch.

        A `dtype` as large as a payload gives one element for each message; one that divides it gives one row for each.
        With `out`, an array of that type whose rows are as large as a payload and at least as many as there are
        messages, the copy goes there, and the part that was filled is returned.
        """
        dtype = np.dtype(dtype)
        if out is not None:
            return self._copy_into(out, dtype)
        if self._count == 0 and not dtype.hasobject:
            return np.empty(0, dtype)
        (length,) = _LENGTH.unpack_from(self._records, _LENGTH_OFFSET)
        size = dtype.itemsize
        if dtype.hasobject or size == 0 or length == 0 or length % size:
            raise self._refusal(dtype)
        return self._copy_into(
            np.empty((self._count,) if length == size else (self._count, length // size), dtype), dtype
        )

    def _copy_into(self, out: Array, dtype: np.dtype[Any]) -> Array:
        count = self._count
        if type(out) is not np.ndarray or out.dtype != dtype or out.ndim == 0 or not out.flags.carray:
            raise _unfit(out, dtype)
        rows = len(out)
        if count == 0:
            return out[:0]
        if rows < count:
            raise ArgumentError(f"as_numpy: out has room for {rows} messages, and there are {count}")
        # The library looks at the length of every record that it copies from.
        room = out.nbytes
        if load().gather(self._address, self._used, count, room // rows, pointer(out), room) != count:
            raise self._refusal(dtype, room // rows)
        return out if rows == count else out[:count]

    def _refusal(self, dtype: np.dtype[Any], row_bytes: int = 0) -> ArgumentError:
        """Why there is no such array."""
        if dtype.hasobject or dtype.itemsize == 0:
            return ArgumentError(f"as_numpy: dtype {dtype} has no fixed bytes; give one that has, such as '<f8'")
        lengths = self.headers["length"]
        if lengths.min() != lengths.max():
            return ArgumentError(
                f"as_numpy: payloads are {lengths.min()} to {lengths.max()} bytes; "
                "only those of one length make an array"
            )
        if row_bytes:
            return ArgumentError(f"as_numpy: payloads are {lengths[0]} bytes, and a row of out has {row_bytes}")
        return ArgumentError(
            f"as_numpy: payloads are {lengths[0]} bytes, and {dtype} is {dtype.itemsize}; give a dtype of their size, "
            "or one that divides it"
        )

    def part(self, start: int, end: int) -> Batch:
        """The messages with index `start` to `end`, in the same buffer; positions lost belong to the first."""
        sizes = (self.headers["length"].astype(np.int64) + (RECORD_HEADER_BYTES + 7)) & -8
        first, last = int(sizes[:start].sum()), int(sizes[:end].sum())
        lost = self.lost if start == 0 else 0
        return Batch(self._records[first:last], self._address + first, last - first, len(sizes[start:end]), lost)

    def _uniform_length(self) -> int:
        """The one length of all payloads, or -1."""
        if self._uniform is None:
            self._uniform = self._find_uniform_length()
        return self._uniform

    def _find_uniform_length(self) -> int:
        count = self._count
        if count == 0:
            return 0
        (length,) = _LENGTH.unpack_from(self._records, _LENGTH_OFFSET)
        stride = record_bytes(length)
        if count == 1:
            return int(length)
        if stride * count != self._used:
            return -1
        # Where every record but the last is known to end, the next begins: so one look at where the lengths would be
        # proves or disproves it for all.
        lengths: Array = np.ndarray((count,), _U4, self._records, _LENGTH_OFFSET, (stride,))
        return int(length) if (lengths.copy() == length).all() else -1

    def _offsets(self) -> Iterator[int]:
        offset = 0
        for _ in range(self._count):
            yield offset
            (length,) = _LENGTH.unpack_from(self._records, offset + _LENGTH_OFFSET)
            offset += record_bytes(length)

    def _mixed(self) -> Iterator[Message]:
        records = self._records
        offset = 0
        for _ in range(self._count):
            (length,) = _LENGTH.unpack_from(records, offset + _LENGTH_OFFSET)
            yield _new_message(_FORMS[length].unpack_from(records, offset))
            offset += record_bytes(length)


def _unfit(out: object, dtype: np.dtype[Any]) -> ArgumentError:
    """Why nothing can be copied to `out`."""
    if type(out) is np.ndarray and out.dtype == dtype and out.ndim:
        return ArgumentError("as_numpy: out must be writable and contiguous")
    seen = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
    return ArgumentError(f"as_numpy: out is {seen}; an array of {dtype} is needed, with a row for each message")


EMPTY: Final = Batch(np.empty(0, np.uint8), 0, 0, 0, 0)
