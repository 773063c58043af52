"""Order entry: in words, and what the exchange refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from followers import Trader
from patience import run, until
from stand_in_gateway import LOOPBACK, TOKEN, Gateway

import tailrace
from tailrace import wire
from tailrace.exchange import ExchangeError, OrderEntry


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
