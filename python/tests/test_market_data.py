"""Market data: whatever the network does, the client's book is the exchange's, byte for byte."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from typing import Any

import plain_mold
import pytest
from followers import View
from patience import run
from stand_in import LOOPBACK, BadNetwork, Market, session_of
from test_plain_mold import agreed

import tailrace
from tailrace import wire
from tailrace.exchange import MarketBatch, MarketBook, MarketData


async def joined(market: Market, **options: Any) -> View:
    """A client whose feed the publisher knows."""
    data = await MarketData.join(**{**market.places, **options})
    market.publisher.to(data.address)
    return View(data)


async def reaches(view: View, market: Market) -> None:
    """Waits until the client's book is the engine's."""
    await view.reaches(market.publisher.session.decode(), market.engine.book.market_sequence)
    assert view.book.sequence == market.engine.book.market_sequence
    assert view.book.image() == market.engine.image()


def test_a_feed_without_faults_is_the_book() -> None:
    async def test() -> None:
        async with Market() as market:
            view = await joined(market)
            await reaches(view, market)
            for _ in range(20):
                market.trade(200)
                market.publisher.publish()
                await asyncio.sleep(0)
            await reaches(view, market)
            counters = view.data.counters
            assert counters.messages == len(market.engine.market)
            assert counters.datagrams == len(market.publisher.captured)
            assert (counters.gaps, counters.requested, counters.refused, counters.snapshots) == (0, 0, 0, 1)
            assert view.data.session == "1700000000"
            assert view.book.session == "1700000000"
            assert view.data.trouble is None
            # Every batch but the snapshot is a datagram, and says itself what it holds.
            assert [len(batch) for batch in view.batches[1:]] == [
                len(agreed(datagram).messages)  # type: ignore[union-attr]
                for datagram in market.publisher.captured
            ]
            assert [message.fields["sequence"] for message in view.batches[1]] == list(
                range(1, len(view.batches[1]) + 1)
            )
            view.data.close()
            await view.task

    run(test)


@pytest.mark.parametrize("seed", range(3))
def test_loss_duplicates_and_reordering_are_mended(seed: int) -> None:
    async def test() -> None:
        async with Market(1_700_000_000 + seed) as market:
            market.publisher.network = network = BadNetwork(seed)
            view = await joined(market)
            await reaches(view, market)
            for part in range(100):
                market.trade(100)
                market.publisher.publish(most=2)
                if part % 10 == 0:
                    await asyncio.sleep(0.003)
            market.publisher.network = lambda datagram: [datagram]
            market.publisher.heartbeat()
            await reaches(view, market)
            counters = view.data.counters
            assert network.lost > 20
            assert counters.gaps > 10
            assert counters.requested >= market.publisher.answers > 0
            assert counters.retransmitted > 20
            assert counters.duplicates > 10
            assert counters.reordered > 5
            assert counters.snapshots == 1
            assert counters.messages == len(market.engine.market) == sum(map(len, view.batches))
            view.data.close()

    run(test)


def test_the_other_decoder_reads_the_captured_feed_to_the_same_book() -> None:
    async def test() -> list[bytes]:
        async with Market() as market:
            view = await joined(market)
            for _ in range(10):
                market.trade(300)
                market.publisher.publish()
                market.publisher.heartbeat()
                await asyncio.sleep(0)
            market.publisher.end()
            await reaches(view, market)
            await view.task
            datagrams = market.publisher.captured
            book = MarketBook()
            for datagram in datagrams:
                packet = agreed(datagram)
                assert packet is not None
                if packet.messages:
                    book.apply(MarketBatch(packet.session.decode(), packet.sequence, packet.messages))
            assert book.image() == market.engine.image() == view.book.image()
            return datagrams

    dice = random.Random(7)
    for datagram in run(test):
        broken = bytearray(datagram)
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        agreed(bytes(broken))
        agreed(datagram[: dice.randrange(len(datagram))])


def test_who_comes_late_begins_with_a_snapshot_and_drops_what_is_in_it() -> None:
    async def test() -> None:
        async with Market() as market:
            market.publisher.target = (LOOPBACK, 9)
            market.trade(2_000)
            market.publisher.publish()
            view = await joined(market)
            # The feed goes on while the snapshot is on its way; some of it is in the snapshot.
            market.trade(500)
            market.publisher.publish()
            while not market.snapshots.served:
                await asyncio.sleep(0)
            market.trade(500)
            market.publisher.publish()
            await reaches(view, market)
            snapshot = view.batches[0].snapshot
            assert snapshot is not None
            assert snapshot.sequence == view.batches[0].sequence > 1_000
            assert sum(map(len, view.batches)) == len(market.engine.market) - snapshot.sequence
            assert view.data.counters.snapshots == 1
            view.data.close()

    run(test)


def test_nobody_answers_and_a_snapshot_leads_over_the_gap() -> None:
    async def test() -> None:
        async with Market() as market:
            view = await joined(market, timeout_ms=5, attempts=3)
            await reaches(view, market)
            market.publisher.is_deaf = True
            market.publisher.network = lambda datagram: []
            market.trade(500)
            market.publisher.publish()
            market.publisher.network = lambda datagram: [datagram]
            market.trade(500)
            market.publisher.publish()
            await reaches(view, market)
            counters = view.data.counters
            assert (counters.snapshots, counters.gaps) == (2, 1)
            assert counters.requested >= 3
            assert counters.retransmitted == 0
            view.data.close()

    run(test)


def test_a_gap_that_is_too_long_is_jumped_over() -> None:
    async def test() -> None:
        async with Market() as market:
            view = await joined(market, gap_max=100)
            await reaches(view, market)
            market.publisher.network = lambda datagram: []
            market.trade(1_000)
            market.publisher.publish()
            market.publisher.network = lambda datagram: [datagram]
            market.publisher.heartbeat()
            await reaches(view, market)
            assert (view.data.counters.snapshots, market.publisher.answers) == (2, 0)
            view.data.close()

    run(test)


def test_a_session_ends_for_its_readers_when_they_have_all_of_it() -> None:
    async def test() -> None:
        async with Market() as market:
            view = await joined(market)
            await reaches(view, market)
            market.trade(500)
            # The last datagrams are lost.
            market.publisher.publish(most=10)
            sent = len(market.publisher.captured)
            market.trade(100)
            market.publisher.network = lambda datagram: []
            market.publisher.publish(most=10)
            assert len(market.publisher.captured) == sent
            market.publisher.network = lambda datagram: [datagram]
            market.publisher.end()
            await view.task
            assert view.book.image() == market.engine.image()
            assert view.data.address is None
            # It is over for whoever asks again.
            with pytest.raises(StopAsyncIteration):
                await anext(view.data)

    run(test)


def test_a_session_whose_end_cannot_be_had_is_an_error() -> None:
    async def test() -> None:
        async with Market() as market:
            view = await joined(market, timeout_ms=2, attempts=2)
            await reaches(view, market)
            market.trade(200)
            market.publisher.sent = len(market.engine.market)
            market.publisher.is_deaf = True
            market.snapshots.close()
            market.publisher.end()
            with pytest.raises(tailrace.TimedOutError, match="the session ended before message"):
                await view.task
            assert isinstance(view.data.trouble, tailrace.IoError)

    run(test)


def test_a_new_session_begins_everything_anew_and_an_old_one_is_refused() -> None:
    async def test() -> None:
        async with Market() as market:
            view = await joined(market)
            market.trade(500)
            market.publisher.publish()
            await reaches(view, market)
            market.again(1_700_000_500)
            market.trade(300)
            market.publisher.publish()
            await reaches(view, market)
            assert view.data.session == view.book.session == "1700000500"
            before = view.data.counters
            old = [wire.encode("StateChanged", sequence=1, timestamp_ns=1, state=0)]
            market.publisher.send(plain_mold.written(session_of(1_700_000_000), 1, old))
            market.publisher.send(plain_mold.written(b"not digits", 1, old))
            market.publisher.send(plain_mold.written(b"99999 9999", 1, old))
            market.trade(50)
            market.publisher.publish()
            await reaches(view, market)
            assert view.data.counters.refused == before.refused + 3
            # Somebody claims a newer one, of which the snapshot service knows nothing.
            market.publisher.send(plain_mold.written(b"9999999999", 1, old))
            await asyncio.sleep(0.01)
            market.trade(50)
            market.publisher.publish()
            await reaches(view, market)
            assert view.data.session == "1700000500"
            view.data.close()

    run(test)


def test_rubbish_is_counted_and_nothing_breaks() -> None:
    async def test() -> None:
        dice = random.Random(3)
        async with Market() as market:
            view = await joined(market, timeout_ms=5, attempts=2)
            await reaches(view, market)
            for _ in range(30):
                market.trade(60)
                market.publisher.publish()
                for _ in range(40):
                    datagram = bytearray(dice.choice(market.publisher.captured[-20:]))
                    kind = dice.random()
                    if kind < 0.3:
                        datagram = bytearray(dice.randbytes(dice.randrange(200)))
                    elif kind < 0.6:
                        datagram = datagram[: dice.randrange(len(datagram))]
                    else:
                        # Not in a message's own fields, which nothing can tell from true ones.
                        datagram[dice.randrange(10, 32)] ^= 1 << dice.randrange(8)
                    if len(datagram) == 20 and datagram[18:] == b"\xff\xff":
                        continue
                    assert market.publisher.target is not None
                    market.publisher.feed.sendto(datagram, market.publisher.target)
                await asyncio.sleep(0.002)
            await reaches(view, market)
            assert view.data.counters.refused > 500
            view.data.close()

    run(test)


def test_a_lie_about_what_there_is_is_forgotten() -> None:
    async def test() -> None:
        async with Market() as market:
            view = await joined(market, timeout_ms=2, attempts=2)
            market.trade(100)
            market.publisher.publish()
            await reaches(view, market)
            market.publisher.send(plain_mold.written(market.publisher.session, 2**63, []))
            market.publisher.send(plain_mold.end(market.publisher.session, 3))
            await asyncio.sleep(0.02)
            for _ in range(5):
                market.trade(100)
                market.publisher.publish()
                await asyncio.sleep(0.02)
            await reaches(view, market)
            view.data.close()

    run(test)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (lambda answer: answer[:-1] + bytes([answer[-1] ^ 1]), tailrace.CorruptError),
        (lambda answer: answer[:100] + bytes([answer[100] ^ 1]) + answer[101:], tailrace.CorruptError),
        (lambda answer: b"B" + answer[1:], tailrace.CorruptError),
        (lambda answer: answer[:32] + b"\xff" * 8 + answer[40:], tailrace.CorruptError),
        (lambda answer: answer[:-1], tailrace.IoError),
        (lambda answer: b"", tailrace.IoError),
    ],
)
def test_a_snapshot_that_is_wrong_is_fetched_again(
    wrong: Callable[[bytes], bytes], kind: type[tailrace.TailraceError]
) -> None:
    async def test() -> None:
        async with Market() as market:
            market.trade(200)
            market.publisher.target = (LOOPBACK, 9)
            market.publisher.publish()
            market.snapshots.wire = wrong
            view = await joined(market)
            while view.data.trouble is None:
                await asyncio.sleep(0.001)
            assert type(view.data.trouble) is kind
            market.snapshots.wire = lambda answer: answer
            await reaches(view, market)
            assert market.snapshots.served > 1
            view.data.close()

    run(test)


def test_a_slow_reader_costs_no_memory_and_loses_nothing() -> None:
    async def test() -> None:
        async with Market() as market:
            data = await MarketData.join(**market.places, backlog=500)
            market.publisher.to(data.address)
            book = MarketBook()
            book.apply(await anext(data))
            for _ in range(30):
                market.trade(100)
                market.publisher.publish()
                await asyncio.sleep(0.002)
            assert data.counters.messages < 600
            assert data.counters.dropped > 500
            while book.sequence < len(market.engine.market):
                book.apply(await anext(data))
            assert book.image() == market.engine.image()
            data.close()

    run(test)


def test_a_group_is_joined() -> None:
    async def test() -> None:
        async with Market() as market:
            group = "239.255.71.5"
            port = random.Random().randrange(20_000, 30_000)
            market.publisher.feed.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            market.publisher.target = (group, port)
            places = {**market.places, "feed": f"{group}:{port}", "interface": LOOPBACK}
            async with MarketData.join(**places) as data:
                view = View(data)
                market.trade(300)
                market.publisher.publish()
                await reaches(view, market)
                assert data.counters.datagrams == len(market.publisher.captured)
            await view.task

    run(test)


def test_one_loop_at_a_time_and_a_cancelled_wait_loses_nothing() -> None:
    async def test() -> None:
        async with Market() as market, MarketData.join(**market.places) as data:
            market.publisher.to(data.address)
            await anext(data)
            waiting = asyncio.create_task(data.__anext__())
            await asyncio.sleep(0)
            with pytest.raises(tailrace.BusyError, match="one loop"):
                await anext(data)
            waiting.cancel()
            await asyncio.wait([waiting])
            market.trade(50)
            market.publisher.publish(most=1_000)
            batch = await anext(data)
            assert batch.sequence == 1
            assert repr(batch).startswith("<MarketBatch 1700000000 1:")

    run(test)


def test_wrong_arguments_and_places_are_told() -> None:
    places: dict[str, Any] = {"feed": f"{LOOPBACK}:0", "requests": f"{LOOPBACK}:1", "snapshots": f"{LOOPBACK}:1"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"feed": "somewhere"}, "feed is 'somewhere'; give an address"),
        ({"requests": "a:99999"}, "requests is 'a:99999'"),
        ({"snapshots": 5}, "snapshots is 5"),
        ({"attempts": 0}, "attempts is 0"),
        ({"patience_ms": -1}, "patience_ms is -1"),
    ]
    for wrong, words in cases:
        with pytest.raises(tailrace.ArgumentError, match=words):
            MarketData.join(**{**places, **wrong})

    async def test() -> None:
        with pytest.raises(tailrace.IoError, match=r"hearing 192\.0\.2\.1:5000"):
            await MarketData.join(**{**places, "feed": "192.0.2.1:5000"})

    run(test)
