"""Order entry: nothing is lost or doubled, whatever becomes of connections."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from stand_in_gateway import LOOPBACK, TOKEN, Gateway, RandomCuts, frame

import tailrace
from tailrace import wire
from tailrace.exchange import ExchangeError, ExecutionReport, OrderEntry

# No wait of a test is longer, seconds.
PATIENCE = 60
REASONS = {number: name for name, number in wire.REASONS.items()}


def run(test: Callable[[], Awaitable[Any]]) -> None:
    """Runs a test to its end, which comes."""

    async def bounded() -> None:
        await asyncio.wait_for(test(), PATIENCE)

    asyncio.run(bounded())


async def until(is_so: Callable[[], object]) -> None:
    """Waits until something is so."""
    while not is_so():
        await asyncio.sleep(0.001)


class Trader:
    """A client, and the reports it has read."""

    def __init__(self, orders: OrderEntry) -> None:
        self.orders = orders
        self.reports: list[ExecutionReport] = []
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for report in self.orders:
            self.reports.append(report)

    async def answered(self) -> None:
        """Waits until all commands have answers that were read."""
        while self.orders.unanswered or self.orders.counters.reports > len(self.reports):
            if self.task.done():
                await self.task
            await asyncio.sleep(0.001)


def numbers(report: bytes) -> ExecutionReport:
    """A report of the engine as a client sees it."""
    return ExecutionReport.of(report)


def test_orders_are_sent_and_reports_read_in_words() -> None:
    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place) as orders:
            assert (orders.account, orders.last_client_order_id, orders.next_report) == (1, 0, 1)
            first = orders.new_order(side="buy", price=100, quantity=5, post_only=True)
            second = orders.new_order(side="sell", price=101, quantity=7, self_trade="oldest", client_order_id=10)
            third = orders.replace(second, price=102, quantity=9)
            market = orders.new_order(side="buy", quantity=20, lasting="ioc", self_trade="none")
            orders.cancel(first)
            orders.cancel(99)
            last = orders.mass_cancel(side="sell")
            assert (first, second, third, market, last, orders.last_client_order_id) == (1, 10, 11, 12, 13, 13)
            assert orders.unanswered == 7
            trader = Trader(orders)
            await trader.answered()
            told = [
                (one.exec_type, one.reason, one.client_order_id, one.side, one.is_maker, one.is_done, one.quantity)
                for one in trader.reports
            ]
            assert told == [
                (wire.EXEC_ACCEPTED, "NONE", 1, "buy", False, False, 5),
                (wire.EXEC_ACCEPTED, "NONE", 10, "sell", False, False, 7),
                (wire.EXEC_REPLACED, "NONE", 11, "sell", False, False, 9),
                (wire.EXEC_ACCEPTED, "NONE", 12, "buy", False, False, 20),
                (wire.EXEC_FILL, "NONE", 12, "buy", False, False, 9),
                (wire.EXEC_FILL, "NONE", 11, "sell", True, True, 9),
                (wire.EXEC_CANCELLED, "REMAINDER", 12, "buy", False, True, 11),
                (wire.EXEC_CANCELLED, "NONE", 1, "buy", False, True, 5),
                (wire.EXEC_REJECTED, "UNKNOWN_ORDER", 99, "buy", False, False, 0),
                (wire.EXEC_MASS_CANCEL_DONE, "NONE", 13, "buy", False, False, 0),
            ]
            assert [one.sequence for one in trader.reports] == [1, 2, 3, 4, 5, 6, 7, 8, 0, 9]
            assert trader.reports[2].reference == 10
            assert orders.next_report == 10
            assert orders.is_connected
            counters = orders.counters
            assert (counters.sent, counters.reports, counters.resent, counters.reconnects) == (7, 10, 0, 0)
            assert repr(orders) == "<OrderEntry of account 1, connected, 0 unanswered>"
            flags = [fields["flags"] for _, name, fields in gateway.received if name == "NewOrder"]
            assert flags == [wire.FLAG_POST_ONLY, wire.FLAG_STP_OLDEST, 0]
        await trader.task
        with pytest.raises(tailrace.ClosedError, match="connect a new one"):
            orders.new_order(side="buy", price=1, quantity=1)
        with pytest.raises(tailrace.ClosedError):
            await orders.room()

    run(test)


@pytest.mark.parametrize("seed", range(4))
def test_connections_break_at_any_moment_and_nothing_is_lost_or_doubled(seed: int) -> None:
    async def test() -> None:
        dice = random.Random(seed)
        async with Gateway() as gateway:
            gateway.fault = cuts = RandomCuts(seed, 0.04)
            async with OrderEntry.connect(**gateway.place) as orders:
                trader = Trader(orders)
                sent: list[int] = []
                cancelled: list[int] = []
                for _ in range(600):
                    await orders.room()
                    kind = dice.random()
                    if kind < 0.65 or not sent:
                        side: Any = dice.choice(["buy", "sell"])
                        sent.append(
                            orders.new_order(
                                side=side, price=1_000 + dice.randrange(-5, 6), quantity=dice.randrange(1, 9)
                            )
                        )
                    elif kind < 0.8:
                        cancelled.append(dice.choice(sent[-20:]))
                        orders.cancel(cancelled[-1])
                    elif kind < 0.98:
                        old = dice.choice(sent[-20:])
                        sent.append(orders.replace(old, price=1_000 + dice.randrange(-5, 6), quantity=5))
                    else:
                        sent.append(orders.mass_cancel())
                    if dice.random() < 0.3:
                        await asyncio.sleep(0)
                gateway.fault = lambda step: None
                await trader.answered()
                # An order is answered before its fills are told.
                await until(lambda: orders.next_report > len(gateway.engine.reports[1]))
                await trader.answered()
                counters = orders.counters
                assert cuts.count > 10
                assert counters.reconnects > 10
                assert counters.resent > 10
                # Every report of the account, once, in order.
                history = [numbers(report) for report in gateway.engine.reports[1]]
                assert [report for report in trader.reports if report.sequence] == history
                # Every command was answered once.
                doing = (wire.EXEC_ACCEPTED, wire.EXEC_REPLACED, wire.EXEC_MASS_CANCEL_DONE)
                answers = [one.client_order_id for one in trader.reports if one.exec_type in doing]
                refused = [
                    one.client_order_id
                    for one in trader.reports
                    if one.exec_type == wire.EXEC_REJECTED and one.client_order_id not in answers
                ]
                assert len(answers) == len(set(answers))
                assert set(answers) | set(refused) >= set(sent)
                assert set(answers) <= set(sent)
                assert sum(name != "CancelOrder" for _, name, _ in gateway.received) > len(sent)
                rejections = sum(one.exec_type == wire.EXEC_REJECTED for one in trader.reports)
                assert rejections <= len(sent) - len(answers) + len(cancelled)

    run(test)


def test_a_gateway_that_comes_back_later_finds_its_clients_waiting() -> None:
    async def test() -> None:
        gateway = Gateway()
        await gateway.open()
        async with OrderEntry.connect(**gateway.place, pause_max_ms=20) as orders:
            trader = Trader(orders)
            orders.new_order(side="buy", price=1, quantity=1)
            await trader.answered()
            await gateway.close()
            await until(lambda: not orders.is_connected)
            # What is sent now waits.
            orders.new_order(side="buy", price=2, quantity=1)
            orders.cancel(1)
            waiting = asyncio.create_task(orders.room())
            await until(lambda: isinstance(orders.trouble, tailrace.IoError))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert orders.unanswered == 2
            await gateway.open()
            await trader.answered()
            await waiting
            assert orders.trouble is None
            assert [one.sequence for one in trader.reports] == [1, 2, 3]
            assert orders.counters.reconnects == 1
        await gateway.close()

    run(test)


def test_old_reports_are_had_again_or_only_new_ones() -> None:
    async def test() -> None:
        async with Gateway() as gateway:
            async with OrderEntry.connect(**gateway.place) as orders:
                first = Trader(orders)
                for price in range(50):
                    orders.new_order(side="buy", price=price, quantity=1)
                await first.answered()
            async with OrderEntry.connect(**gateway.place, next_report=31) as orders:
                again = Trader(orders)
                await until(lambda: len(again.reports) == 20)
                assert again.reports == first.reports[30:]
                assert orders.last_client_order_id == 50
            async with OrderEntry.connect(**gateway.place) as orders:
                fresh = Trader(orders)
                orders.new_order(side="buy", price=1, quantity=1)
                await fresh.answered()
                assert [one.sequence for one in fresh.reports] == [51]
                # An id of earlier is answered with the report of then, which this client has not seen.
                orders.new_order(side="sell", price=1, quantity=1, client_order_id=7)
                await fresh.answered()
                assert (fresh.reports[-1].sequence, fresh.reports[-1].is_repeat) == (7, True)
                assert gateway.engine.book.order_count == 51

    run(test)


def test_a_rejected_command_is_asked_again_and_a_done_cancel_is_not_told_twice() -> None:
    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place) as orders:
            trader = Trader(orders)
            orders.new_order(side="buy", price=5, quantity=1)
            await trader.answered()
            steps: list[str] = []

            def once(step: str) -> None:
                steps.append(step)
                if steps == ["before", "after"]:
                    gateway.cut()

            gateway.fault = once
            orders.cancel(1)
            await trader.answered()
            await until(lambda: len(gateway.received) == 3)
            steps.clear()
            orders.new_order(side="buy", price=5, quantity=0)
            await trader.answered()
            assert [(one.exec_type, one.reason) for one in trader.reports] == [
                (wire.EXEC_ACCEPTED, "NONE"),
                (wire.EXEC_CANCELLED, "NONE"),
                (wire.EXEC_REJECTED, "ZERO_QUANTITY"),
            ]
            assert orders.counters.resent == 2

    run(test)


def test_a_refusal_for_its_rate_says_nothing_of_a_command_that_was_sent_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tailrace.exchange.session._RATE_SECONDS", 0.01)

    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place) as orders:
            trader = Trader(orders)
            kept: list[bytes] = []
            original = gateway.engine.apply

            def apply(message: bytes) -> list[bytes]:
                if len(gateway.logins) == 2 and len(kept) == 0:
                    kept.append(message)
                    fields = wire.decode(message).fields
                    known = {"account": 1, "client_order_id": fields["client_order_id"]}
                    reason = wire.REASONS["RATE"]
                    return [wire.encode("ExecutionReport", exec_type=wire.EXEC_REJECTED, reason=reason, **known)]
                return original(message)

            gateway.engine.apply = apply  # type: ignore[method-assign]
            orders.new_order(side="buy", price=5, quantity=0)
            orders.new_order(side="buy", price=5, quantity=1)

            def after_both(step: str) -> None:
                if step == "after" and len(gateway.received) == 2:
                    gateway.cut()

            gateway.fault = after_both
            await trader.answered()
            assert [(one.exec_type, one.reason) for one in trader.reports] == [
                (wire.EXEC_REJECTED, "ZERO_QUANTITY"),
                (wire.EXEC_ACCEPTED, "NONE"),
            ] or [one.exec_type for one in trader.reports] == [wire.EXEC_ACCEPTED, wire.EXEC_REJECTED]
            assert gateway.engine.book.order_count == 1

    run(test)


@pytest.mark.parametrize(
    ("refusal", "kind", "code"),
    [
        ("LOGIN", tailrace.PermissionDeniedError, "ERR_PERMISSION"),
        ("LOGIN_VERSION", tailrace.VersionError, "ERR_VERSION"),
        ("UNAVAILABLE", tailrace.BusyError, "ERR_BUSY"),
        ("MALFORMED", tailrace.ArgumentError, "ERR_ARGUMENT"),
        ("HALTED", tailrace.UnsupportedError, "ERR_UNSUPPORTED"),
    ],
)
def test_a_refused_login_is_an_error_of_its_kind(refusal: str, kind: type[tailrace.TailraceError], code: str) -> None:
    async def test() -> None:
        async with Gateway() as gateway:
            gateway.refusals["alice"] = wire.REASONS[refusal]
            with pytest.raises(kind) as caught:
                await OrderEntry.connect(**gateway.place)
            assert isinstance(caught.value, ExchangeError)
            assert (caught.value.reason, caught.value.code) == (refusal, code)

    run(test)


def test_a_refusal_later_ends_it_but_for_a_full_house() -> None:
    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place) as orders:
            trader = Trader(orders)
            gateway.refusals["alice"] = wire.REASONS["UNAVAILABLE"]
            gateway.cut()
            await until(lambda: isinstance(orders.trouble, ExchangeError))
            gateway.refusals.clear()
            await until(lambda: orders.is_connected)
            gateway.refusals["alice"] = wire.REASONS["LOGIN"]
            waiting = asyncio.create_task(orders.room())
            gateway.cut()
            with pytest.raises(tailrace.PermissionDeniedError):
                await trader.task
            await asyncio.wait([waiting])
            with pytest.raises(tailrace.ClosedError):
                orders.mass_cancel()

    run(test)


def test_another_login_of_the_user_ends_the_first_for_good() -> None:
    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place) as first:
            trader = Trader(first)
            async with OrderEntry.connect(**gateway.place) as second:
                with pytest.raises(tailrace.GoneError, match="elsewhere"):
                    await trader.task
                assert second.is_connected
                await asyncio.sleep(0.02)
                assert len(gateway.logins) == 2

    run(test)


def test_an_exchange_that_began_anew_is_an_error() -> None:
    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place) as orders:
            trader = Trader(orders)
            orders.new_order(side="buy", price=5, quantity=1)
            await trader.answered()
            gateway.engine.reports.clear()
            gateway.cut()
            with pytest.raises(tailrace.CorruptError, match="begun anew"):
                await trader.task

    run(test)


def test_silence_is_noticed_on_both_sides() -> None:
    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place, heartbeat_ms=100) as orders:
            assert gateway.logins[0]["heartbeat_ms"] == 100
            await asyncio.sleep(0.6)
            assert gateway.heartbeats >= 3
            assert orders.counters.reconnects == 0
            gateway.is_silent = True
            await until(lambda: orders.counters.reconnects == 1)
            assert len(gateway.logins) == 2

    run(test)


def test_a_gateway_that_never_welcomes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.exchange.connection._WELCOME_SECONDS", 0.05)

    async def test() -> None:
        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(hold, LOOPBACK, 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(tailrace.TimedOutError, match="was silent"):
            await OrderEntry.connect(gateway=f"{LOOPBACK}:{port}", user="a", token=TOKEN, heartbeat_ms=100)
        server.close()
        await asyncio.sleep(0.01)
        with socket.socket() as nobody:
            nobody.bind((LOOPBACK, 0))
            with pytest.raises(tailrace.IoError, match="connecting to the gateway") as caught:
                await OrderEntry.connect(gateway=f"{LOOPBACK}:{nobody.getsockname()[1]}", user="a", token=TOKEN)
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    run(test)


def test_a_slow_reader_stops_the_connection_and_loses_nothing() -> None:
    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place, backlog=10) as orders:
            for price in range(3_000):
                await orders.room()
                orders.new_order(side="buy", price=price + 1, quantity=1)
            await asyncio.sleep(0.05)
            assert orders.counters.reports < 3_000
            got = [await anext(orders) for _ in range(3_000)]
            assert [one.sequence for one in got] == list(range(1, 3_001))

    run(test)


def test_too_many_commands_without_an_answer_are_refused() -> None:
    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place, unanswered_max=3) as orders:
            trader = Trader(orders)
            for _ in range(3):
                orders.new_order(side="buy", price=1, quantity=1)
            with pytest.raises(tailrace.NoSpaceError, match=r"await room\(\)"):
                orders.cancel(1)
            await orders.room()
            orders.cancel(1)
            await trader.answered()
            assert orders.counters.sent == 4

    run(test)


@pytest.mark.parametrize("seed", range(3))
def test_rubbish_ends_a_connection_is_counted_and_nothing_is_lost(seed: int) -> None:
    async def test() -> None:
        dice = random.Random(seed)
        rubbish = 0

        def spoil(data: bytes) -> bytes:
            nonlocal rubbish
            if dice.random() > 0.15:
                return data
            rubbish += 1
            kind = dice.random()
            if kind < 0.3:
                return dice.randbytes(dice.randrange(1, 200)) + b"\0\0\0" * 100
            if kind < 0.5:
                return frame(wire.encode("NewOrder")) + data
            if kind < 0.7:
                return frame(wire.encode("ExecutionReport", account=7, sequence=1)) + data
            if kind < 0.85:
                # A report that is not the next one.
                return frame(wire.encode("ExecutionReport", account=1, sequence=2**40, exec_type=2)) + data
            return frame(b"\7" + dice.randbytes(7)) + data

        async with Gateway() as gateway, OrderEntry.connect(**gateway.place, pause_max_ms=5) as orders:
            trader = Trader(orders)
            gateway.wire = spoil
            for price in range(300):
                orders.new_order(side="buy", price=price + 1, quantity=1)
                await asyncio.sleep(0)
            while orders.unanswered > 250 or orders.counters.refused < 10:
                await asyncio.sleep(0.001)
            gateway.wire = lambda data: data
            await trader.answered()
            assert [one.sequence for one in trader.reports] == list(range(1, 301))
            assert 10 <= orders.counters.refused <= rubbish

    run(test)


def test_wrong_arguments_are_told_in_sentences() -> None:
    places: dict[str, Any] = {"gateway": f"{LOOPBACK}:1", "user": "alice", "token": TOKEN}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"gateway": "x"}, "gateway is 'x'"),
        ({"user": "a" * 17}, "user must have 1 to 16 bytes"),
        ({"token": b""}, "token must have 1 to 32 bytes"),
        ({"heartbeat_ms": 99}, "heartbeat_ms is 99; give a number from 100 to 60000"),
        ({"next_report": -1}, "next_report is -1"),
        ({"backlog": 0}, "backlog is 0"),
    ]
    for options, words in wrong:
        with pytest.raises(tailrace.ArgumentError, match=words):
            OrderEntry.connect(**{**places, **options})

    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place) as orders:
            calls: list[tuple[Callable[[], object], str]] = [
                (lambda: orders.new_order(side="bid", price=1, quantity=1), "side is 'bid'"),  # type: ignore[arg-type]
                (lambda: orders.new_order(side="buy", price=1.5, quantity=1), "price is 1.5"),  # type: ignore[arg-type]
                (lambda: orders.new_order(side="buy", price=2**63, quantity=1), "price is 9223372036854775808"),
                (lambda: orders.new_order(side="buy", price=1, quantity=-1), "quantity is -1"),
                (lambda: orders.new_order(side="buy", quantity=1, lasting="day"), "lasting is 'day'"),  # type: ignore[arg-type]
                (lambda: orders.new_order(side="buy", quantity=1, self_trade="x"), "self_trade is 'x'"),  # type: ignore[arg-type]
                (lambda: orders.cancel(2**64), "client_order_id is"),
                (lambda: orders.mass_cancel(side="both"), "side is 'both'"),  # type: ignore[arg-type]
            ]
            for call, words in calls:
                with pytest.raises(tailrace.ArgumentError, match=words):
                    call()
            orders.new_order(side="buy", price=1, quantity=1, client_order_id=5)
            with pytest.raises(tailrace.ArgumentError, match="client_order_id 5 waits for its answer"):
                orders.replace(1, price=1, quantity=1, new_client_order_id=5)
            assert orders.unanswered == 1

    run(test)
