"""Processes that are killed, forked, or end without a word; and handles that nobody closes."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Start, said

import tailrace
from tailrace import Region


def participants(region: Region) -> int:
    return sum(member["is_alive"] for member in region.stats()["participants"])


def test_what_a_killed_taker_had_is_delivered_again(region: Region, start: Start) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as heir:
        producer.write_batch([b"%d" % index for index in range(10)])
        victim = start("""
consumer = region.open_consumer("orders", label="victim")
taken = consumer.take(6)
taken.release(2)
print(len(taken))
sys.stdin.read()
""")
        assert said(victim) == "6"
        assert heir.poll().payloads == [b"6", b"7", b"8", b"9"]
        assert not heir.poll(timeout=0.1)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        again: list[tailrace.Message] = []
        while len(again) < 4:
            again += heir.poll(timeout=30)
        assert [message.payload for message in again] == [b"2", b"3", b"4", b"5"]
        assert all(message.redelivered and message.delivery_count == 2 for message in again)
        assert region.channels()[0]["counters"]["redelivered"] == 4


def test_an_iteration_that_is_killed_loses_nothing(region: Region, start: Start) -> None:
    with region.open_producer("orders") as producer:
        producer.write_batch([b"%d" % index for index in range(20)])
        victim = start("""
for message in region.open_consumer("orders"):
    print(message.payload.decode())
    if message.payload == b"7":
        sys.stdin.read()
""")
        assert [said(victim) for _ in range(8)] == [str(index) for index in range(8)]
        victim.kill()
        victim.wait()
        with region.open_consumer("orders") as heir:
            again: list[bytes] = []
            while len(again) < 20:
                again += heir.poll(timeout=30).payloads
            assert again == [b"%d" % index for index in range(20)]


def test_writers_killed_at_random_leave_no_hole(region: Region, start: Start) -> None:
    read: list[tuple[int, int]] = []
    with region.open_consumer("orders") as consumer:
        for turn in range(5):
            writer = start(
                """
import struct
producer = region.open_producer("orders")
print("writing")
index, turn = 0, int(sys.argv[1])
while True:
    index += producer.write_batch([struct.pack("<II", turn, index + more) * 100 for more in range(5)])
""",
                str(turn),
            )
            assert said(writer) == "writing"
            begun = time.monotonic()
            while time.monotonic() - begun < (0.05 if any(number == turn for number, _ in read) else 30):
                for message in consumer.poll(timeout=0.01):
                    pairs = np.frombuffer(message.payload, "<u4").reshape(100, 2)
                    assert (pairs == pairs[0]).all(), "torn"
                    read.append((int(pairs[0, 0]), int(pairs[0, 1])))
            writer.kill()
            writer.wait()
        while batch := consumer.poll(timeout=0.3):
            read += [(int(pair[0]), int(pair[1])) for pair in batch.as_numpy("<u4")[:, :2]]
        with region.open_producer("orders") as producer:
            producer.write(b"after all")
            assert consumer.poll(timeout=30).payloads[-1] == b"after all"
    for turn in range(5):
        indices = [index for number, index in read if number == turn]
        assert indices == list(range(len(indices)))
        assert indices


def test_a_child_of_fork_is_told_so(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        with region.open_consumer("ticks") as busy:
            waiter = threading.Thread(target=lambda: busy.poll(timeout=30))
            waiter.start()
            time.sleep(0.05)
            producer.write(b"before")
            child = os.fork()
            if child == 0:
                os._exit(
                    in_the_child(
                        region,
                        [
                            lambda: producer.write(b"x"),
                            lambda: producer.send(b"x", timeout=1),
                            lambda: consumer.poll(timeout=1),
                            lambda: consumer.take(),
                            lambda: busy.poll(),
                            lambda: region.channels(),
                            lambda: region.open_producer("orders"),
                        ],
                    )
                )
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            with region.open_producer("ticks") as other:
                other.write(b"wakes")
            waiter.join(30)
            assert not waiter.is_alive()
        assert sorted(consumer.poll().payloads) == [b"before", b"from the child"]
        assert producer.write(b"after")


def in_the_child(region: Region, calls: list[Callable[[], object]]) -> int:
    """0 when every call says FORKED and a region that is opened anew works."""
    for number, call in enumerate(calls, 1):
        try:
            call()
        except tailrace.ForkedError:
            continue
        except BaseException:
            return number
        return 100 + number
    try:
        region.close()
        with Region.open(region.path) as own, own.open_producer("orders") as producer:
            return 0 if producer.write(b"from the child") else 200
    except BaseException:
        return 201


def test_a_child_that_ends_in_peace_leaves_its_parents_handles(region: Region, start: Start) -> None:
    parent = start("""
import os
producer, consumer = region.open_producer("orders"), region.open_consumer("orders")
consumer.poll()
child = os.fork()
if child == 0:
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(producer.write(b"still mine"), consumer.poll().payloads)
""")
    assert said(parent) == "0"
    assert said(parent) == "True [b'still mine']"
    assert parent.wait(30) == 0


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise RuntimeError", "del producer, consumer, region"])
def test_handles_close_with_the_program(region: Region, start: Start, ending: str) -> None:
    process = start(f"""
producer, consumer = region.open_producer("orders"), region.open_consumer("ticks")
producer.write(b"x")
print("open")
sys.stdin.readline()
{ending}
""")
    assert said(process) == "open"
    assert participants(region) == 2
    process.communicate("\n", timeout=30)
    assert participants(region) == 0


def test_handles_close_when_nobody_has_them(region: Region) -> None:
    producer, consumer = region.open_producer("orders"), region.open_consumer("orders")
    producer.write_batch([b"a", b"b"])
    taken = consumer.take(1)
    assert participants(region) == 2
    del producer
    assert participants(region) == 1
    del consumer
    assert participants(region) == 1, "a claim keeps its consumer"
    del taken
    assert participants(region) == 0
    iterator = iter(region.open_consumer("orders"))
    assert participants(region) == 1
    del iterator
    gc.collect()
    assert participants(region) == 0


def test_a_thousand_times_attached_and_detached(region: Region, path: Path) -> None:
    def once() -> None:
        with (
            Region.open(path) as same,
            same.open_producer("orders") as producer,
            same.open_consumer("orders") as consumer,
        ):
            producer.write(b"x")
            assert len(consumer.poll()) == 1

    def counts() -> tuple[int, int]:
        with open("/proc/self/maps") as maps:
            mapped = sum(str(path) in line for line in maps)
        return len(os.listdir("/proc/self/fd")), mapped

    once()
    gc.collect()
    before = counts()
    for _ in range(1000):
        once()
    gc.collect()
    assert counts() == before
    assert participants(region) == 0


def test_a_stopped_process_keeps_what_it_has(region: Region, start: Start) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as other:
        producer.write_batch([b"a", b"b"])
        holder = start("""
taken = region.open_consumer("orders").take(1)
print("has", taken.payloads)
sys.stdin.readline()
print("released", taken.release())
""")
        assert said(holder) == "has [b'a']"
        holder.send_signal(signal.SIGSTOP)
        assert other.poll().payloads == [b"b"]
        assert not other.poll(timeout=0.5)
        holder.send_signal(signal.SIGCONT)
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert said(holder) == "released 1"
        assert not other.poll(timeout=0.1)
