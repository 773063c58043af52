"""Side: one end of a measurement between two processes, in Python over tailrace.

    python side.py read|write|pong|ping REGION BYTES BATCH COUNT

`read` and `pong` make the region and say `ready`; the other end, in whatever language, opens it then. `read` and `ping`
print the sample. Batches come out as arrays, single messages as bytes.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import tailrace
from samples import Checker, rows, show, stamp

CAPACITY = 4096


def make(path: str) -> tailrace.Region:
    """The region with its two channels."""
    region = tailrace.Region.create(path)
    for name in ("there", "back"):
        region.create_channel(name, capacity=CAPACITY)
    return region


def read(path: str, length: int, batch: int, count: int) -> None:
    """Reads everything, and tells how fast it came."""
    consumer = make(path).open_consumer("there")
    checker = Checker(length, count)
    print("ready", flush=True)
    if batch == 1:
        for message in consumer:
            checker.see_bytes(message.payload)
            if checker.is_done:
                break
    else:
        for some in consumer.batches(max(batch, 32)):
            checker.see(some.as_numpy(np.uint64))
            if checker.is_done:
                break
    show("python", "one-way", checker.times, checker.per_second())


def write(path: str, length: int, batch: int, count: int) -> None:
    """Writes everything, as fast as there is room."""
    producer = tailrace.Region.open(path).open_producer("there")
    messages = rows(batch, length)
    for first in range(0, count, batch):
        some = messages[: count - first]
        stamp(some, first)
        if batch == 1:
            payload = some.tobytes()
            while not producer.write(payload):
                pass
            continue
        written = 0
        while written < len(some):
            written += producer.write_batch(some[written:])


def one(consumer: tailrace.Consumer, number: int) -> None:
    """Polls until the next message comes, and checks it."""
    while True:
        for message in consumer.poll(1):
            if int.from_bytes(message.payload[:8], "little") != number:
                raise SystemExit(f"message {number} arrived wrong")
            return


def ping(path: str, length: int, _batch: int, count: int) -> None:
    """Sends messages and waits for each of them to come back."""
    region = tailrace.Region.open(path)
    producer, consumer = region.open_producer("there"), region.open_consumer("back")
    message = rows(1, length)
    times, start = [], time.monotonic_ns()
    for number in range(count):
        stamp(message, number)
        payload = message.tobytes()
        before = time.monotonic_ns()
        producer.write(payload)
        one(consumer, number)
        times.append(time.monotonic_ns() - before)
    show("python", "round-trip", times[count // 5 :], count / ((time.monotonic_ns() - start) / 1e9))


def pong(path: str, length: int, _batch: int, count: int) -> None:
    """Sends every message back."""
    region = make(path)
    consumer, producer = region.open_consumer("there"), region.open_producer("back")
    message = rows(1, length)
    print("ready", flush=True)
    for number in range(count):
        one(consumer, number)
        stamp(message, number)
        producer.write(message.tobytes())


if __name__ == "__main__":
    role, path, *numbers = sys.argv[1:]
    os.sched_setaffinity(0, {0 if role in ("read", "pong") else 1})
    {"read": read, "write": write, "ping": ping, "pong": pong}[role](path, *map(int, numbers))
