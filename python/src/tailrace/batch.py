"""Batch: messages that were copied out of a ring by one call, and three ways to look at them.

    record    0 sequence u64 · 8 timestamp u64 · 16 type u32 · 20 length u32 · 24 sender_pid u32 · 28 sender_runtime u16
              30 flags u16 · 32 delivery_count u16 · 34 zeros · 40 payload · zeros to a multiple of 8

The records stand one after the other in a buffer that the batch owns for as long as it, or an array made from it,
lives. Most batches hold payloads of one length; their records are equally long, so headers are a strided view, payloads
one strided copy, and messages come out of one C loop. That they really are of one length is checked on every record
before it is believed. Batches of mixed lengths take the slow way.
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

    __slots__ = ("_count", "_records", "_uniform", "_used", "lost")

    def __init__(self, records: Records, used: int, count: int, lost: int) -> None:
        self._records = records
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
        With `out`, an array of that type with room for as many messages, the copy goes there and the part that was
        filled is returned.
        """
        dtype = np.dtype(dtype)
        if dtype.hasobject or dtype.itemsize == 0:
            raise ArgumentError(f"as_numpy: dtype {dtype} has no fixed bytes; give one that has, such as '<f8'")
        count = self._count
        if count == 0:
            return np.empty(0, dtype) if out is None else out[:0]
        length = self._fitting_length(dtype)
        elements = length // dtype.itemsize
        shape = (count,) if elements == 1 else (count, elements)
        to = np.empty(shape, dtype) if out is None else _checked_out(out, dtype, shape)
        # Elements of one opaque type are moved whole; with rows of numbers numpy would loop over each row.
        whole = np.dtype((np.void, length))
        payloads: Array = np.ndarray((count,), whole, self._records, RECORD_HEADER_BYTES, (self._used // count,))
        np.copyto(to.view(whole).reshape(count), payloads)
        return to

    def part(self, start: int, end: int) -> Batch:
        """The messages with index `start` to `end`, in the same buffer; positions lost belong to the first."""
        sizes = (self.headers["length"].astype(np.int64) + (RECORD_HEADER_BYTES + 7)) & -8
        first, last = int(sizes[:start].sum()), int(sizes[:end].sum())
        lost = self.lost if start == 0 else 0
        return Batch(self._records[first:last], last - first, len(sizes[start:end]), lost)

    def _fitting_length(self, dtype: np.dtype[Any]) -> int:
        length = self._uniform_length()
        if length < 0:
            lengths = sorted({message.length for message in self})
            raise ArgumentError(
                f"as_numpy: payloads are {lengths[0]} to {lengths[-1]} bytes; only those of one length make an array"
            )
        if length % dtype.itemsize or length == 0:
            raise ArgumentError(
                f"as_numpy: payloads are {length} bytes, and {dtype} is {dtype.itemsize}; give a dtype of their size, "
                "or one that divides it"
            )
        return length

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


def _checked_out(out: Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.ndim != len(shape) or out.shape[1:] != shape[1:]:
        seen = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ArgumentError(f"as_numpy: out is {seen}; an array of {dtype} and shape {shape} is needed")
    if len(out) < shape[0]:
        raise ArgumentError(f"as_numpy: out has room for {len(out)} messages, and there are {shape[0]}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ArgumentError("as_numpy: out must be writable and contiguous")
    return out[: shape[0]]


EMPTY: Final = Batch(np.empty(0, np.uint8), 0, 0, 0)
