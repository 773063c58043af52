"""Calls: what single calls of the Python face cost, each beside the floor that it is judged by, in turns.

python calls.py TURNS PROBE
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np
import tailrace
from samples import cpu_seconds, quantiles, rows, stamp

SINGLES = 512
BATCH = 4096
LENGTH = 64


class Empty:
    """A method with nothing in it but a call of nothing, of the signature of `tr_write`."""

    def __init__(self, probe: str) -> None:
        self._write = ctypes.CDLL(probe).probe_empty_write
        self._write.argtypes = [ctypes.c_int64, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint32]
        self._write.restype = ctypes.c_int64
        self._handle = 1

    def write(self, payload: bytes, type: int = 0) -> int:
        """Nothing."""
        return self._write(self._handle, payload, len(payload), type)


Turns = list[tuple[float, float]]


def timed(work: Callable[[], object], count: int) -> float:
    """Nanoseconds for each of `count`."""
    before = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - before) / count


def judge(what: str, floor: str, turns: Turns) -> None:
    """Prints what the later three quarters of the turns took."""
    told = turns[len(turns) // 4 :]
    line = {
        "subject": what,
        "what": "call",
        "ns": quantiles([subject for subject, _ in told]),
        "floor": floor,
        "floor_ns": quantiles([least for _, least in told]),
        "ratios": [subject / least for subject, least in told],
    }
    print(json.dumps(line), flush=True)


def singles(region: tailrace.Region, empty: Empty, turns: int) -> Turns:
    """`write` of one message, beside the empty call."""
    region.create_channel("singles", capacity=1024)
    producer, consumer = region.open_producer("singles"), region.open_consumer("singles")
    payload = bytes(range(LENGTH))

    def write_all() -> None:
        write = producer.write
        for _ in range(SINGLES):
            write(payload)

    def write_nothing() -> None:
        write = empty.write
        for _ in range(SINGLES):
            write(payload)

    kept: Turns = []
    for _ in range(turns):
        least = timed(write_nothing, SINGLES)
        kept.append((timed(write_all, SINGLES), least))
        seen = [message.payload for message in consumer.poll(SINGLES)]
        if seen != [payload] * SINGLES:
            raise SystemExit("write: messages arrived wrong")
    return kept


def batches(region: tailrace.Region, turns: int) -> tuple[Turns, Turns]:
    """`write_batch` and `poll` with `as_numpy` of 4,096 messages, beside a plain copy of them."""
    region.create_channel("batches", capacity=2 * BATCH)
    producer, consumer = region.open_producer("batches"), region.open_consumer("batches")
    messages = rows(BATCH, LENGTH)
    copied, received = np.zeros_like(messages), np.zeros_like(messages)
    writes: Turns = []
    polls: Turns = []

    def write() -> None:
        if producer.write_batch(messages) != BATCH:
            raise SystemExit("write_batch: no room")

    def poll() -> None:
        consumer.poll(BATCH).as_numpy(np.uint64, out=received)

    for turn in range(turns):
        stamp(messages, turn * BATCH)
        least = timed(lambda: np.copyto(copied, messages), BATCH)
        writes.append((timed(write, BATCH), least))
        polls.append((timed(poll, BATCH), least))
        if not np.array_equal(received, messages):
            raise SystemExit("poll: messages arrived wrong")
    return writes, polls


def main(turns: int, probe: str) -> None:
    path = f"/dev/shm/bench-python-calls-{os.getpid()}"
    with tailrace.Region.create(path) as region:
        try:
            judge("write", "empty ctypes call", singles(region, Empty(probe), turns))
            writes, polls = batches(region, turns)
            judge("write_batch", "numpy.copyto", writes)
            judge("poll + as_numpy", "numpy.copyto", polls)
        finally:
            tailrace.Region.remove(path)
    print(json.dumps({"subject": "calls", "what": "cpu", "cpu_seconds": cpu_seconds()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
