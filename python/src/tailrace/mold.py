"""Mold: MoldUDP64, the framing of the market stream on UDP.

A datagram has a header of 20 bytes (session, sequence of the first message, count) and its messages, each behind its
length; these integers are big-endian. Count 0 is a heartbeat and says which sequence comes next; `MOLD_END` ends the
session. A request for retransmission is a header and nothing else, and its count says how many are wanted.

A datagram is checked to its last byte before anything of it is handed out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._generated.errors import ArgumentError, CorruptError
from ._generated.messages import MOLD_END, MOLD_HEADER_BYTES, MOLD_HEARTBEAT, MOLD_LENGTH_BYTES

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "MOLD_END",
    "MOLD_HEADER_BYTES",
    "MOLD_HEARTBEAT",
    "MOLD_LENGTH_BYTES",
    "MoldDatagram",
    "decode_mold",
    "encode_mold",
    "encode_mold_request",
]

_HEADER: Final = struct.Struct(">10sQH")
_LENGTH: Final = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class MoldDatagram:
    """A datagram that was read."""

    session: bytes
    """Ten bytes: the exchange's epoch in digits, right-justified with spaces."""
    sequence: int
    """Of the first message; without messages, of the next one there will be."""
    count: int
    """How many messages there are; `MOLD_END`: none, and the session is over."""
    messages: tuple[memoryview, ...]
    """Views of the messages, in order; good as long as the bytes stay as they are."""


def decode_mold(data: Buffer) -> MoldDatagram:
    """Reads a datagram. Raises CorruptError when its messages are not as many as it counts, or do not fill it."""
    view = memoryview(data).cast("B")
    total = len(view)
    if total < MOLD_HEADER_BYTES:
        raise _corrupt(f"there are {total}, and a header has {MOLD_HEADER_BYTES}")
    session, sequence, count = _HEADER.unpack_from(view)
    messages = []
    at = MOLD_HEADER_BYTES
    while at + MOLD_LENGTH_BYTES <= total:
        start = at + MOLD_LENGTH_BYTES
        (length,) = _LENGTH.unpack_from(view, at)
        at = start + length
        messages.append(view[start:at])
    if at != total or len(messages) != (0 if count == MOLD_END else count):
        raise _corrupt(f"{count} messages do not fill {total} bytes")
    return MoldDatagram(session, sequence, count, tuple(messages))


def _corrupt(message: str) -> CorruptError:
    return CorruptError(f"these bytes are no datagram of a market stream: {message}")


def encode_mold_request(session: bytes, sequence: int, count: int) -> bytes:
    """Asks for `count` messages from `sequence` on; also the bytes of a heartbeat, and of the end of a session."""
    if not isinstance(session, bytes) or len(session) != 10:
        raise ArgumentError(f"session is {session!r}; give ten bytes")
    if not isinstance(sequence, int) or not 0 <= sequence < 1 << 64:
        raise ArgumentError(f"sequence is {sequence!r}; give a whole number from 0 to {(1 << 64) - 1}")
    if not isinstance(count, int) or not 0 <= count < 1 << 16:
        raise ArgumentError(f"count is {count!r}; give a whole number from 0 to {(1 << 16) - 1}")
    return _HEADER.pack(session, sequence, count)


def encode_mold(session: bytes, sequence: int, messages: Sequence[bytes]) -> bytes:
    """A datagram of these messages, the first of which has the sequence."""
    if len(messages) >= MOLD_END:
        raise ArgumentError(f"there are {len(messages)} messages; give at most {MOLD_END - 1}")
    parts = [encode_mold_request(session, sequence, len(messages))]
    for message in messages:
        if len(message) > 0xFFFF:
            raise ArgumentError(f"a message has {len(message)} bytes; give at most 65,535")
        parts += (_LENGTH.pack(len(message)), message)
    return b"".join(parts)
