"""Appender: the Python program that the storage faults hit. README.md has its lines."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

import tailrace

LANES = 4
SHORT_RUN = 1 << 16
PATTERN = bytes(i % 251 for i in range(21_000))


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def content(run: int, index: int) -> bytes:
    is_long = run < SHORT_RUN and index % 64 == 63
    size = 16 + (run * 31 + index * 97) % 701 + (20_000 if is_long else 0)
    start = (run + index) % 251
    return run.to_bytes(4, "little") + index.to_bytes(4, "little") + PATTERN[start : start + size - 8]


def scattered(run: int, index: int) -> int:
    mixed = (run * 0x9E3779B9 ^ index * 0x85EBCA6B) & 0xFFFFFFFF
    return (mixed * 0xC2B2AE35 & 0xFFFFFFFF) >> 8


def persist(verb: str, work: Callable[[int], int]) -> None:
    """Does `work` from index to index until it has failed three times."""
    index, left = 0, 3
    while left > 0:
        try:
            index = work(index)
        except tailrace.TailraceError as error:
            say_failure(error, f"{verb}/{index}")
            if error.code == "ERR_DISK_FULL":
                time.sleep(0.02)
            else:
                left -= 1
    say("ended")


def say_failure(error: tailrace.TailraceError, verb: str) -> None:
    say("failed", error.code, getattr(error, "outcome", None) or "known", verb, error)


class Appender:
    log: tailrace.Log
    region: tailrace.Region
    recorder: tailrace.Recorder

    def obey(self, verb: str, *words: str) -> None:
        getattr(self, verb)(*words)

    def open(self, path: str, segment_bytes: str) -> None:
        self.log = tailrace.Log.open(path, segment_bytes=int(segment_bytes))
        say("opened", self.log.written_sequence, self.log.durable_sequence)

    def append(self, run: str) -> None:
        for lane in range(LANES):
            number = int(run) * 64 + lane
            self.start(f"append/{number}", self.appending(number))

    def appending(self, run: int) -> Callable[[int], int]:
        def work(index: int) -> int:
            count = 1 + scattered(run, index) % 6
            is_durable = scattered(run, index + 1_000) % 4 > 0
            payloads = [content(run, index + i) for i in range(count)]
            last = self.log.append(payloads, durability="wal" if is_durable else "memory")
            say("d" if is_durable else "m", last - count + 1, run, index, count)
            return index + count

        return work

    def record(self, region: str, path: str, segment_bytes: str) -> None:
        self.region = tailrace.Region.open(region)
        self.recorder = self.region.record("c", log=path, segment_bytes=int(segment_bytes))
        say("recording")

    def send(self, region: str, run: str) -> None:
        self.region = tailrace.Region.open(region)
        producer = self.region.open_producer("c")

        def work(index: int) -> int:
            say("d", producer.send(content(int(run), index), durability="wal"), run, index, 1)
            return index + 1

        self.start("send", work)

    def start(self, verb: str, work: Callable[[int], int]) -> None:
        threading.Thread(target=persist, args=(verb, work), daemon=True).start()

    def close(self) -> None:
        if hasattr(self, "recorder"):
            self.recorder.close()
        if hasattr(self, "log"):
            self.log.close()
        say("closed")


def main() -> None:
    appender = Appender()
    say("ready")
    for line in sys.stdin:
        words = line.split()
        try:
            appender.obey(*words)
        except tailrace.TailraceError as error:
            say_failure(error, words[0])


if __name__ == "__main__":
    main()
