"""Analytics: executions of the stream `market` in numpy: volume, VWAP, range. One of the processes of the exchange.

It follows the stream in batches, and reports after each what it has seen (`words.ts` has the lines), one line of JSON
on standard output. Standard input is the leash. A process that takes the place of a killed one goes on behind the last
message that its parent knows to be seen; what is not in the ring any more it finds in the log.

    executions.py REGION AFTER [KERNEL]     AFTER: the last market message that was seen; 0: none
                                            KERNEL: a built filter over executions, whose hits are counted
"""

import json
import os
import select
import signal
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import tailrace
from tailrace.wire import DTYPES

BATCH_MESSAGES = 4096
PATIENCE_SECONDS = 0.05
EXECUTED = ord("E")
SEQUENCE = slice(8, 16)
EXECUTION = DTYPES["Executed"]

Rows = npt.NDArray[Any]


class Day:
    """Sums over all executions that were seen."""

    def __init__(self) -> None:
        self.trades = self.volume = self.value = 0
        self.low = self.high = 0

    def add(self, rows: Rows) -> None:
        """Takes executions into account."""
        if len(rows) == 0:
            return
        quantity = rows["quantity"].astype(np.int64)
        price = rows["price"]
        low, high = int(price.min()), int(price.max())
        self.low = low if self.trades == 0 else min(self.low, low)
        self.high = max(self.high, high)
        self.trades += len(rows)
        self.volume += int(quantity.sum())
        self.value += int((quantity * price).sum())

    def words(self) -> dict[str, Any]:
        """For the table, all but what a kernel has kept."""
        vwap = self.value / self.volume if self.volume else 0.0
        return {"trades": self.trades, "volume": self.volume, "vwap": vwap, "low": self.low, "high": self.high}


class Filter:
    """A kernel over executions. One that does what it may not is ended, and its hits count no further."""

    def __init__(self, path: str | None) -> None:
        self.kernel = tailrace.Kernel(path, capacity=BATCH_MESSAGES) if path else None

    def run(self, executions: bytes) -> None:
        """Runs it over executions, one after the other."""
        if self.kernel is None or self.kernel.ended is not None:
            return
        try:
            self.kernel.run(np.frombuffer(executions, self.kernel.record))
        except tailrace.KernelError as error:
            print(f"{error}", file=sys.stderr, flush=True)

    def words(self) -> dict[str, Any]:
        """For the table."""
        return {} if self.kernel is None else {"kept": self.kernel.counters.kept}


def report(kind: str, **fields: Any) -> None:
    """Tells the parent, by one system call."""
    line = json.dumps({"report": kind, **fields}, separators=(",", ":")) + "\n"
    sys.stdout.buffer.write(line.encode())
    sys.stdout.buffer.flush()


def is_let_go() -> bool:
    """Whether the parent has let go of standard input."""
    readable, _, _ = select.select([0], [], [], 0)
    return bool(readable) and os.read(0, 64) == b""


def delays(stamps: list[int], since_ns: int, now_ns: int) -> list[list[int]]:
    """How many messages took how many microseconds; what was caught up with says nothing of the way."""
    fresh = np.array([stamp for stamp in stamps if stamp >= since_ns], dtype=np.int64)
    times, counts = np.unique(np.maximum(0, now_ns - fresh) // 1000, return_counts=True)
    return [[int(time), int(count)] for time, count in zip(times, counts, strict=True)]


def follow(path: str, after: int, kernel: str | None) -> None:
    """Reads until the leash ends."""
    day, chosen = Day(), Filter(kernel)
    with (
        tailrace.Region.open(path) as region,
        region.open_consumer("market", from_=after + 1, label="analytics") as consumer,
    ):
        report("ready")
        since_ns = tailrace.now()
        while not is_let_go():
            batch = consumer.poll(BATCH_MESSAGES, timeout=PATIENCE_SECONDS)
            if len(batch) == 0:
                continue
            now_ns = tailrace.now()
            first, gaps, duplicates = after + 1, 0, 0
            stamps, executions = [], []
            # A message's own number is at most that of its place in the log: what comes first may be known already.
            for message in batch:
                sequence = int.from_bytes(message.payload[SEQUENCE], "little")
                if sequence <= after:
                    duplicates += sequence >= first
                    continue
                gaps += sequence - after - 1
                after = sequence
                stamps.append(message.timestamp)
                if message.payload[0] == EXECUTED:
                    executions.append(message.payload)
            executed = b"".join(executions)
            day.add(np.frombuffer(executed, EXECUTION))
            chosen.run(executed)
            latencies = delays(stamps, since_ns, now_ns)
            report("seen", to=after, count=len(stamps), gaps=gaps, duplicates=duplicates, latencies=latencies)
            report("day", **day.words(), **chosen.words())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follow(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
