"""Analytics: volume, VWAP and imbalance per interval, in numpy. One of the pipeline's processes.

It follows the stream `orders` in batches; what it finds out about each interval of write times goes to the stream
`signals` (`signal.ts` has the bytes). After each batch it reports to the parent what it can testify (`report.ts`,
`witness.ts`), one line of JSON on standard output. Standard input is the leash: when it ends, the open interval is
written and the process leaves.

A signal is written when the records that it speaks of are on disk: it must not speak of records that a power failure
can take away. A process that takes the place of a killed one goes on behind the last record of the last signal, which
may be in the ring or the log. So each record is in exactly one signal, however often the process is killed.
"""

import json
import os
import select
import signal
import struct
import sys
from collections import deque
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
import tailrace

RECORD = np.dtype(
    [
        ("time_ns", "<u8"),
        ("order_id", "<u8"),
        ("price", "<i8"),
        ("size", "<u4"),
        ("type", "u1"),
        ("side", "i1"),
        ("lap", "<u2"),
        ("run", "<u4"),
        ("counter", "<u4"),
    ]
)
SIGNAL = struct.Struct("<5Q2I2d")
LAST_POSITION = struct.Struct("<Q")
LAST_POSITION_AT = 24
SIGNAL_TYPE = 2
REDELIVERED = 8
ADD, EXECUTE, HIDDEN, CROSS, HALT = 1, 4, 5, 6, 7
LAP_STRIDE = 2**36
BLOCK_RECORDS = 4096
BATCH_RECORDS = 4096
INTERVAL_NS = 20_000_000
PATIENCE_SECONDS = 0.05
LOOK_BACK = 64
LEAVE_SECONDS = 3.0
WORD = 0xFFFFFFFF
FACTORS = np.array([pow(0x9E3779B1, power, 2**32) for power in range(1, 11)], dtype=np.uint32)

Rows = npt.NDArray[Any]
Positions = npt.NDArray[np.int64]


class Witness:
    """What one subscription can testify about the records that it has read; the twin of `witness.ts`."""

    def __init__(self, cursor: int) -> None:
        self.cursor = cursor
        self.run = -1
        self.base = 0
        self.counter = 0
        self.last: tuple[int, int] | None = None
        self.block: tuple[int, int, int] | None = None

    def testify(
        self, positions: npt.NDArray[np.int64], is_flagged: npt.NDArray[np.bool_], rows: Rows
    ) -> dict[str, Any]:
        """What there is to say about one batch."""
        start = self.cursor
        highest = np.maximum.accumulate(np.concatenate(([start - 1], positions)))
        is_new = positions > highest[:-1]
        duplicates = int(np.count_nonzero(~is_new & ~is_flagged))
        positions, rows = positions[is_new], rows[is_new]
        before = np.concatenate(([start], positions[:-1] + 1))
        holes = np.flatnonzero(positions > before)
        gaps = [[int(before[hole]), int(positions[hole])] for hole in holes]
        torn = 0
        blocks: list[list[int]] = []
        if len(rows) > 0:
            self.cursor = int(positions[-1]) + 1
            torn = int(np.count_nonzero(~self._are_whole(positions, rows)))
            blocks = self._sum(rows)
        return {
            "from": start,
            "to": self.cursor,
            "count": len(rows),
            "gaps": gaps,
            "torn": torn,
            "duplicates": duplicates,
            "blocks": blocks,
        }

    def _are_whole(self, positions: Positions, rows: Rows) -> npt.NDArray[np.bool_]:
        kind, side, lap, times = rows["type"], rows["side"], rows["lap"], rows["time_ns"]
        is_whole: npt.NDArray[np.bool_] = (kind >= ADD) & (kind <= HALT) & (np.abs(side) == 1)
        is_whole &= (kind == HALT) | ((rows["size"] > 0) & (rows["price"] > 0))
        is_whole &= rows["order_id"] // LAP_STRIDE == lap
        bases = (positions - rows["counter"]) & WORD
        for first, end in runs_of(rows["run"]):
            run, counter = int(rows["run"][first]), int(rows["counter"][first])
            if run != self.run:
                is_whole[first] &= self.run == -1 or (run > self.run and counter == (self.counter + 1) & WORD)
                self.run, self.base = run, int(bases[first])
            is_whole[first:end] &= bases[first:end] == self.base
            self.counter = int(rows["counter"][end - 1])
        is_whole[1:] &= (times[1:] >= times[:-1]) | (lap[1:] != lap[:-1])
        if self.last is not None:
            is_whole[0] &= self.last[0] != int(lap[0]) or int(times[0]) >= self.last[1]
        self.last = (int(lap[-1]), int(times[-1]))
        return is_whole

    def _sum(self, rows: Rows) -> list[list[int]]:
        """Sums the digests; returns the blocks that became full."""
        words = np.ascontiguousarray(rows).view(np.uint32).reshape(len(rows), len(FACTORS))
        digests = (words * FACTORS).sum(axis=1, dtype=np.uint32)
        full = []
        for first, end in runs_of(rows["run"].astype(np.uint64) << 32 | rows["counter"] // BLOCK_RECORDS):
            run, counter = int(rows["run"][first]), int(rows["counter"][first])
            total = int(digests[first:end].sum(dtype=np.uint32))
            if counter % BLOCK_RECORDS == 0:
                self.block = (run, counter, 0)
            if self.block is None or self.block[:2] != (run, counter):
                self.block = None
                continue
            counter += end - first
            self.block = (run, counter, (self.block[2] + total) & WORD)
            if counter % BLOCK_RECORDS == 0:
                full.append([run, counter // BLOCK_RECORDS - 1, self.block[2]])
        return full


class Interval:
    """Sums over the records that were written within one interval."""

    def __init__(self, index: int, first_position: int) -> None:
        self.index = index
        self.first_position = first_position
        self.last_position = first_position
        self.events = self.trades = self.volume = self.value = self.bought = self.sold = 0

    def add(self, positions: Positions, rows: Rows) -> None:
        """Takes records into account."""
        kind, size = rows["type"], rows["size"].astype(np.int64)
        is_trade = (kind >= EXECUTE) & (kind <= CROSS)
        is_add = kind == ADD
        self.last_position = int(positions[-1])
        self.events += len(rows)
        self.trades += int(np.count_nonzero(is_trade))
        self.volume += int(size[is_trade].sum())
        self.value += int((size[is_trade] * rows["price"][is_trade]).sum())
        self.bought += int(size[is_add & (rows["side"] == 1)].sum())
        self.sold += int(size[is_add & (rows["side"] == -1)].sum())

    def encode(self) -> bytes:
        """The 64 bytes of a signal."""
        added = self.bought + self.sold
        return SIGNAL.pack(
            self.index * INTERVAL_NS,
            (self.index + 1) * INTERVAL_NS,
            self.first_position,
            self.last_position,
            self.volume,
            self.trades,
            self.events,
            self.value / self.volume if self.volume else 0.0,
            (self.bought - self.sold) / added if added else 0.0,
        )


def runs_of(column: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Where each stretch of equal values begins and ends."""
    starts = [0, *(np.flatnonzero(column[1:] != column[:-1]) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(column)], strict=True))


def report(kind: str, **fields: Any) -> None:
    """Tells the parent, by one system call."""
    line = json.dumps({"report": kind, **fields}, separators=(",", ":")) + "\n"
    sys.stdout.buffer.write(line.encode())
    sys.stdout.buffer.flush()


def is_let_go() -> bool:
    """Whether the parent has let go of standard input."""
    readable, _, _ = select.select([0], [], [], 0)
    return bool(readable) and os.read(0, 64) == b""


def channel_of(region: tailrace.Region, name: str) -> dict[str, Any]:
    """What there is to know of a channel."""
    return next(channel for channel in region.channels() if channel["name"] == name)


def next_position(region: tailrace.Region) -> int:
    """Position behind the last record that a signal speaks of; 0 when there is no signal yet.

    What a process that was killed had claimed and not published is mended by whoever waits for it.
    """
    signals = channel_of(region, "signals")
    end = signals["recorder"]["base"] + signals["tail"]
    back = LOOK_BACK
    while True:
        start = max(1, end - back)
        last = None
        with region.open_consumer("signals", from_=start, label="analytics") as consumer:
            while consumer.position < end:
                for message in consumer.poll(BATCH_RECORDS, timeout=PATIENCE_SECONDS):
                    last = bytes(message.payload)
        if last is not None:
            return int(LAST_POSITION.unpack_from(last, LAST_POSITION_AT)[0]) + 1
        if start == 1:
            return 0
        back *= LOOK_BACK


class Outbox:
    """Signals that are written when the records that they speak of are on disk."""

    def __init__(self, region: tailrace.Region, producer: tailrace.Producer) -> None:
        self.region = region
        self.producer = producer
        self.waiting: deque[Interval] = deque()

    def flush(self) -> None:
        """Writes what can be written by now."""
        if not self.waiting:
            return
        durable = channel_of(self.region, "orders")["recorder"]["durable_sequence"]
        while self.waiting and self.waiting[0].last_position < durable:
            self.producer.send(self.waiting[0].encode(), type=SIGNAL_TYPE)
            self.waiting.popleft()

    def close(self) -> None:
        """Writes what is left, unless the disk takes too long: then the successor will do it."""
        end = monotonic() + LEAVE_SECONDS
        while self.waiting and monotonic() < end:
            self.flush()
            select.select([], [], [], 0.005)


def testify(witness: Witness, batch: tailrace.Batch, since_ns: int) -> tuple[Positions, Rows]:
    """Reports one batch; says which of its records are new, and where they stand."""
    now_ns = tailrace.now()
    headers, rows = batch.headers, batch.as_numpy(RECORD)
    positions = headers["sequence"].astype(np.int64) - 1
    stamps = headers["timestamp"].astype(np.int64)
    testimony = witness.testify(positions, headers["flags"] & REDELIVERED != 0, rows)
    # What was written before is caught up with: how long that took says nothing of the way.
    latencies = [
        [max(0, now_ns - int(stamps[first])) // 1000, end - first]
        for first, end in runs_of(stamps)
        if int(stamps[first]) >= since_ns
    ]
    report("batch", lost=batch.lost, latencies=latencies, **testimony)
    return positions, rows


def follow(path: str) -> None:
    """Reads until the leash ends."""
    with tailrace.Region.open(path) as region, region.open_producer("signals", label="analytics") as producer:
        cursor = next_position(region)
        outbox = Outbox(region, producer)
        interval: Interval | None = None
        with region.open_consumer("orders", from_=cursor + 1, label="analytics") as consumer:
            witness = Witness(cursor)
            report("ready", cursor=cursor)
            since_ns = tailrace.now()
            while not is_let_go():
                outbox.flush()
                batch = consumer.poll(BATCH_RECORDS, timeout=PATIENCE_SECONDS)
                if len(batch) == 0:
                    continue
                positions, rows = testify(witness, batch, since_ns)
                stamps = batch.headers["timestamp"].astype(np.int64)
                for first, end in runs_of(stamps // INTERVAL_NS):
                    index = int(stamps[first]) // INTERVAL_NS
                    if interval is None or interval.index != index:
                        if interval is not None:
                            outbox.waiting.append(interval)
                        interval = Interval(index, int(positions[first]))
                    interval.add(positions[first:end], rows[first:end])
        if interval is not None:
            outbox.waiting.append(interval)
        outbox.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follow(sys.argv[1])
