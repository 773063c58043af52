"""Waiting: time-outs, Ctrl-C, other threads meanwhile, and closing under somebody who waits."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Start, said

import tailrace
from tailrace import Region


def test_a_poll_waits_for_the_first_message(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        threading.Timer(0.05, lambda: producer.write_batch([b"a", b"b"])).start()
        payloads = consumer.poll(timeout=30).payloads
        while len(payloads) < 2:
            payloads += consumer.poll(timeout=30).payloads
        assert payloads == [b"a", b"b"]
        threading.Timer(0.05, lambda: producer.write(b"c")).start()
        with consumer.take(timeout=None) as taken:
            assert taken.payloads == [b"c"]


@pytest.mark.parametrize("channel", ["orders", "ticks"])
def test_a_poll_gives_up(region: Region, channel: str) -> None:
    with region.open_consumer(channel) as consumer:
        for timeout in (0.001, 0.12):
            before = time.monotonic()
            assert not consumer.poll(timeout=timeout)
            assert not consumer.wait(timeout)
            assert 2 * timeout <= time.monotonic() - before < 2 * timeout + 20
        for wrong in (-0.1, float("inf"), float("nan")):
            with pytest.raises(tailrace.ArgumentError, match="give seconds"):
                consumer.poll(timeout=wrong)


@pytest.mark.parametrize("channel", ["orders", "ticks"])
def test_other_threads_run_while_one_waits(region: Region, channel: str) -> None:
    with region.open_producer(channel) as producer, region.open_consumer(channel) as consumer:
        got: list[bytes] = []
        waiter = threading.Thread(target=lambda: got.extend(consumer.poll(timeout=60).payloads))
        waiter.start()
        steps = 0
        end = time.monotonic() + 0.3
        while steps < 10_000 or time.monotonic() < end:
            steps += 1
        assert waiter.is_alive()
        producer.write(b"enough")
        waiter.join(30)
        assert got == [b"enough"]


def test_a_waiter_costs_next_to_nothing(region: Region) -> None:
    with region.open_consumer("orders") as consumer:
        consumer.poll(timeout=0.1)
        before = time.process_time()
        assert not consumer.poll(timeout=1)
        assert time.process_time() - before < 0.1


WAITS = {
    "for": "for message in consumer: pass",
    "batches": "for batch in consumer.batches(): pass",
    "poll": "consumer.poll(timeout=None)",
    "take": "consumer.take(timeout=60)",
    "wait": "consumer.wait()",
    "send": "producer.send(b'no room')",
}


@pytest.mark.parametrize("how", WAITS)
def test_control_c_ends_every_wait(region: Region, start: Start, how: str) -> None:
    process = start(f"""
consumer = region.open_consumer("ticks" if {how!r} == "for" else "orders")
producer = region.open_producer("orders")
if {how!r} == "send":
    producer.write_batch([b"x"] * 64)
try:
    print("waiting")
    {WAITS[how]}
except KeyboardInterrupt:
    print("interrupted", consumer.closed, producer.closed)
""")
    assert said(process) == "waiting"
    time.sleep(0.2)
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert said(process) == "interrupted False False"
    assert time.monotonic() - before < 20
    assert process.wait(30) == 0


def test_control_c_in_the_middle_of_messages_repeats_none(region: Region, start: Start) -> None:
    """An interrupt may fall between a message's arrival in the loop and the first line there; so each may cost one."""
    process = start("""
got = []
print("ready")
with region.open_consumer("orders") as consumer:
    while not got or got[-1] >= 0:
        try:
            for message in consumer:
                got.append(int(message.payload))
                if got[-1] < 0:
                    break
        except KeyboardInterrupt:
            print("interrupted")
got.pop()
assert got == sorted(set(got)), "each once, in order"
print(len(got))
""")
    assert said(process) == "ready"
    interrupts = 0
    with region.open_producer("orders") as producer:
        for index in range(2000):
            producer.send(b"%d" % index, timeout=30)
            if index % 10 == 0:
                time.sleep(0.001)
            if index % 400 == 399:
                process.send_signal(signal.SIGINT)
                interrupts += 1
                assert said(process) == "interrupted"
        producer.send(b"-1", timeout=30)
    assert 2000 - interrupts <= int(said(process)) <= 2000


@pytest.mark.parametrize("how", ["poll", "for", "send"])
def test_closing_wakes_who_waits(region: Region, how: str) -> None:
    consumer, producer = region.open_consumer("orders"), region.open_producer("orders")
    producer.write_batch([b"x"] * (64 if how == "send" else 0))
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            if how == "poll":
                consumer.poll(timeout=30)
            elif how == "for":
                list(consumer)
            else:
                producer.send(b"no room")
        except tailrace.TailraceError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    before = time.monotonic()
    consumer.close()
    producer.close()
    thread.join(30)
    assert time.monotonic() - before < 0.5
    assert [type(error) for error in errors] == [tailrace.ClosedError]
    assert region.stats()["participants"] == []


@pytest.mark.parametrize("second", ["poll", "take", "depth"])
def test_a_second_user_is_told_so(region: Region, second: str) -> None:
    """Which of the two is told is chance: between two slices of its wait the first does not have the consumer."""
    told: list[str] = []
    with region.open_consumer("orders") as consumer:

        def use(call: Callable[[], object]) -> None:
            try:
                while not told:
                    call()
            except tailrace.BusyError as error:
                told.append(str(error))

        calls: dict[str, Callable[[], object]] = {
            "poll": consumer.poll,
            "take": consumer.take,
            "depth": lambda: consumer.depth,
        }
        threads = [
            threading.Thread(target=use, args=(lambda: consumer.poll(timeout=0.2),)),
            threading.Thread(target=use, args=(calls[second],)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert "another thread is using this handle" in told[0]
        assert not consumer.poll()


def test_threads_with_handles_of_their_own(region: Region) -> None:
    got: list[bytes] = []

    def write(number: int) -> None:
        with region.open_producer("orders") as producer:
            for index in range(500):
                producer.send(b"%d.%d" % (number, index), timeout=30)

    def read() -> None:
        with region.open_consumer("orders") as consumer:
            while batch := consumer.take(50, timeout=2):
                got.extend(batch.payloads)
                batch.release()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(got) == sorted(b"%d.%d" % (number, index) for number in range(3) for index in range(500))


def test_one_consumer_polled_by_two_threads_in_turns(region: Region) -> None:
    """Calls that never wait cannot meet, so this works; each batch is whole, and none shares its buffer."""
    kept: list[tailrace.Batch] = []
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:

        def read() -> None:
            for _ in range(2000):
                batch = consumer.poll(3)
                if batch:
                    kept.append(batch)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        written = 0
        while any(thread.is_alive() for thread in threads):
            written += producer.write(b"%d" % written)
        kept.append(consumer.poll())
    payloads = sorted(int(payload) for batch in kept for payload in batch.payloads)
    assert payloads == list(range(written))


def test_a_wait_sees_that_the_region_is_gone(region: Region, start: Start) -> None:
    process: subprocess.Popen[str] = start("""
with region.open_consumer("orders") as consumer:
    print("waiting")
    try:
        consumer.poll(timeout=30)
    except tailrace.GoneError as error:
        print(error.code)
""")
    assert said(process) == "waiting"
    time.sleep(0.05)
    Region.remove(region.path)
    assert said(process) == "ERR_GONE"
    assert not os.path.exists(region.path)


def test_a_wait_in_a_region_mapped_for_reading(region: Region, path: Path) -> None:
    with (
        region.open_producer("ticks") as producer,
        Region.open(path, read_only=True) as looking,
        looking.open_consumer("ticks") as consumer,
    ):
        assert not consumer.poll(timeout=0.05)
        threading.Timer(0.05, lambda: producer.write(b"seen")).start()
        assert consumer.poll(timeout=30).payloads == [b"seen"]
