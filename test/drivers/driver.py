"""The Python driver: one JSON object a line in, one out. `README.md` has the protocol."""

from __future__ import annotations

import json
import os
import random
import struct
import sys
import time
from typing import Any

import numpy as np
import tailrace

SPREAD = 0x9E3779B97F4A7C15
KEY = struct.Struct("<IIQ")
CYCLE = bytes(range(251)) * 2
FLAGS = ("exclusive_producer", "exclusive_consumer", "gated", "checksum", "recorded")
IDLE_SECONDS = 5.0

Line = dict[str, Any]


def say(line: Line) -> None:
    """Prints one line with one system call."""
    os.write(1, json.dumps(line, separators=(",", ":")).encode() + b"\n")


def chosen(request: Line, *names: str) -> Line:
    """The fields that are there."""
    return {name: request[name] for name in names if name in request}


def seconds(request: Line) -> float | None:
    """The time-out; None: for ever."""
    return request["timeout_ms"] / 1000 if "timeout_ms" in request else None


def payload_of(run: int, index: int, size: int) -> bytes:
    """A message of the load."""
    start = (run + index) % 251
    body = CYCLE[start : start + 251]
    length = max(0, size - KEY.size)
    check = (run << 32 | index) * SPREAD % 2**64
    return KEY.pack(run, index, check) + (body * (length // 251 + 1))[:length]


def described(message: tailrace.Message) -> Line:
    return {
        "sequence": str(message.sequence),
        "type": message.type,
        "payload": message.payload.hex(),
        "pid": message.sender_pid,
        "runtime": message.sender_runtime,
        "redelivered": message.redelivered,
        "delivery_count": message.delivery_count,
    }


def seen(message: tailrace.Message) -> tuple[list[int], bool]:
    """What a message of the load says of itself, and whether it is whole."""
    if message.length < KEY.size:
        return [0, 0, 0], False
    run, index, _ = KEY.unpack_from(message.payload)
    return [run, index, int(message.redelivered)], message.payload == payload_of(run, index, message.length)


def start_of(request: Line) -> Any:
    """Where a reader begins."""
    start = request.get("from")
    return int(start) if start is not None and start.isdigit() else start


def as_it_should_be(batch: tailrace.Batch, run: int, first: int) -> int:
    """How many messages of the load are what they should be, of one that begins with index `first`."""
    headers = batch.headers
    length = int(headers["length"][0])
    if length < KEY.size or (headers["length"] != length).any():
        return 0
    rows = batch.as_numpy(
        np.dtype([("run", "<u4"), ("index", "<u4"), ("check", "<u8"), ("body", "u1", length - KEY.size)])
    )
    indexes = np.arange(first, first + len(batch), dtype=np.uint64)
    body = (np.uint64(run) + indexes[:, np.newaxis] + np.arange(length - KEY.size, dtype=np.uint64)) % np.uint64(251)
    check = (np.uint64(run << 32) | indexes) * np.uint64(SPREAD)
    right = (headers["sequence"] == indexes + np.uint64(1)) & (rows["run"] == run) & (rows["index"] == indexes)
    return int((right & (rows["check"] == check) & (rows["body"] == body).all(axis=1)).sum())


class Driver:
    """At most one region, one producer, one consumer, one recorder and one log."""

    region: tailrace.Region
    producer: tailrace.Producer
    consumer: Any
    recorder: tailrace.Recorder
    log: tailrace.Log

    def close(self) -> None:
        for opened in ("producer", "consumer", "recorder", "region", "log"):
            if hasattr(self, opened):
                getattr(self, opened).close()

    def open(self, request: Line) -> Line:
        self.close()
        self.region = tailrace.Region.open(request["path"], **chosen(request, "recovery", "payload_offset"))
        return {"pid": os.getpid()}

    def create_channel(self, request: Line) -> Line:
        options = chosen(request, "kind", "capacity", "foreign", *FLAGS)
        self.region.create_channel(request["name"], **options)
        return {}

    def open_producer(self, request: Line) -> Line:
        self.producer = self.region.open_producer(request["channel"], **chosen(request, "label"))
        return {}

    def open_consumer(self, request: Line) -> Line:
        options = chosen(request, "label", "gating", "level", "log", "group")
        self.consumer = self.region.open_consumer(request["channel"], from_=start_of(request), **options)
        return {}

    def open_reader(self, request: Line) -> Line:
        start: Any = start_of(request) or "oldest"
        self.consumer = tailrace.LogReader.open(request["path"], from_=start, **chosen(request, "durable_only"))
        return {}

    def record(self, request: Line) -> Line:
        self.recorder = self.region.record(request["channel"], **chosen(request, "log", "segment_bytes"))
        return {}

    def open_log(self, request: Line) -> Line:
        self.log = tailrace.Log.open(request["path"], **chosen(request, "segment_bytes"))
        return {}

    def append(self, request: Line) -> Line:
        payloads = [bytes.fromhex(payload) for payload in request["payloads"]]
        options = {"type": request.get("type", 0), **chosen(request, "durability")}
        return {"sequence": str(self.log.append(payloads, **options))}

    def write(self, request: Line) -> Line:
        payloads, kind = [bytes.fromhex(payload) for payload in request["payloads"]], request.get("type", 0)
        if len(payloads) == 1:
            return {"count": int(self.producer.write(payloads[0], kind))}
        return {"count": self.producer.write_batch(payloads, kind)}

    def send(self, request: Line) -> Line:
        payload = bytes.fromhex(request["payload"])
        options = {"type": request.get("type", 0), "timeout": seconds(request), **chosen(request, "durability")}
        return {"sequence": str(self.producer.send(payload, **options))}

    def wait(self, request: Line) -> Line:
        return {"ready": self.consumer.wait(seconds(request))}

    def poll(self, request: Line) -> Line:
        batch = self.consumer.poll(request.get("limit", 256))
        return {"lost": batch.lost, "messages": [described(message) for message in batch]}

    def take(self, request: Line) -> Line:
        taken = self.consumer.take(request.get("limit", 256))
        return {"lost": taken.lost, "messages": [described(message) for message in taken]}

    def release(self, request: Line) -> Line:
        return {"count": self.consumer.release(request.get("count"))}

    def keep(self, request: Line) -> Line:
        return {"count": self.consumer.keep()}

    def depth(self, request: Line) -> Line:
        return {"depth": self.consumer.depth}

    def position(self, request: Line) -> Line:
        return {"sequence": str(self.consumer.position)}

    def seek(self, request: Line) -> Line:
        return {"sequence": str(self.consumer.seek(start_of(request)))}

    def commit(self, request: Line) -> Line:
        return {"sequence": str(self.consumer.commit(seconds(request)))}

    def close_producer(self, request: Line) -> Line:
        self.producer.close()
        return {}

    def close_consumer(self, request: Line) -> Line:
        self.consumer.close()
        return {}

    def close_recorder(self, request: Line) -> Line:
        self.recorder.close()
        return {}

    def close_log(self, request: Line) -> Line:
        self.log.close()
        return {}

    def produce(self, request: Line) -> Line:
        run, size, written = request["run"], request.get("size", 16), request.get("first", 0)
        end = written + request["count"]
        while written < end:
            batch = range(written, min(end, written + request.get("batch", 1)))
            payloads = [payload_of(run, index, size) for index in batch]
            wrote = self.producer.write_batch(payloads, 1)
            if wrote == 0:
                try:
                    self.producer.send(payloads[0], 1, timeout=0.1)
                except tailrace.TimedOutError:
                    continue
                wrote = 1
            say({"wrote": [run, written, wrote]})
            written += wrote
        return {"count": request["count"]}

    def consume(self, request: Line) -> Line:
        limit, idle, is_taking = request.get("batch", 256), request.get("idle_ms", 1000) / 1000, request.get("take")
        count = 0
        while True:
            try:
                batch = self.consumer.take(limit) if is_taking else self.consumer.poll(limit)
            except tailrace.BusyError:
                self.consumer.release()
                continue
            if not batch:
                if not self.consumer.wait(idle):
                    return {"count": count}
                continue
            read = [seen(message) for message in batch]
            count += len(read)
            torn = sum(not whole for _, whole in read)
            line: Line = {"read": [message for message, _ in read], "lost": batch.lost}
            say({**line, "torn": torn} if torn else line)
            if is_taking:
                self.consumer.release()

    def follow(self, request: Line) -> Line:
        seen = {"count": 0, "wrong": 0, "far": 0, "turns": 0}
        was_far = False
        while seen["count"] < request["count"]:
            if random.random() < 1 / 8:
                time.sleep(random.random() * request["nap_ms"] / 1000)
            is_far = self.consumer.depth > request["span"]
            seen["far"] += is_far
            seen["turns"] += was_far and not is_far
            was_far = is_far
            batch = self.consumer.poll(request["batch"], IDLE_SECONDS)
            if not batch:
                break
            seen["wrong"] += len(batch) - as_it_should_be(batch, request["run"], seen["count"])
            seen["count"] += len(batch)
        return dict(seen)


def answer(driver: Driver, text: str) -> Line:
    try:
        request = json.loads(text)
        return {"ok": True, **getattr(driver, request["op"])(request)}
    except tailrace.TailraceError as error:
        return {"ok": False, "code": error.code, "message": str(error)}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        return {"ok": False, "code": "ERR_ARGUMENT", "message": repr(error)}


def main() -> None:
    driver = Driver()
    for text in sys.stdin:
        say(answer(driver, text))
    driver.close()


if __name__ == "__main__":
    main()
