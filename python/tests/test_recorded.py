"""Recorded channels: log and ring are read as if they were one, without gap or duplicate, from any place."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from conftest import Start, dense, everything, numbered, said, within

import tailrace
from tailrace import Consumer, LogReader, Region


def write(region: Region, first: int, end: int) -> None:
    with region.open_producer("trades") as producer:
        for payload in numbered(first, end):
            producer.send(payload, timeout=20)


def first(region: Region, **options: object) -> bytes | None:
    with region.open_consumer("trades", **options) as consumer:  # type: ignore[arg-type]
        batch = consumer.poll(1)
        return batch.payloads[0] if batch else None


def test_a_consumer_begins_where_it_is_told(recorded: Region, log: Path) -> None:
    with recorded.record("trades", log=log):
        write(recorded, 1, 301)
        time.sleep(0.002)
        between = datetime.now(timezone.utc)
        time.sleep(0.002)
        write(recorded, 301, 501)
        assert first(recorded, from_="oldest") == first(recorded, from_=1) == b"1"
        assert first(recorded, from_=130) == b"130", "from the log"
        assert first(recorded, from_=499) == b"499", "from the ring"
        assert first(recorded, from_=between) == b"301"
        assert first(recorded, from_="latest") is first(recorded) is first(recorded, from_=501) is None
        with recorded.open_consumer("trades", from_=400) as consumer:
            assert consumer.position == 400
            assert consumer.depth == 101
            assert dense(consumer.poll(3), 400) == numbered(400, 403)
            assert consumer.position == 403
            assert consumer.seek(2) == 2
            assert dense(everything(consumer), 2) == numbered(2, 501)
            assert consumer.seek(between) == 301
            assert consumer.lost == 0
            with pytest.raises(tailrace.ArgumentError):
                consumer.seek("first")  # type: ignore[arg-type]


def test_a_consumer_that_is_lapped_misses_nothing(recorded: Region, log: Path) -> None:
    dice = random.Random(3)
    count = 20_000
    with recorded.record("trades", log=log), recorded.open_consumer("trades", from_="oldest") as consumer:
        lapped = 0

        def write_all() -> None:
            with recorded.open_producer("trades") as producer:
                for start in range(1, count + 1, 50):
                    batch = numbered(start, start + 50)
                    while batch:
                        batch = batch[producer.write_batch(batch) :]
                        if batch:
                            producer.send(batch.pop(0), timeout=20)

        writer = threading.Thread(target=write_all)
        writer.start()
        next = 1
        while next <= count:
            batch = consumer.poll(dice.randrange(1, 400), timeout=20)
            assert dense(batch, next) == numbered(next, next + len(batch))
            next += len(batch)
            lapped += consumer.depth > 64
            if dice.random() < 0.05:
                time.sleep(0.005)
        writer.join()
        assert lapped > 0
        assert consumer.lost == 0


def test_long_messages_come_whole_from_log_and_ring(recorded: Region, log: Path) -> None:
    payloads = [os.urandom(size) for size in (0, 1, 1023, 1024, 1025, 5000, 16_384)] * 4
    with recorded.record("trades", log=log), recorded.open_producer("trades") as producer:
        sequences = [producer.send(payload, timeout=20) for payload in payloads]
        assert producer.wait_durable(sequences[-1], 20)
        with recorded.open_consumer("trades", from_="oldest") as consumer, LogReader.open(log) as reader:
            for messages in (list(consumer.poll()), list(reader.poll())):
                assert [message.payload for message in messages] == payloads
                assert [message.sequence for message in messages] == sequences


def test_an_iteration_that_is_left_gives_the_rest_afterwards(recorded: Region, log: Path) -> None:
    with recorded.record("trades", log=log), recorded.open_consumer("trades", from_="oldest") as consumer:
        write(recorded, 1, 31)
        for message in consumer:
            if message.sequence == 12:
                break
        assert consumer.position == 13
        assert dense(consumer.poll(), 13) == numbered(13, 31)


def test_level_wal_sees_only_what_is_on_disk(recorded: Region, log: Path, start: Start) -> None:
    recorder = start(
        'recorder = region.record("trades", log=sys.argv[1]); print("records"); sys.stdin.read()', str(log)
    )
    assert said(recorder) == "records"
    with (
        recorded.open_producer("trades") as producer,
        recorded.open_consumer("trades", level="wal", from_="oldest") as careful,
        recorded.open_consumer("trades", level="memory", from_="oldest") as quick,
    ):
        producer.send(b"1", durability="wal", timeout=20)
        assert careful.poll(timeout=20).payloads == quick.poll(timeout=20).payloads == [b"1"]
        recorder.kill()
        recorder.wait()
        producer.send(b"2")
        assert quick.poll(timeout=20).payloads == [b"2"]
        assert not careful.poll(timeout=0.1)
        with recorded.record("trades", log=log):
            assert careful.poll(timeout=20).payloads == [b"2"]
        with pytest.raises(tailrace.UnsupportedError):
            recorded.open_consumer("trades", level="replicated")
        with pytest.raises(tailrace.ArgumentError, match="level is 'disk'; give 'memory' or 'wal'"):
            recorded.open_consumer("trades", level="disk")  # type: ignore[arg-type]


def test_options_of_recorded_channels_are_for_them_alone(region: Region, log: Path) -> None:
    for channel in ("ticks", "orders"):
        for options in ({"from_": 3}, {"level": "wal"}, {"log": log}, {"group": "sinks"}):
            with pytest.raises(tailrace.UnsupportedError, match="not recorded"):
                region.open_consumer(channel, **options)
    with region.open_consumer("ticks") as consumer, region.open_producer("ticks") as producer:
        producer.write(b"x")
        assert consumer.position == 0
        assert len(consumer.poll()) == consumer.position == 1
        with pytest.raises(tailrace.UnsupportedError):
            consumer.seek("oldest")
        with pytest.raises(tailrace.UnsupportedError):
            consumer.commit()


def test_what_retention_took_is_gone(recorded: Region, log: Path) -> None:
    payloads = [b"%d".ljust(1000) % sequence for sequence in range(1, 1001)]
    with (
        recorded.record("trades", log=log, segment_bytes=65_536, retention_bytes=3 * 65_536) as recorder,
        recorded.open_producer("trades") as producer,
        recorded.open_consumer("trades", from_="oldest") as slow,
    ):
        for payload in payloads:
            producer.send(payload, timeout=20)
        assert within(30, lambda: recorder.status.durable_sequence == 1000)

        def is_gone() -> bool:
            try:
                recorded.open_consumer("trades", from_=1).close()
                return False
            except tailrace.GoneError as error:
                return error.oldest_sequence is not None and error.oldest_sequence > 500

        assert within(30, is_gone)
        with pytest.raises(tailrace.GoneError) as caught:
            everything(slow)
        oldest = caught.value.oldest_sequence
        assert oldest is not None
        assert slow.seek(oldest) == oldest
        assert dense(everything(slow), oldest) == payloads[oldest - 1 :]


def test_a_log_elsewhere_is_named(recorded: Region, log: Path, tmp_path: Path) -> None:
    with recorded.record("trades", log=log):
        write(recorded, 1, 201)
    moved = tmp_path / "moved"
    log.rename(moved)
    with recorded.open_consumer("trades", from_=1, log=moved) as consumer:
        assert dense(consumer.poll()) == numbered(1, 201)
    with pytest.raises(tailrace.NotFoundError):
        recorded.open_consumer("trades", from_=1)
    tailrace.Log.open(tmp_path / "other").close()
    with pytest.raises(tailrace.ForeignError):
        recorded.open_consumer("trades", from_=1, log=tmp_path / "other")


def test_a_reader_waits_for_the_first_recorder(recorded: Region, log: Path) -> None:
    with recorded.open_consumer("trades", from_="oldest") as consumer:
        assert consumer.position == 0
        with recorded.open_producer("trades") as producer:
            producer.write(b"1")
        assert not consumer.poll(timeout=0.05)
        with recorded.record("trades", log=log):
            assert dense(consumer.poll(timeout=20)) == [b"1"]


def test_asyncio_reads_recorded_channels_and_logs(recorded: Region, log: Path) -> None:
    async def follow(reader: Consumer | LogReader, count: int) -> list[tailrace.Message]:
        got: list[tailrace.Message] = []
        async for batch in reader.batches(50):
            got += batch
            if len(got) >= count:
                return got
        raise AssertionError("batches have no end")

    async def follow_all(*readers: Consumer | LogReader) -> list[list[tailrace.Message]]:
        return await asyncio.wait_for(asyncio.gather(*(follow(reader, 1000) for reader in readers)), 60)

    with recorded.record("trades", log=log):

        def write_slowly() -> None:
            for start in range(1, 1001, 100):
                write(recorded, start, start + 100)
                time.sleep(0.02)

        with (
            recorded.open_consumer("trades", from_="oldest") as memory,
            recorded.open_consumer("trades", from_="oldest", level="wal") as wal,
            recorded.open_consumer("trades", from_="oldest", group="sinks") as member,
            LogReader.open(log) as reader,
            LogReader.open(log, durable_only=True) as durable,
        ):
            thread = threading.Thread(target=write_slowly)
            thread.start()
            for got in asyncio.run(follow_all(memory, wal, member, reader, durable)):
                assert dense(got) == numbered(1, 1001)
            thread.join()


def test_an_idle_loop_sleeps_over_a_log(recorded: Region, log: Path) -> None:
    async def wait_for(reader: Consumer | LogReader) -> float:
        waiting = asyncio.ensure_future(anext(reader.batches()))
        before = time.process_time()
        await asyncio.sleep(1)
        used = time.process_time() - before
        waiting.cancel()
        return used

    with recorded.record("trades", log=log), LogReader.open(log) as reader:
        assert asyncio.run(wait_for(reader)) < 0.2
