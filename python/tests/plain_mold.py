"""Plain Mold: MoldUDP64 as its description says it, and nothing else: no line here knows this project.

A downstream packet begins with a header of 20 bytes: the session, ten characters; the sequence number of the first
message, eight bytes; the message count, two bytes. Numbers are big-endian. The message blocks follow, as many as the
count says, each of them the length of its payload in two bytes, and the payload. A count of zero is a heartbeat, whose
sequence number is the next one. A count of 0xFFFF is the end of the session, with the next sequence number as well;
neither of the two has blocks. A request packet is the same header alone: the session, the first sequence number wanted,
how many are wanted.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

HEADER = struct.Struct(">10sQH")
LENGTH = struct.Struct(">H")
END_OF_SESSION = 0xFFFF


class Packet(NamedTuple):
    """A downstream packet that was read."""

    session: bytes
    sequence: int
    is_end: bool
    messages: list[bytes]


def read(packet: bytes) -> Packet | None:
    """What a downstream packet says; None when it is none."""
    if len(packet) < HEADER.size:
        return None
    session, sequence, count = HEADER.unpack_from(packet)
    is_end = count == END_OF_SESSION
    messages = []
    place = HEADER.size
    for _ in range(0 if is_end else count):
        if len(packet) < place + LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(packet, place)
        place += LENGTH.size
        if len(packet) < place + length:
            return None
        messages.append(packet[place : place + length])
        place += length
    return Packet(session, sequence, is_end, messages) if place == len(packet) else None


def written(session: bytes, sequence: int, messages: list[bytes]) -> bytes:
    """A downstream packet; without messages a heartbeat."""
    blocks = [LENGTH.pack(len(message)) + message for message in messages]
    return HEADER.pack(session, sequence, len(messages)) + b"".join(blocks)


def end(session: bytes, sequence: int) -> bytes:
    """The end of a session whose next sequence number would be this one."""
    return HEADER.pack(session, sequence, END_OF_SESSION)


def request(session: bytes, sequence: int, count: int) -> bytes:
    """A request packet."""
    return HEADER.pack(session, sequence, count)
