"""Book: one stream of commands gives the same events and the same state as in every other language."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tailrace
from tailrace import Book, wire

FOLDER = Path(__file__).resolve().parents[2] / "test" / "vectors"
WIRE: dict[str, Any] = json.loads((FOLDER / "wire.json").read_text("utf-8"))
STREAM: dict[str, Any] = json.loads((FOLDER / "book.json").read_text("utf-8"))
START = 0xCBF29CE484222325
MASK = 2**64 - 1


def stream() -> npt.NDArray[np.void]:
    """The stream as stamped commands."""
    lines = [bytes.fromhex(line) for line in STREAM["commands"]]
    commands = np.zeros(len(lines), wire.COMMAND)
    commands["sequence"] = np.arange(1, len(lines) + 1)
    commands["timestamp_ns"] = commands["sequence"] * 1_000
    commands["message"] = np.array([line.ljust(40, b"\0") for line in lines], "V40")
    return commands


def fold(start: int, events: npt.NDArray[np.void]) -> int:
    """The hash of events."""
    for word in events.view("<u8").tolist():
        start = (start ^ word) * 0x9E3779B97F4A7C15 & MASK
        start ^= start >> 32
    return start


def small(**more: Any) -> Book:
    """A book of the vector's size."""
    return Book(**STREAM["config"], **more)


def order(client_order_id: int, **fields: Any) -> npt.NDArray[np.void]:
    """A limit order of account 1 to buy 5."""
    given = {"side": wire.SIDE_BUY, "order_type": wire.ORDER_LIMIT, "account": 1, "quantity": 5, **fields}
    return wire.commands("NewOrder", 1, client_order_id=client_order_id, **given)


def test_a_stream_of_commands_gives_the_events_and_states_of_the_vector() -> None:
    commands, start, count = stream(), START, 0
    with small() as book:
        for after in STREAM["after"]:
            events = book.apply(commands[after["commands"] - 500 : after["commands"]])
            start, count = fold(start, events), count + len(events)
            assert (book.sequence, count, book.order_count) == (after["commands"], after["events"], after["orders"])
            assert (str(start), str(book.state_hash)) == (after["events_hash"], after["state_hash"])
            assert np.count_nonzero(events["flags"] & wire.EVENT_LAST) == 500
            assert book.timestamp_ns == book.sequence * 1_000


def test_a_snapshot_and_the_rest_are_the_whole() -> None:
    commands = stream()
    with small(key=b"7" * 16) as whole:
        whole.apply(commands[:777])
        restored = Book.restore(whole.snapshot(), **STREAM["config"])
        assert restored.state_hash == whole.state_hash
        # As bytes, too.
        assert restored.apply(commands[777:].tobytes()).tobytes() == whole.apply(commands[777:]).tobytes()
        assert str(restored.state_hash) == STREAM["after"][-1]["state_hash"]
        assert restored.snapshot() == whole.snapshot()
        restored.close()


def test_orders_rest_trade_and_are_seen() -> None:
    with small() as book:
        assert (book.best_bid, book.best_ask, book.last_trade_price, book.is_halted) == (None, None, None, False)
        events = book.apply(
            np.concatenate([order(1, price=100), order(2, price=-3), order(1, account=2, side=2, price=99, quantity=7)])
        )
        assert events["market"].tobytes() == b"AA\0\0EA"
        assert events["price"].tolist() == [100, -3, 99, 100, 100, 99]
        assert events["exec_type"].tolist() == [1, 1, 1, 2, 2, 0]
        assert book.best_bid == (-3, 5, 1)
        assert book.best_ask == (99, 2, 1)
        assert (book.last_trade_price, book.order_count, book.market_sequence) == (100, 2, 4)
        assert book.depth("buy")["price"].tolist() == [-3]
        assert len(book.depth("sell", 0)) == 0
        assert book.account(1) == (2, 3, 1, False)


def test_a_batch_whose_events_need_more_room_has_all_of_them() -> None:
    with Book(slot_count=20_000, account_count=8) as book:
        ids = np.arange(1, 20_001)
        book.apply(wire.commands("NewOrder", 20_000, side=1, order_type=1, client_order_id=ids, price=ids, quantity=1))
        events = book.apply(wire.commands("MassCancel", 1, client_order_id=20_001))
        assert len(events) == 20_001
        assert events["exec_type"][-1] == wire.EXEC_MASS_CANCEL_DONE
        assert (events["reason"][:-1] == wire.REASONS["MASS_CANCEL"]).all()
        assert book.order_count == 0


def test_a_malformed_message_is_answered_and_no_command_is_refused() -> None:
    with small() as book:
        book.apply(order(1, price=1))
        before = book.state_hash
        answer = book.apply(order(2, side=3))
        assert answer["reason"].tolist() == [wire.REASONS["MALFORMED"]]
        wrong = np.concatenate([order(2, price=1), order(3, price=1)])
        wire.messages(wrong, "NewOrder")["message_type"][1] = 3
        with pytest.raises(tailrace.ArgumentError, match="command 1 of the batch is of type 3, which is no command"):
            book.apply(wrong)
        assert book.state_hash == before


def test_wrong_arguments_are_told_in_sentences() -> None:
    book = small()
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: book.apply(b"1"), "56 bytes each, and these are 1"),
        (lambda: book.apply(np.zeros(2)), "give one of tailrace.wire.COMMAND"),
        (lambda: book.depth("bid"), "side is 'bid'; give 'buy' or 'sell'"),  # type: ignore[arg-type]
        (lambda: book.account(8), "no account 8"),
        (lambda: book.account(-1), "account is -1"),
        (lambda: Book(band_ticks=100), "band_ticks a power of two from 64"),
        (lambda: Book(slot_count=2**32), "slot_count is 4294967296"),
        (lambda: Book(key=b"1"), "give 16 bytes"),
        (lambda: wire.encode("Order"), "give the name of one"),
        (lambda: wire.encode("NewOrder", price=2**63), "price of NewOrder is 9223372036854775808"),
        (lambda: wire.encode("NewOrder", price=1.5), "give whole numbers"),
        (lambda: wire.encode("NewOrder", prize=1), "no field prize; it has side, order_type"),
        (lambda: wire.encode("StampedCommand", message="x"), "give bytes, at most 40"),
        (lambda: wire.commands("NewOrder", 2, price=[1, 2, 3]), "has 3 numbers; give 1 or 2"),
        (lambda: wire.commands("Event", 1), "a book takes NewOrder"),
    ]
    for call, words in cases:
        with pytest.raises(tailrace.ArgumentError, match=words):
            call()
    with pytest.raises(tailrace.CorruptError, match="not a whole snapshot"):
        Book.restore(b"12345678")
    book.apply(stream()[:500])
    with pytest.raises(tailrace.NoSpaceError):
        Book.restore(book.snapshot(), slot_count=1, account_count=8)
    book.close()
    book.close()
    with pytest.raises(tailrace.ClosedError):
        _ = book.state_hash
    assert repr(book) == "<Book closed>"


@pytest.mark.parametrize("case", WIRE["messages"], ids=lambda case: str(case["message"]))
def test_messages_have_the_bytes_of_the_vector(case: dict[str, Any]) -> None:
    name, data = case["message"], bytes.fromhex(case["bytes"])
    shape = wire.MESSAGES[name]
    fields = {
        field: bytes.fromhex(value) if shape.fields[field].kind == "bytes" else int(value)
        for field, value in case["fields"].items()
    }
    assert wire.encode(name, **fields) == data
    assert wire.decode_as(name, data) == fields
    if shape.type is not None:
        assert wire.decode(data) == (name, fields)
        assert wire.size_of_type(shape.type) == len(data)


@pytest.mark.parametrize("case", WIRE["bad"], ids=lambda case: str(case["why"]))
def test_bytes_that_are_no_message_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(tailrace.CorruptError):
        wire.decode(bytes.fromhex(case["bytes"]))
