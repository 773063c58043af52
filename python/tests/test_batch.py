"""Batches: messages one by one, as headers, as arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tailrace
from tailrace import Region
from tailrace.batch import Batch


def batch_of(region: Region, payloads: list[bytes], type: int = 5) -> Batch:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        assert producer.write_batch(payloads, type=type) == len(payloads)
        return consumer.poll(len(payloads) or 1)


UNIFORM = [bytes([index]) * 24 for index in range(40)]
MIXED = [bytes([index]) * index for index in range(40)]
SAME_STRIDE = [bytes([index]) * (17 + index % 8) for index in range(40)]
SAME_SUM = [b"a" * 8, b"b" * 16, b"", b"d" * 8]
LONG = [b"x" * 3000, b"y" * 1025]
ZERO = [b""] * 7


@pytest.mark.parametrize("payloads", [UNIFORM, MIXED, SAME_STRIDE, SAME_SUM, LONG, ZERO, [b"one"], []])
def test_messages_and_headers_say_the_same(region: Region, payloads: list[bytes]) -> None:
    before = tailrace.now()
    batch = batch_of(region, payloads)
    after = tailrace.now()
    assert len(batch) == len(payloads)
    assert bool(batch) == bool(payloads)
    assert batch.payloads == payloads == [message.payload for message in batch]
    headers = batch.headers
    assert headers.dtype == tailrace.HEADER
    assert headers["length"].tolist() == [len(payload) for payload in payloads]
    for message, header in zip(batch, headers, strict=True):
        for name in tailrace.HEADER.names or ():
            assert getattr(message, name) == header[name], name
        assert before <= message.timestamp <= after
        assert (message.type, message.sender_pid, message.sender_runtime) == (5, os.getpid(), 2)
        assert (message.delivery_count, message.redelivered, message.flags) == (1, False, 0)
    with pytest.raises(ValueError, match="read-only"):
        headers["length"] = 0


def test_sequences_are_positions_of_first_slots_plus_one(region: Region) -> None:
    assert batch_of(region, [b"a", b"x" * 2500, b"b"]).headers["sequence"].tolist() == [1, 2, 5]


def test_text_and_json(region: Region) -> None:
    text, data = batch_of(region, ["größer".encode(), b'{"bid": [1, 2.5, null]}'])
    assert text.text() == "größer"
    assert data.json() == {"bid": [1, 2.5, None]}
    with pytest.raises(ValueError, match="Expecting value"):
        text.json()
    with pytest.raises(AttributeError):
        text.type = 3  # type: ignore[misc]


RECORD = np.dtype([("time", "<u8"), ("price", "<f8"), ("size", "<u4"), ("side", "S1"), ("rest", "V3")])


@pytest.mark.parametrize("dtype", [RECORD, "<u8", "<f8", "u1", "<M8[ns]", "S24", "S8", "<U2", "V24", "V6"])
def test_as_numpy(region: Region, dtype: Any) -> None:
    dtype = np.dtype(dtype)
    payloads = [np.random.default_rng(index).bytes(24) for index in range(40)]
    batch = batch_of(region, payloads)
    elements = 24 // dtype.itemsize
    shape = (40,) if elements == 1 else (40, elements)
    made = batch.as_numpy(dtype)
    assert (made.dtype, made.shape, made.tobytes()) == (dtype, shape, b"".join(payloads))
    out = np.zeros((50, *shape[1:]), dtype)
    filled = batch.as_numpy(dtype, out=out)
    assert np.shares_memory(filled, out)
    assert (filled.shape, filled.tobytes()) == (shape, b"".join(payloads))
    assert not np.any(out[40:].view("u1"))


def test_as_numpy_of_one_and_of_none(region: Region) -> None:
    assert batch_of(region, [b"12345678"]).as_numpy("S8").tolist() == [b"12345678"]
    empty = batch_of(region, [])
    assert empty.as_numpy(RECORD).shape == (0,)
    assert empty.as_numpy("u1", out=np.zeros((5, 8), "u1")).shape == (0, 8)
    assert empty.headers.shape == (0,)


@pytest.mark.parametrize(
    ("payloads", "sentence", "dtype", "out"),
    [
        (MIXED, "payloads are 0 to 39 bytes", "u1", None),
        (SAME_STRIDE, "payloads are 17 to 24 bytes", "u1", None),
        (SAME_SUM, "payloads are 0 to 16 bytes", "u1", None),
        (ZERO, "payloads are 0 bytes", "u1", None),
        (UNIFORM, "payloads are 24 bytes, and .*is 16", "<c16", None),
        (UNIFORM, "payloads are 24 bytes, and .*is 25", "S25", None),
        (UNIFORM, "object has no fixed bytes", object, None),
        (UNIFORM, "has no fixed bytes", "S", None),
        (UNIFORM, r"out is float32 of shape \(40, 3\); an array of float64 is needed", "<f8", np.zeros((40, 3), "<f4")),
        (UNIFORM, "payloads are 24 bytes, and a row of out has 32", "<f8", np.zeros((40, 4))),
        (UNIFORM, "out is list", "<f8", [0.0]),
        (UNIFORM, "out has room for 39 messages, and there are 40", "<f8", np.zeros((39, 3))),
        (UNIFORM, "out must be writable and contiguous", "<f8", np.zeros((80, 3))[::2]),
        (UNIFORM, "out must be writable and contiguous", "<f8", np.broadcast_to(np.zeros(3), (40, 3))),
    ],
)
def test_as_numpy_says_what_does_not_fit(
    region: Region, payloads: list[bytes], sentence: str, dtype: Any, out: Any
) -> None:
    batch = batch_of(region, payloads)
    with pytest.raises(tailrace.ArgumentError, match=f"as_numpy: .*{sentence}"):
        batch.as_numpy(dtype, out=out)


def test_a_batch_owns_its_bytes(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        kept: list[tuple[Batch, Any, Any]] = []
        for index in range(20):
            producer.write_batch([bytes([index]) * 16] * 3)
            batch = consumer.poll()
            kept.append((batch, batch.headers, index))
        for batch, headers, index in kept:
            assert batch.payloads == [bytes([index]) * 16] * 3
            assert headers["sequence"].tolist() == [index * 3 + 1, index * 3 + 2, index * 3 + 3]


HOLDERS: dict[str, Callable[[Batch], Any]] = {
    "batch": lambda batch: batch,
    "headers": lambda batch: batch.headers,
    "a view of headers": lambda batch: batch.headers["length"][:1],
    "an iterator": lambda batch: iter(batch),
    "nothing": lambda batch: None,
}


@pytest.mark.parametrize("what", HOLDERS)
def test_a_buffer_is_used_again_only_when_nobody_has_it(region: Region, what: str) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        producer.write(b"first message")
        batch = consumer.poll()
        address = batch._records.__array_interface__["data"][0]
        held = HOLDERS[what](batch)
        del batch
        producer.write(b"second message")
        second = consumer.poll()
        is_same = second._records.__array_interface__["data"][0] == address
        assert is_same == (what == "nothing")
        assert second.payloads == [b"second message"]
        if what == "an iterator":
            assert next(held).payload == b"first message"


def test_parts(region: Region) -> None:
    for payloads in (UNIFORM, MIXED):
        batch = batch_of(region, payloads)
        batch.lost = 4
        for start, end in ((0, 40), (0, 1), (3, 17), (39, 40), (40, 40)):
            part = batch.part(start, end)
            assert part.payloads == payloads[start:end]
            assert part.lost == (4 if start == 0 else 0)
