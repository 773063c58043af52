"""Exchange: the clients with the exchange itself, in four processes that are killed while orders flow.

At the end each reader's book is what the snapshot service says, byte for byte, every report came once, every command
was answered, and the journal says the same.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import plain_mold
import pytest
from followers import Trader, View
from patience import run, until
from place import LOOPBACK, USERS, Place, free_port, program
from stand_in import BadNetwork
from test_plain_mold import agreed

import tailrace
from tailrace import wire
from tailrace.exchange import MarketBatch, MarketBook, MarketData, OrderEntry
from tailrace.exchange.address import Address
from tailrace.exchange.snapshot import fetch_snapshot

pytestmark = pytest.mark.skipif(
    program() is None, reason="tailrace-exchange is not built: npm run build, or TAILRACE_EXCHANGE"
)
DOING = (wire.EXEC_ACCEPTED, wire.EXEC_REPLACED, wire.EXEC_MASS_CANCEL_DONE)


def trade(orders: OrderEntry, dice: random.Random, sent: list[int]) -> None:
    """Sends one command of a lively account."""
    kind = dice.random()
    price = 1_000 + dice.randrange(-6, 7)
    if kind < 0.6 or not sent:
        side: Any = dice.choice(["buy", "sell"])
        lasting: Any = dice.choice(["gtc", "gtc", "gtc", "ioc", "fok"])
        self_trade: Any = dice.choice(["none", "newest", "oldest", "both"])
        given = {"lasting": lasting, "self_trade": self_trade, "quantity": dice.randrange(1, 20)}
        sent.append(orders.new_order(side=side, price=price, **given))
    elif kind < 0.8:
        orders.cancel(dice.choice(sent[-30:]))
    elif kind < 0.99:
        sent.append(orders.replace(dice.choice(sent[-30:]), price=price, quantity=dice.randrange(1, 20)))
    else:
        sent.append(orders.mass_cancel())


async def flow(trader: Trader, seed: int, sent: list[int], is_over: Callable[[], bool]) -> None:
    """Sends commands, a few at a time."""
    dice = random.Random(seed)
    while not is_over():
        for _ in range(10):
            await trader.orders.room()
            trade(trader.orders, dice, sent)
        await asyncio.sleep(0.002)


def assert_answered(trader: Trader, sent: list[int]) -> None:
    """Every report came once and in order, and every command was answered."""
    numbered = [report.sequence for report in trader.reports if report.sequence]
    assert numbered == list(range(1, len(numbered) + 1))
    done = [report.client_order_id for report in trader.reports if report.exec_type in DOING]
    refused = {report.client_order_id for report in trader.reports if report.exec_type == wire.EXEC_REJECTED}
    assert len(done) == len(set(done))
    assert set(done) <= set(sent) <= set(done) | refused


async def settled(place: Place, view: View) -> None:
    """Waits until the reader has what the snapshot service has, and the service everything."""
    expected = await asyncio.to_thread(place.replay)
    address = Address.of(place.snapshots, "snapshots")
    while (snapshot := await fetch_snapshot(address, 5.0)).sequence < expected["market_sequence"]:
        await asyncio.sleep(0.01)
    await view.reaches(snapshot.session, snapshot.sequence)
    assert (view.book.session, view.book.sequence) == (snapshot.session, snapshot.sequence)
    assert view.book.image() == snapshot.orders
    assert f"{snapshot.state_hash:x}" == expected["state_hash"].removeprefix("0x").lstrip("0")


@pytest.fixture
def captured() -> Iterator[socket.socket]:
    """A second receiver of the feed, who keeps everything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        receiver.bind((LOOPBACK, 0))
        receiver.setblocking(False)
        yield receiver


def drain(receiver: socket.socket, datagrams: list[bytes]) -> None:
    """Keeps what has come."""
    while True:
        try:
            datagrams.append(receiver.recv(1 << 16))
        except BlockingIOError:
            return


def test_books_reports_and_journal_agree_and_so_does_the_other_decoder(captured: socket.socket) -> None:
    port, late_port = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    datagrams: list[bytes] = []

    async def test(place: Place) -> None:
        places: dict[str, Any] = {"requests": place.requests, "snapshots": place.snapshots}
        async with MarketData.join(feed=f"{LOOPBACK}:{port}", **places) as data:
            view = View(data)
            await until(lambda: view.batches, view.task)
            traders: list[Trader] = []
            sent: list[list[int]] = []
            for user in USERS:
                traders.append(Trader(await OrderEntry.connect(gateway=place.gateway, user=user, token=user)))
                sent.append([])
            flows = [
                flow(trader, seed, ids, lambda ids=ids: len(ids) >= 500)  # type: ignore[misc]
                for seed, (trader, ids) in enumerate(zip(traders, sent, strict=True))
            ]

            async def keep() -> None:
                while True:
                    drain(captured, datagrams)
                    await asyncio.sleep(0.002)

            keeping = asyncio.create_task(keep())
            flowing = asyncio.gather(*flows)
            await until(lambda: view.book.sequence > 500, view.task)
            async with MarketData.join(feed=f"{LOOPBACK}:{late_port}", **places) as late:
                late_view = View(late)
                await flowing
                for trader in traders:
                    await trader.answered()
                await settled(place, view)
                await late_view.reaches(view.book.session, view.book.sequence)
                assert late_view.batches[0].sequence > 100
                assert late_view.book.image() == view.book.image()
            for trader, ids in zip(traders, sent, strict=True):
                await until(lambda trader=trader: trader.orders.counters.reports == len(trader.reports))  # type: ignore[misc]
                assert_answered(trader, ids)
                await trader.orders.close()
            expected = await asyncio.to_thread(place.replay)
            assert sum(report.sequence > 0 for trader in traders for report in trader.reports) <= expected["reports"]
            # Its feed ends in good order, and so does the loop.
            await asyncio.to_thread(place.end, "publisher", is_over=True)
            await view.task
            keeping.cancel()
            drain(captured, datagrams)
            assert len(view.book.trades) > 100
            assert data.counters.refused == 0
            check_captured(view)

    def check_captured(view: View) -> None:
        packets = [agreed(datagram) for datagram in datagrams]
        assert None not in packets
        messages = [packet for packet in packets if packet is not None and packet.messages]
        assert messages[0].sequence == 1
        assert sum(packet is not None and not packet.messages for packet in packets) > 1
        assert packets[-1] is not None
        assert packets[-1].is_end
        book = MarketBook()
        for packet in messages:
            book.apply(MarketBatch(packet.session.decode(), packet.sequence, packet.messages))
        assert book.image() == view.book.image()
        assert book.trades.tobytes() == view.book.trades.tobytes()
        # Whoever breaks a captured datagram hears the same of both.
        dice = random.Random(1)
        for datagram in datagrams:
            broken = bytearray(datagram)
            broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
            agreed(bytes(broken))
            agreed(datagram[: dice.randrange(len(datagram))])

    host, capture_port = captured.getsockname()
    with Place([f"{LOOPBACK}:{port}", f"{LOOPBACK}:{late_port}", f"{host}:{capture_port}"]) as place:
        run(lambda: test(place), 120)


class Relay(asyncio.DatagramProtocol):
    """Passes the feed on, over a bad network."""

    def __init__(self, seed: int) -> None:
        self.network = BadNetwork(seed, loss=0.03)
        self.is_bad = True
        self.target: tuple[str, int] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, sender: Any) -> None:
        if self.target is not None:
            for datagram in self.network(data) if self.is_bad else [data]:
                self.transport.sendto(datagram, self.target)


@pytest.mark.parametrize("seed", range(2))
def test_parts_are_killed_and_nothing_is_lost_or_doubled(seed: int) -> None:
    port = free_port(socket.SOCK_DGRAM)

    async def test(place: Place) -> None:
        dice = random.Random(seed)
        loop = asyncio.get_running_loop()
        transport, relay = await loop.create_datagram_endpoint(lambda: Relay(seed), local_addr=(LOOPBACK, port))
        places: dict[str, Any] = {"requests": place.requests, "snapshots": place.snapshots}
        options: dict[str, Any] = {"pause_ms": 5, "pause_max_ms": 50}
        async with MarketData.join(feed=f"{LOOPBACK}:0", **places) as data:
            assert data.address is not None
            address = Address.of(data.address, "feed")
            relay.target = address.host, address.port
            view = View(data)
            traders: list[Trader] = []
            sent: list[list[int]] = []
            flows: list[asyncio.Task[None]] = []
            over = asyncio.Event()
            ended: set[str] = set()
            for user in USERS:
                trader = Trader(await OrderEntry.connect(gateway=place.gateway, user=user, token=user, **options))
                ids: list[int] = []
                traders.append(trader)
                sent.append(ids)
                flows.append(asyncio.create_task(flow(trader, dice.randrange(1 << 30), ids, over.is_set)))
            for role in ("gateway", "matcher", "publisher", "shadow", "matcher", "gateway", "publisher"):
                await asyncio.sleep(dice.uniform(0.05, 0.3))
                # One publisher is asked to leave: that is no end of the session either.
                is_second = role == "publisher" and "publisher" in ended
                await asyncio.to_thread(place.end, role, signal.SIGTERM if is_second else signal.SIGKILL)
                ended.add(role)
                await asyncio.to_thread(place.start, role)
            over.set()
            await asyncio.gather(*flows)
            for trader in traders:
                await trader.answered()
            relay.is_bad = False
            await settled(place, view)
            for trader, ids in zip(traders, sent, strict=True):
                assert_answered(trader, ids)
                assert trader.orders.counters.reconnects >= 2
                assert len(ids) > 100
                assert trader.orders.counters.refused == 0
                await trader.orders.close()
            assert relay.network.lost > 0
            assert data.counters.refused == 0
        transport.close()

    with Place([f"{LOOPBACK}:{port}"]) as place:
        run(lambda: test(place), 180)


def test_rubbish_from_the_network_is_counted_while_the_feed_goes_on() -> None:
    port = free_port(socket.SOCK_DGRAM)

    async def test(place: Place) -> None:
        places: dict[str, Any] = {"requests": place.requests, "snapshots": place.snapshots}
        dice = random.Random(4)
        async with MarketData.join(feed=f"{LOOPBACK}:{port}", **places) as data:
            view = View(data)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                trader = Trader(await OrderEntry.connect(gateway=place.gateway, user="alice", token="alice"))
                sent: list[int] = []
                for part in range(20):
                    await flow(trader, part, sent, lambda end=50 * (part + 1): len(sent) >= end)  # type: ignore[misc]
                    for _ in range(50):
                        stranger.sendto(dice.randbytes(dice.randrange(100)), (LOOPBACK, port))
                    old = plain_mold.written(b"         7", 1, [b"x" * 48])
                    stranger.sendto(old, (LOOPBACK, port))
                await trader.answered()
                await settled(place, view)
                assert data.counters.refused >= 20 * 51 - 100
                await trader.orders.close()

    with Place([f"{LOOPBACK}:{port}"]) as place:
        run(lambda: test(place), 120)


def test_a_session_is_resumed_displaced_and_cancelled_with_its_connection() -> None:
    async def test(place: Place) -> None:
        alice: dict[str, Any] = {"gateway": place.gateway, "user": "alice", "token": "alice", "pause_ms": 5}
        first = Trader(await OrderEntry.connect(**alice))
        for price in range(1, 21):
            first.orders.new_order(side="buy", price=price, quantity=1)
        await first.answered()
        second = Trader(await OrderEntry.connect(**alice, next_report=11, cancel_on_disconnect=True))
        with pytest.raises(tailrace.GoneError, match="elsewhere"):
            await first.task
        await until(lambda: len(second.reports) == 10, second.task)
        assert second.reports == first.reports[10:]
        # An id of then is answered with the report of then, and executes nothing.
        second.orders.new_order(side="sell", price=1, quantity=1, client_order_id=3)
        await second.answered()
        assert (second.reports[-1].sequence, second.reports[-1].is_repeat) == (3, True)
        # The gateway dies, and the one after it keeps the promise.
        await asyncio.to_thread(place.end, "gateway", signal.SIGKILL)
        await asyncio.to_thread(place.start, "gateway")
        await until(lambda: second.reports[-1].exec_type == wire.EXEC_MASS_CANCEL_DONE, second.task)
        assert (second.reports[-1].client_order_id, second.reports[-1].quantity) == (0, 20)
        cancelled = [one for one in second.reports if one.reason == "MASS_CANCEL"]
        assert [one.client_order_id for one in cancelled] == list(range(1, 21))
        await second.orders.close()
        with pytest.raises(tailrace.PermissionDeniedError):
            await OrderEntry.connect(**{**alice, "token": "bob"})

    with Place([f"{LOOPBACK}:9"]) as place:
        run(lambda: test(place))


def test_an_exchange_that_begins_anew_is_a_new_session() -> None:
    port = free_port(socket.SOCK_DGRAM)

    async def test(place: Place) -> None:
        places: dict[str, Any] = {"requests": place.requests, "snapshots": place.snapshots}
        alice: dict[str, Any] = {"gateway": place.gateway, "user": "alice", "token": "alice", "pause_ms": 5}
        async with MarketData.join(feed=f"{LOOPBACK}:{port}", **places) as data:
            view = View(data)
            trader = Trader(await OrderEntry.connect(**alice))
            for price in range(1, 21):
                trader.orders.new_order(side="buy", price=price, quantity=1)
            await trader.answered()
            await settled(place, view)
            session = view.book.session
            # Killed, so that nobody says that the session is over.
            await asyncio.to_thread(place.begin_anew)
            with pytest.raises(tailrace.CorruptError, match="begun anew"):
                await trader.task
            trader = Trader(await OrderEntry.connect(**alice))
            trader.orders.new_order(side="sell", price=7, quantity=3)
            await trader.answered()
            await until(lambda: view.book.session > session and view.book.sequence == 1, view.task)
            assert view.book.best_bid is None
            assert view.book.best_ask == (7, 3, 1)
            assert data.session == view.book.session
            await trader.orders.close()

    with Place([f"{LOOPBACK}:{port}"]) as place:
        run(lambda: test(place), 120)
