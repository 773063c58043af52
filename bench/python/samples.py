"""Samples: times in nanoseconds told by quantiles, messages that prove themselves; the same shapes as in bench/node."""

from __future__ import annotations

import json
import resource
import time
from typing import Any

import numpy as np
import numpy.typing as npt

MIX = np.uint64(0x9E3779B97F4A7C15)


def quantiles(times: npt.ArrayLike) -> dict[str, float]:
    """The quantiles of `times`, nanoseconds."""
    values = np.asarray(times, np.float64)
    parts = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    told = {name: round(float(np.quantile(values, part)), 2) for name, part in parts.items()}
    return {"count": len(values), **told}


def cpu_seconds() -> float:
    """Seconds of CPU of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def show(subject: str, what: str, times: npt.ArrayLike, per_second: float, **beside: Any) -> None:
    """Prints one sample as one line of JSON."""
    line = {"subject": subject, "what": what, "ns": quantiles(times), "per_second": round(per_second)}
    print(json.dumps({**line, "cpu_seconds": cpu_seconds(), **beside}), flush=True)


def rows(count: int, length: int) -> npt.NDArray[np.uint64]:
    """`count` messages of `length` bytes: a number, words of its own index, the number mixed."""
    return np.tile(np.arange(length // 8, dtype=np.uint64), (count, 1))


def stamp(messages: npt.NDArray[np.uint64], first: int) -> None:
    """Numbers the messages from `first` on."""
    numbers = np.arange(first, first + len(messages), dtype=np.uint64)
    messages[:, 0] = numbers
    messages[:, -1] = numbers ^ MIX


class Checker:
    """Checks arrays of messages in order, and notes the time of every stretch of them."""

    def __init__(self, length: int, total: int) -> None:
        self.next = 0
        self.times: list[float] = []
        self._length, self._total = length, total
        self._stretch = max(32, total // 64)
        self._start = self._from = self._counted = 0

    @property
    def is_done(self) -> bool:
        """Whether all have come."""
        return self.next >= self._total

    def see(self, messages: npt.NDArray[np.uint64]) -> None:
        """Checks the messages that came next; the first tenth of all warms up and is checked byte by byte."""
        right = rows(len(messages), self._length) if self.next < self._total // 10 else None
        numbers = np.arange(self.next, self.next + len(messages), dtype=np.uint64)
        if right is not None:
            stamp(right, self.next)
        is_right = (
            np.array_equal(messages, right)
            if right is not None
            else np.array_equal(messages[:, 0], numbers) and np.array_equal(messages[:, -1], numbers ^ MIX)
        )
        if not is_right:
            raise SystemExit(f"messages from {self.next} on arrived wrong")
        self._note(len(messages))

    def see_bytes(self, message: bytes) -> None:
        """Checks one message."""
        number = int.from_bytes(message[:8], "little")
        if number != self.next or len(message) != self._length:
            raise SystemExit(f"message {self.next} arrived wrong: {number}, {len(message)} bytes")
        self._note(1)

    def _note(self, count: int) -> None:
        self.next += count
        if self.next < self._total // 10:
            return
        now = time.monotonic_ns()
        if self._start == 0:
            self._start = self._from = now
            self._counted = self._first = self.next
        elif self.next - self._counted >= self._stretch or self.is_done:
            self.times.append((now - self._from) / (self.next - self._counted))
            self._from, self._counted = now, self.next

    def per_second(self) -> float:
        """Messages a second after warming up."""
        return (self._counted - self._first) / max(1e-9, (self._from - self._start) / 1e9)
