"""asyncio: waiting without a thread of Python's, cancelling, many consumers, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from pathlib import Path

import pytest

import tailrace
from tailrace import Consumer, Region


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("channel", ["orders", "ticks"])
def test_batches(region: Region, channel: str) -> None:
    async def follow(consumer: Consumer) -> list[bytes]:
        got: list[bytes] = []
        async for batch in consumer.batches(8):
            got += batch.payloads
            if len(got) == 40:
                break
        return got

    with region.open_producer(channel) as producer, region.open_consumer(channel) as consumer:

        def write() -> None:
            for index in range(40):
                producer.write(b"%d" % index)
                if index % 5 == 0:
                    time.sleep(0.01)

        thread = threading.Thread(target=write)
        thread.start()
        assert asyncio.run(follow(consumer)) == [b"%d" % index for index in range(40)]
        thread.join()
        producer.write(b"after")
        assert consumer.poll().payloads == [b"after"]


def test_a_taken_batch_is_released_when_the_next_is_asked_for_or_nobody_asks(region: Region) -> None:
    async def follow(consumer: Consumer, other: Consumer) -> None:
        batches = consumer.batches(2)
        first = await anext(batches)
        assert isinstance(first, tailrace.Taken)
        with pytest.raises(tailrace.BusyError):
            consumer.poll()
        await anext(batches)
        assert first.release() == 0
        batches.close()
        assert consumer.poll(1).payloads == [b"4"]
        async for batch in consumer.batches(1):
            assert batch.payloads == [b"5"]
            break
        assert other.poll().payloads == [b"6"]

    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        producer.write_batch([b"%d" % index for index in range(7)])
        with region.open_consumer("orders") as other:
            asyncio.run(follow(consumer, other))


def test_a_cancelled_wait_leaves_the_consumer_free(region: Region) -> None:
    async def follow(consumer: Consumer, producer: tailrace.Producer) -> None:
        for turn in range(20):
            before = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(consumer.batches()), 0.01)
            assert time.monotonic() - before < 20
            producer.write(b"%d" % turn)
            assert consumer.poll().payloads == [b"%d" % turn]
        task = asyncio.ensure_future(anext(consumer.batches()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        asyncio.run(follow(consumer, producer))


def test_one_loop_waits_for_many(path: Path) -> None:
    async def follow(consumer: Consumer, count: int) -> int:
        got = 0
        async for batch in consumer.batches():
            got += len(batch)
            if got == count:
                break
        return got

    async def follow_all(consumers: list[Consumer]) -> list[int]:
        return await asyncio.gather(*(follow(consumer, 10) for consumer in consumers))

    with Region.create(path) as region:
        consumers, producers = [], []
        for index in range(140):
            region.create_channel(f"channel {index}", capacity=16)
            consumers.append(region.open_consumer(f"channel {index}"))
            producers.append(region.open_producer(f"channel {index}"))

        def write() -> None:
            for _ in range(10):
                for producer in producers:
                    producer.write(b"x")
                time.sleep(0.002)

        thread = threading.Thread(target=write)
        thread.start()
        assert asyncio.run(follow_all(consumers)) == [10] * 140
        thread.join()
        for consumer, producer in zip(consumers, producers, strict=True):
            consumer.close()
            producer.close()


def test_the_loop_runs_and_sleeps_meanwhile(region: Region) -> None:
    async def count(consumer: Consumer) -> tuple[int, float]:
        waiting = asyncio.ensure_future(anext(consumer.batches()))
        turns = 0
        before = time.process_time()
        begun = time.monotonic()
        while turns < 50 or time.monotonic() - begun < 1:
            await asyncio.sleep(0.01)
            turns += 1
            assert time.monotonic() - begun < 30
        used = time.process_time() - before
        waiting.cancel()
        return turns, used

    with region.open_consumer("orders") as consumer:
        turns, used = asyncio.run(count(consumer))
        assert turns >= 50
        assert used < 0.2


def test_closing_ends_a_wait(region: Region) -> None:
    async def follow(consumer: Consumer) -> None:
        waiting = asyncio.ensure_future(anext(consumer.batches()))
        await asyncio.sleep(0.05)
        consumer.close()
        with pytest.raises(tailrace.ClosedError):
            await asyncio.wait_for(waiting, 30)

    asyncio.run(follow(region.open_consumer("orders")))


def test_removal_ends_a_wait(region: Region) -> None:
    async def follow(consumer: Consumer) -> None:
        waiting = asyncio.ensure_future(anext(consumer.batches()))
        await asyncio.sleep(0.05)
        Region.remove(region.path)
        with pytest.raises(tailrace.GoneError):
            await asyncio.wait_for(waiting, 30)

    with region.open_consumer("orders") as consumer:
        asyncio.run(follow(consumer))


def test_nothing_is_left_behind(region: Region) -> None:
    async def follow(consumer: Consumer) -> None:
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(consumer.batches()), 0.005)

    def once() -> None:
        with region.open_consumer("orders") as consumer:
            asyncio.run(follow(consumer))
        gc.collect()

    once()
    before = descriptors()
    threads = len(os.listdir("/proc/self/task"))
    for _ in range(20):
        once()
    assert descriptors() == before
    assert len(os.listdir("/proc/self/task")) == threads


def test_a_region_mapped_for_reading(region: Region, path: Path) -> None:
    async def first(consumer: Consumer) -> list[bytes]:
        return (await asyncio.wait_for(anext(consumer.batches()), 30)).payloads

    with (
        region.open_producer("ticks") as producer,
        Region.open(path, read_only=True) as looking,
        looking.open_consumer("ticks") as consumer,
    ):
        threading.Timer(0.05, lambda: producer.write(b"seen")).start()
        assert asyncio.run(first(consumer)) == [b"seen"]
