"""Messages put together from the frames of a log, from docs/reference/log-format.md alone, without the package."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from plain_log import Record

COMPRESSED, TOMBSTONE, CONTINUATION, LONG = 2, 4, 8, 16


class Message(NamedTuple):
    """One message; of a long one, what its first frame says."""

    sequence: int
    message_type: int
    pid: int
    runtime: int
    timestamp_ns: int
    payload: bytes


def messages(records: Iterable[Record]) -> Iterator[Message]:
    """The messages of records in order."""
    first: Record | None = None
    content = b""
    for record in records:
        if record.flags & CONTINUATION:
            content += record.payload
            continue
        if first is not None:
            yield whole(first, content)
        first, content = None if record.flags & TOMBSTONE else record, record.payload
    if first is not None:
        yield whole(first, content)


def whole(first: Record, content: bytes) -> Message:
    """The message whose first frame this is."""
    if first.flags & LONG:
        length, zero = int.from_bytes(content[:4], "little"), content[4:8]
        content = content[8:]
        assert (len(content), zero) == (length, bytes(4)), first.sequence
    elif first.flags & COMPRESSED:
        content = decompressed(content[4:], int.from_bytes(content[:4], "little"))
    return Message(first.sequence, first.message_type, first.pid, first.runtime, first.timestamp_ns, content)


def decompressed(block: bytes, length: int) -> bytes:
    """An LZ4 block without its frame: literals, then a match, again and again."""
    out, at = bytearray(), 0

    def extended(nibble: int) -> int:
        nonlocal at
        total, more = nibble, 255 if nibble == 15 else 0
        while more == 255:
            more, at = block[at], at + 1
            total += more
        return total

    while at < len(block):
        token, at = block[at], at + 1
        literals = extended(token >> 4)
        out += block[at : at + literals]
        at += literals
        if at == len(block):
            break
        distance, at = int.from_bytes(block[at : at + 2], "little"), at + 2
        # Byte by byte, for a match may run into what it writes.
        for _ in range(extended(token & 15) + 4):
            out.append(out[-distance])
    assert len(out) == length
    return bytes(out)
