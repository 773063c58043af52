"""Consumers: polling, taking, releasing, keeping, iterating, losing."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import numpy as np
import pytest

import tailrace
from tailrace import Batch, Region


def test_poll_in_pieces(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        producer.write_batch([b"%d" % index for index in range(50)])
        assert consumer.depth == 50
        assert [len(consumer.poll(limit)) for limit in (1, 9, 256, 256)] == [1, 9, 40, 0]
        assert consumer.depth == 0
        assert consumer.poll().lost == 0


def test_each_message_goes_to_one_consumer(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as one:
        with region.open_consumer("orders") as other:
            producer.write_batch([b"%d" % index for index in range(40)])
            got = [one.poll(7).payloads + other.poll(5).payloads for _ in range(10)]
        assert sorted(itertools.chain(*got)) == sorted(b"%d" % index for index in range(40))


def test_long_messages_up_to_a_mebibyte(path: Path) -> None:
    with Region.create(path) as region:
        region.create_channel("large", capacity=4096)
        with region.open_producer("large") as producer, region.open_consumer("large") as consumer:
            sizes = [1, 1024, 1025, 2048, 2049, 65_536, 1_000_000, 1 << 20]
            payloads = [np.random.default_rng(size).bytes(size) for size in sizes]
            assert producer.write_batch(payloads) == len(sizes)
            got = []
            while batch := consumer.poll(2):
                got += batch.payloads
            assert got == payloads
            assert producer.write(payloads[-1])
            assert consumer.poll(1).as_numpy("u1").tobytes() == payloads[-1]
            assert producer.write_batch([payloads[-1]] * 5) == 4
            with consumer.take() as taken:
                assert taken.payloads[0] == payloads[-1]


def test_streams_give_everything_to_everybody(region: Region) -> None:
    with region.open_producer("ticks") as producer:
        producer.write_batch([b"early"] * 3)
        with (
            region.open_consumer("ticks") as latest,
            region.open_consumer("ticks", from_="oldest") as oldest,
            region.open_consumer("ticks", from_="latest") as same,
        ):
            producer.write_batch([b"late"] * 2)
            assert latest.poll().payloads == same.poll().payloads == [b"late"] * 2
            assert oldest.poll().payloads == [b"early"] * 3 + [b"late"] * 2


def test_a_lapped_subscriber_counts_what_it_lost(region: Region) -> None:
    with region.open_producer("ticks") as producer, region.open_consumer("ticks") as consumer:
        producer.write_batch([b"%d" % index for index in range(10)])
        assert consumer.poll(4).payloads == [b"0", b"1", b"2", b"3"]
        for index in range(10, 200):
            producer.write(b"%d" % index)
        batch = consumer.poll()
        assert batch.lost == consumer.lost == int(batch.payloads[0]) - 4
        assert batch.payloads[-1] == b"199"
        assert len(batch) <= 64
        assert consumer.poll().lost == 0


def test_a_gating_subscriber_loses_nothing(region: Region) -> None:
    with region.open_producer("ticks") as producer, region.open_consumer("ticks", gating=True) as consumer:
        assert producer.write_batch([b"x"] * 100) == 64
        assert producer.write(b"x") is False
        assert len(consumer.poll(10)) == 10
        assert producer.write_batch([b"y"] * 100) == 10
        assert consumer.lost == 0


def test_take_holds_until_the_end_of_the_block(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        producer.write_batch([b"%d" % index for index in range(64)])
        with consumer.take(10) as taken:
            assert taken.payloads == [b"%d" % index for index in range(10)]
            assert producer.write(b"x") is False
            with pytest.raises(tailrace.BusyError):
                consumer.take()
            with pytest.raises(tailrace.BusyError):
                consumer.poll()
        assert producer.write_batch([b"x"] * 20) == 10
        assert consumer.take(1).release() == 1
        with consumer.take(300) as taken:
            assert len(taken) == 63
        assert not consumer.take()


def test_release_some_and_keep_the_rest(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        producer.write_batch([b"%d" % index for index in range(6)])
        with consumer.take(5) as taken:
            assert taken.release(2) == 2
            with pytest.raises(tailrace.ArgumentError, match="to release, and 3 open"):
                taken.release(4)
            with pytest.raises(tailrace.ArgumentError, match="count is -1"):
                taken.release(-1)
            assert taken.keep() == 3
            assert taken.release() == taken.keep() == 0
        again = consumer.poll()
        assert again.payloads == [b"2", b"3", b"4"]
        assert [(message.redelivered, message.delivery_count) for message in again] == [(True, 2)] * 3
        (rest,) = consumer.poll()
        assert (rest.payload, rest.redelivered, rest.delivery_count) == (b"5", False, 1)


def test_an_exception_releases(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        producer.write_batch([b"a", b"b", b"c"])
        with pytest.raises(RuntimeError, match="of the caller"), consumer.take(2):
            raise RuntimeError("of the caller")
        assert consumer.poll().payloads == [b"c"]


def test_a_claim_that_is_over_touches_no_other(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        producer.write_batch([b"%d" % index for index in range(8)])
        first = consumer.take(2)
        assert consumer.release() == 2
        second = consumer.take(2)
        assert first.release() == first.keep() == 0
        assert second.release(1) == 1
        assert second.release(1) == 1
        third = consumer.take(2)
        assert second.release() == 0
        assert third.keep() == 2


def test_release_after_close_is_nothing(region: Region) -> None:
    with region.open_producer("orders") as producer:
        producer.write_batch([b"a", b"b"])
        with region.open_consumer("orders") as consumer, consumer.take(1) as taken:
            consumer.close()
            assert taken.release() == taken.keep() == 0
        with region.open_consumer("orders") as consumer:
            got: list[tuple[bytes, bool]] = []
            while len(got) < 2:
                got += [(message.payload, message.redelivered) for message in consumer.poll(timeout=30)]
            assert sorted(got) == [(b"a", True), (b"b", False)]


def test_what_was_kept_goes_to_others_when_its_consumer_closes(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as other:
        producer.write_batch([b"a", b"b"])
        with region.open_consumer("orders") as consumer:
            assert consumer.take().keep() == 2
        (first, second) = other.poll(timeout=30)
        assert (first.payload, first.redelivered, second.payload) == (b"a", True, b"b")


def test_streams_cannot_be_taken_from(region: Region) -> None:
    with region.open_consumer("ticks") as consumer:
        for call in (consumer.take, consumer.keep, consumer.release):
            with pytest.raises(tailrace.UnsupportedError, match="stream"):
                call()


@pytest.mark.parametrize("channel", ["orders", "ticks"])
def test_iteration_gives_each_message_once(region: Region, channel: str) -> None:
    with region.open_producer(channel) as producer, region.open_consumer(channel) as consumer:
        producer.write_batch([b"%d" % index for index in range(60)])
        got = []
        for turn in range(6):
            for count, message in enumerate(consumer):
                got.append(message.payload)
                if count == turn:
                    break
        got += consumer.poll(3).payloads
        for message in consumer:
            got.append(message.payload)
            if message.payload == b"30":
                break
        got += consumer.poll(300).payloads
        assert got == [b"%d" % index for index in range(60)]


def test_an_iteration_that_was_left_marks_what_it_had_not_given(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        producer.write_batch([b"a", b"b", b"c"])
        with contextlib.suppress(RuntimeError):
            for message in consumer:
                raise RuntimeError(message.payload)
        assert [(message.payload, message.redelivered) for message in consumer.poll()] == [(b"b", True), (b"c", True)]


@pytest.mark.parametrize("channel", ["orders", "ticks"])
def test_batches(region: Region, channel: str) -> None:
    with region.open_producer(channel) as producer, region.open_consumer(channel) as consumer:
        producer.write_batch([b"%d" % index for index in range(30)])
        sizes = []
        for batch in consumer.batches(12):
            assert isinstance(batch, Batch)
            sizes.append(len(batch))
            if sum(sizes) == 30:
                break
        assert sizes == [12, 12, 6]
        del batch
        producer.write_batch([b"later"] * 64)
        assert len(consumer.poll()) == 64


@pytest.mark.parametrize("limit", [0, -1, 2**63, 1.5, "many", None])
def test_wrong_limits_get_a_sentence(region: Region, limit: int) -> None:
    with region.open_consumer("orders") as consumer:
        for call in (consumer.poll, consumer.take):
            with pytest.raises(tailrace.ArgumentError, match=r"limit is .*; give the largest number of messages"):
                call(limit)


def test_any_limit_that_can_be(region: Region) -> None:
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        for limit in (1, 8191, 8192, 2**31, 2**63 - 1):
            producer.write_batch([b"x" * 1024, b"y"])
            assert sum(len(consumer.poll(limit)) for _ in range(2)) == 2


def test_closed(region: Region) -> None:
    consumer = region.open_consumer("orders")
    assert repr(consumer) == "<Consumer of 'orders'>"
    consumer.close()
    consumer.close()
    assert consumer.closed
    for call in (consumer.poll, consumer.take, consumer.keep, consumer.release, consumer.wait, lambda: consumer.depth):
        with pytest.raises(tailrace.ClosedError):
            call()
    with pytest.raises(tailrace.ClosedError):
        next(iter(consumer))
