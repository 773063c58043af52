"""Codec: reads and writes what `wire` does, and refuses what it refuses."""

from __future__ import annotations

import random
import struct

import pytest

from tailrace import CorruptError, wire
from tailrace.exchange.codec import Codec

LIMITS = {"u8": (0, 2**8), "u16": (0, 2**16), "u32": (0, 2**32), "u64": (0, 2**64), "i64": (-(2**63), 2**63)}


@pytest.mark.parametrize("name", sorted(wire.MESSAGES))
def test_it_agrees_with_wire(name: str) -> None:
    codec, shape, dice = Codec(name), wire.MESSAGES[name], random.Random(name)
    fields = {field: place for field, place in shape.fields.items() if place.kind != "zeros"}
    assert (codec.name, codec.size, codec.type) == (name, shape.size, shape.type)
    for _ in range(50):
        values = {
            field: dice.randbytes(place.size) if place.kind == "bytes" else dice.randrange(*LIMITS[place.kind])
            for field, place in fields.items()
        }
        data = wire.encode(name, **values)
        assert codec.pack(*values.values()) == data
        assert codec.unpack(data) == tuple(values.values())
        broken = bytearray(data)
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        for some in (bytes(broken), data[:-1], data + b"\0", b""):
            try:
                expected = tuple(wire.decode_as(name, some).values())
            except CorruptError:
                with pytest.raises(CorruptError):
                    codec.unpack(some)
            else:
                assert codec.unpack(some) == expected


def test_what_has_no_place_in_a_field_is_not_written() -> None:
    with pytest.raises(struct.error):
        Codec("CancelOrder").pack(0, 2**32, 1)
