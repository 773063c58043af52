"""Order entry: nothing is lost or doubled, whatever becomes of connections."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any

import pytest
from followers import Trader
from patience import run, until
from stand_in_gateway import LOOPBACK, TOKEN, Gateway, RandomCuts, frame

import tailrace
from tailrace import wire
from tailrace.exchange import ExecutionReport, OrderEntry


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
                history = [ExecutionReport.of(report) for report in gateway.engine.reports[1]]
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


def without_the_second(gateway: Gateway, holes: float) -> None:
    """Leaves the second report out of what goes out, so often."""
    left = holes
    at = wire.MESSAGES["ExecutionReport"].fields["sequence"].offset + 2

    def leave_out(data: bytes) -> bytes:
        nonlocal left
        is_second = data[2] == wire.MESSAGES["ExecutionReport"].type and data[at : at + 8] == (2).to_bytes(8, "little")
        if not is_second or left <= 0:
            return data
        left -= 1
        return b""

    gateway.wire = leave_out


def test_a_hole_in_the_reports_is_filled_by_the_next_connection() -> None:
    async def test() -> None:
        async with Gateway() as gateway, OrderEntry.connect(**gateway.place) as orders:
            trader = Trader(orders)
            without_the_second(gateway, 3)
            for price in range(3):
                orders.new_order(side="buy", price=price + 1, quantity=1)
            await trader.answered()
            await until(lambda: len(trader.reports) == 3)
            assert [one.sequence for one in trader.reports] == [1, 2, 3]
            # An answer that was asked for again may be what was left out.
            assert 1 <= orders.counters.refused <= 3
            assert orders.counters.reconnects == orders.counters.refused
            assert orders.trouble is None

    run(test)


def test_a_hole_that_nobody_fills_is_an_error_after_several_connections_and_pauses_that_grow() -> None:
    async def test() -> None:
        async with Gateway() as gateway:
            place = {**gateway.place, "pause_ms": 20, "pause_max_ms": 1_000, "refused_max": 4}
            async with OrderEntry.connect(**place) as orders:
                without_the_second(gateway, float("inf"))
                loop = asyncio.get_running_loop()
                begun = loop.time()
                for price in range(3):
                    orders.new_order(side="buy", price=price + 1, quantity=1)
                reports: list[int] = []
                with pytest.raises(tailrace.CorruptError) as caught:
                    reports += [report.sequence async for report in orders]
                what = "report 3 came, and 2 is missing"
                told = f"4 connections in a row brought what cannot be, the last one: {what}"
                assert told in str(caught.value)
                assert what in str(caught.value.__cause__)
                # At least half of 20, 40 and 80 ms.
                assert loop.time() - begun >= 0.07
                assert (orders.counters.refused, len(gateway.logins)) == (4, 4)
                assert orders.counters.reports == 1
                with pytest.raises(tailrace.ClosedError):
                    orders.new_order(side="buy", price=1, quantity=1)

    run(test)
