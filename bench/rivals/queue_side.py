"""multiprocessing.Queue between two processes: one way, and there and back.

python queue_side.py one-way|round-trip BYTES COUNT
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.queues import Queue
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))
from samples import Checker, show


def write(queue: Queue[bytes], length: int, count: int) -> None:
    """Puts everything."""
    rest = bytes(length - 8)
    for number in range(count):
        queue.put(number.to_bytes(8, "little") + rest)


def answer(there: Queue[bytes], back: Queue[bytes], count: int) -> None:
    """Sends every message back."""
    for _ in range(count):
        back.put(there.get())


def one_way(length: int, count: int) -> None:
    """The rate at which messages arrive."""
    queue: Queue[bytes] = multiprocessing.Queue(4096)
    other = multiprocessing.Process(target=write, args=(queue, length, count))
    checker = Checker(length, count)
    other.start()
    while not checker.is_done:
        checker.see_bytes(queue.get())
    other.join()
    show("multiprocessing.Queue", "one-way", checker.times, checker.per_second())


def round_trip(length: int, count: int) -> None:
    """The time of one message there and back."""
    there: Queue[bytes] = multiprocessing.Queue()
    back: Queue[bytes] = multiprocessing.Queue()
    other = multiprocessing.Process(target=answer, args=(there, back, count))
    other.start()
    rest = bytes(length - 8)
    times, start = [], time.monotonic_ns()
    for number in range(count):
        message = number.to_bytes(8, "little") + rest
        before = time.monotonic_ns()
        there.put(message)
        if back.get() != message:
            raise SystemExit(f"message {number} came back wrong")
        times.append(time.monotonic_ns() - before)
    seconds = (time.monotonic_ns() - start) / 1e9
    other.join()
    show("multiprocessing.Queue", "round-trip", times[count // 5 :], count / seconds)


if __name__ == "__main__":
    shape, *numbers = sys.argv[1:]
    {"one-way": one_way, "round-trip": round_trip}[shape](*map(int, numbers))
