"""Producers: every kind of payload, full channels, sending."""

from __future__ import annotations

import array
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tailrace
from tailrace import Region


def test_payloads_of_every_kind(region: Region) -> None:
    payloads: list[Any] = [
        b"",
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"xmemoryviewx")[1:-1],
        memoryview(b"a_b_c")[::2],
        array.array("H", [1, 2]),
        np.arange(6, dtype="<u2").reshape(2, 3),
        np.arange(6, dtype="<u2")[::2],
        np.zeros(2, "<f8"),
        b"x" * 1024,
        b"y" * 1025,
        bytearray(b"z" * 3000),
    ]
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        assert all(producer.write(payload, type=index) for index, payload in enumerate(payloads))
        wanted = [memoryview(payload).tobytes() for payload in payloads]
        assert consumer.poll().payloads == wanted
        assert producer.write_batch(payloads, type=9) == len(payloads)
        assert consumer.poll().payloads == wanted
        assert producer.write_batch(iter([b"a", b"b"])) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, 1, 255, 256, 2**31, 2**32 - 1])
def test_types(region: Region, number: int) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        assert producer.write(b"one", type=number)
        assert producer.write_batch([b"two"], type=number) == 1
        producer.send(b"three", type=number)
        assert [message.type for message in consumer.poll()] == [number] * 3


def test_rows(region: Region) -> None:
    rows = np.arange(32, dtype="<u4").reshape(8, 4)
    points = np.zeros(3, [("x", "<f8"), ("y", "<u2")])
    points["y"] = [1, 2, 3]
    wide = np.arange(64, dtype=np.uint8).reshape(4, 16)
    given: list[tuple[Any, list[bytes]]] = [
        (rows, [row.tobytes() for row in rows]),
        (rows[::2], [row.tobytes() for row in rows[::2]]),
        (rows[:, 1:3], [row.tobytes() for row in rows[:, 1:3]]),
        (rows[::-1], [row.tobytes() for row in rows[::-1]]),
        (rows[:, ::2], [row.tobytes() for row in rows[:, ::2]]),
        (rows.T, [row.tobytes() for row in rows.T]),
        (points, [point.tobytes() for point in points]),
        (points[::2], [point.tobytes() for point in points[::2]]),
        (np.broadcast_to(wide[0], (3, 16)), [wide[0].tobytes()] * 3),
        (rows[:0], []),
        (rows[:, :0], [b""] * 8),
        (
            np.array([["2020-01-01", "2021-01-01"]], "M8[D]"),
            [np.array(["2020-01-01", "2021-01-01"], "M8[D]").tobytes()],
        ),
    ]
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        for array_given, wanted in given:
            assert producer.write_batch(array_given, type=3) == len(wanted)
            assert consumer.poll().payloads == wanted


def test_full_is_an_answer(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        assert producer.last_sequence == 0
        assert producer.write_batch([b"x"] * 100) == 64
        assert producer.last_sequence == 64
        assert producer.write(b"x") is False
        assert producer.write_batch([b"x"]) == 0
        assert producer.write_batch(np.zeros((2, 2))) == 0
        assert len(consumer.poll(10)) == 10
        assert producer.write_batch([b"x" * 3000] * 10) == 3
        assert producer.write_batch([]) == 0


def test_send_waits_for_room_and_returns_the_sequence(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        assert producer.send(b"first", timeout=0) == 1
        producer.write_batch([b"x"] * 63)
        before = time.monotonic()
        with pytest.raises(tailrace.TimedOutError, match="the channel stayed full") as caught:
            producer.send(b"no room", timeout=0.12)
        assert caught.value.code == "ERR_TIMED_OUT"
        assert 0.1 < time.monotonic() - before < 20
        threading.Timer(0.05, lambda: consumer.poll(1)).start()
        assert producer.send(b"room now", timeout=30) == 65


def test_too_large(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        largest = 16 * 1024
        assert producer.write(b"x" * largest)
        calls: tuple[Callable[[], object], ...] = (
            lambda: producer.write(b"x" * (largest + 1)),
            lambda: producer.write_batch([b"small", b"x" * (largest + 1)]),
            lambda: producer.send(b"x" * (largest + 1)),
        )
        for call in calls:
            with pytest.raises(tailrace.TooLargeError):
                call()
        assert consumer.depth == 16


WRONG: list[tuple[str, Any]] = [
    ("write: str has no bytes; .*encode text first", lambda producer: producer.write("text")),
    ("write: NoneType has no bytes", lambda producer: producer.write(None)),
    ("write: int has no bytes", lambda producer: producer.write(140_000_000)),
    ("write: list has no bytes", lambda producer: producer.write([1, 2])),
    ("type is -1; it must be a number from 0 to 4294967295", lambda producer: producer.write(b"", type=-1)),
    ("type is 4294967296", lambda producer: producer.write(b"", type=2**32)),
    ("type is 'a'", lambda producer: producer.write(b"", type="a")),
    ("type is 1.5", lambda producer: producer.write_batch([b""], type=1.5)),
    ("write_batch: one payload is not a batch", lambda producer: producer.write_batch(b"one")),
    ("write_batch: one payload is not a batch", lambda producer: producer.write_batch("one")),
    ("write_batch: int has no bytes", lambda producer: producer.write_batch([140_000_000])),
    ("write_batch: NoneType has no bytes", lambda producer: producer.write_batch([b"", None])),
    ("write_batch: str has no bytes", lambda producer: producer.write_batch(["text"])),
    (r"write_batch: an array of float64 and shape \(3,\)", lambda producer: producer.write_batch(np.zeros(3))),
    (r"write_batch: an array of object", lambda producer: producer.write_batch(np.zeros((3, 3), object))),
    (r"shape \(2, 2, 2\)", lambda producer: producer.write_batch(np.zeros((2, 2, 2)))),
    ("send: dict has no bytes", lambda producer: producer.send({})),
    ("timeout is -1; give seconds", lambda producer: producer.send(b"", timeout=-1)),
    ("timeout is nan", lambda producer: producer.send(b"", timeout=float("nan"))),
    ("timeout is 'soon'", lambda producer: producer.send(b"", timeout="soon")),
]


@pytest.mark.parametrize(("sentence", "call"), WRONG)
def test_wrong_arguments_get_a_sentence(region: Region, sentence: str, call: Any) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        with pytest.raises(tailrace.ArgumentError, match=sentence):
            call(producer)
        assert consumer.depth == 0


def test_a_payload_that_lies_about_its_length(region: Region) -> None:
    class Liar(bytes):
        def __len__(self) -> int:
            return 3

    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        assert producer.write_batch([Liar(b"abcdef"), b"g"]) == 2
        assert consumer.poll().payloads == [b"abcdef", b"g"]


def test_closed(region: Region) -> None:
    producer = region.open_producer("orders")
    assert repr(producer) == "<Producer of 'orders'>"
    producer.close()
    producer.close()
    assert producer.closed
    calls: tuple[Callable[[], object], ...] = (
        lambda: producer.write(b""),
        lambda: producer.write_batch([b""]),
        lambda: producer.send(b""),
    )
    for call in calls:
        with pytest.raises(tailrace.ClosedError):
            call()
    with pytest.raises(tailrace.ClosedError):
        _ = producer.last_sequence


def test_a_stale_handle_is_nobody_elses(region: Region) -> None:
    first = region.open_producer("orders")
    first.close()
    others = [region.open_producer("ticks") for _ in range(20)]
    with pytest.raises(tailrace.ClosedError):
        first.write(b"for the old channel")
    for other in others:
        assert other.last_sequence == 0
        other.close()


def test_a_region_that_is_gone(region: Region) -> None:
    with region.open_producer("orders") as producer:
        producer.write_batch([b"x"] * 64)
        Region.remove(region.path)
        with pytest.raises(tailrace.GoneError):
            producer.send(b"y", timeout=30)
