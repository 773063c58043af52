"""Market book: what the messages of a real book say is that book, and what cannot be is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
from engine import SESSION, Engine, commands, flow

import tailrace
from tailrace import wire
from tailrace.exchange import MarketBatch, MarketBook, Snapshot


def batch(*payloads: bytes) -> MarketBatch:
    """Messages that begin with the first one's sequence."""
    return MarketBatch(SESSION, int.from_bytes(payloads[0][8:16], "little"), payloads)


def whole(engine: Engine) -> MarketBatch:
    """A snapshot of now."""
    snapshot = Snapshot(SESSION, len(engine.market), engine.book.state_hash, engine.image())
    return MarketBatch(SESSION, snapshot.sequence, (), snapshot)


def assert_same(book: MarketBook, engine: Engine) -> None:
    assert book.image() == engine.image()
    assert book.sequence == engine.book.market_sequence
    assert (book.order_count, book.best_bid, book.best_ask) == (
        engine.book.order_count,
        engine.book.best_bid,
        engine.book.best_ask,
    )


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_book_whose_messages_it_reads(seed: int) -> None:
    engine, book, seen = Engine(), MarketBook(), 0
    for index, message in enumerate(commands(seed, 3_000)):
        engine.apply(message)
        if seen < len(engine.market):
            book.apply(batch(*engine.market[seen:]))
            seen = len(engine.market)
        if index % 50 == 0:
            assert_same(book, engine)
    assert_same(book, engine)
    assert {message[0] for message in engine.market} == set(b"AEXDUH")
    for side in ("buy", "sell"):
        depth = book.depth(side)
        assert depth.tobytes() == engine.book.depth(side).tobytes()
        assert depth[:3].tobytes() == book.depth(side, 3).tobytes()
    assert book.is_halted == engine.book.is_halted
    assert book.session == SESSION
    last = wire.decode(engine.market[-1]).fields
    assert book.timestamp_ns == last["timestamp_ns"]
    row = np.concatenate([book.orders("sell"), book.orders("buy")])[-1]
    found = book.order(int(row["order_id"]))
    assert found == (
        row["order_id"],
        {1: "buy", 2: "sell"}[int(row["side"])],
        row["price"],
        row["quantity"],
        row["priority"],
    )
    assert book.order(2**60) is None


def test_a_snapshot_and_the_rest_are_the_whole() -> None:
    engine, late, given = Engine(), MarketBook(), flow(9)
    for message in islice(given, 1_500):
        engine.apply(message)
    assert late.apply(whole(engine)).size == 0
    assert late.is_halted is None
    assert_same(late, engine)
    seen = len(engine.market)
    for message in islice(given, 1_500):
        engine.apply(message)
    late.apply(batch(*engine.market[seen:]))
    assert_same(late, engine)
    # A later snapshot replaces everything.
    late.apply(whole(engine))
    assert_same(late, engine)
    empty = Snapshot(SESSION, 0, 0, b"")
    late.apply(MarketBatch(SESSION, 0, (), empty))
    assert (late.order_count, late.sequence, late.best_bid) == (0, 0, None)
    assert not late.is_halted
    assert late.is_halted is not None


def test_trades_are_an_array_that_stays_and_the_last_ones_are_kept() -> None:
    engine, book = Engine(), MarketBook(trades_max=500)
    per_batch: list[bytes] = []
    early, early_bytes = book.trades, b""
    for index, message in enumerate(commands(3, 9_000)):
        seen = len(engine.market)
        engine.apply(message)
        if seen < len(engine.market):
            per_batch.append(book.apply(batch(*engine.market[seen:])).tobytes())
        if index == 2_000:
            early, early_bytes = book.trades, book.trades.tobytes()
    trades = [message for message in engine.market if message[:1] == b"E"]
    assert len(trades) > 1_500
    assert b"".join(per_batch) == b"".join(trades)
    assert book.trades.tobytes() == b"".join(trades[-500:])
    assert early.tobytes() == early_bytes != b""
    assert int(book.last_trade["price"]) == engine.book.last_trade_price
    # The average price in one line of numpy.
    price, quantity = book.trades["price"], book.trades["quantity"].astype("i8")
    assert 990 < (price * quantity).sum() / quantity.sum() < 1_010
    with pytest.raises(ValueError, match="read-only"):
        book.trades["price"] = 0


def order(sequence: int, order_id: int, *, price: int = 5, quantity: int = 7, flags: int = 0) -> bytes:
    """An order that rests."""
    fields = {"order_id": order_id, "price": price, "quantity": quantity, "flags": flags}
    return wire.encode("Added", sequence=sequence, timestamp_ns=1, **fields)


IMPOSSIBLE: list[tuple[str, dict[str, int], str]] = [
    ("Added", {"sequence": 4, "order_id": 9, "quantity": 1}, "3 is next"),
    ("Added", {"sequence": 2, "order_id": 9, "quantity": 1}, "3 is next"),
    ("Added", {"order_id": 9}, "asks for 0"),
    ("Added", {"order_id": 3, "quantity": 1}, "adds order 3 after order 3"),
    ("Added", {"order_id": 9, "price": 5, "quantity": 2**64 - 1}, "which cannot be"),
    ("Added", {"order_id": 9, "quantity": 1, "flags": 2}, "has flags 2"),
    ("Executed", {"order_id": 1, "price": 5, "quantity": 1}, "order 1, which does not rest there"),
    ("Executed", {"order_id": 2, "price": 5, "quantity": 8}, "takes 8 off order 2, which has 7"),
    ("Executed", {"order_id": 2, "price": 5, "quantity": 0}, "takes 0"),
    ("Executed", {"order_id": 2, "price": 6, "quantity": 1}, "not its price"),
    ("Executed", {"order_id": 3, "price": 5, "quantity": 1}, "order 3, which does not rest there"),
    ("Reduced", {"order_id": 2, "removed": 7}, "takes 7 off order 2, which has 6"),
    ("Deleted", {"order_id": 2, "flags": 1}, "does not rest there"),
    ("Replaced", {"order_id": 2, "new_order_id": 2, "quantity": 1}, "adds order 2 after"),
    ("Replaced", {"order_id": 2, "new_order_id": 4, "quantity": 0}, "asks for 0"),
    ("StateChanged", {"state": 2}, "names state 2"),
    ("StateChanged", {"flags": 1}, "has flags 1"),
]


@pytest.mark.parametrize(("name", "fields", "words"), IMPOSSIBLE)
def test_a_message_that_cannot_be_is_refused_and_changes_nothing(name: str, fields: dict[str, int], words: str) -> None:
    book = MarketBook()
    book.apply(batch(order(1, 2), order(2, 3, price=8, flags=wire.MARKET_SELL)))
    before = book.image()
    message = wire.encode(name, **{"sequence": 3, **fields})
    with pytest.raises(tailrace.CorruptError, match=words):
        book.apply(MarketBatch(SESSION, 3, [message]))
    assert (book.image(), book.sequence) == (before, 2)
    # What comes before it in its batch is in the book.
    with pytest.raises(tailrace.CorruptError):
        book.apply(MarketBatch(SESSION, 3, [order(3, 5), message[:-1]]))
    assert book.sequence == 3
    with pytest.raises(tailrace.CorruptError, match="load a snapshot"):
        book.apply(MarketBatch(SESSION, 9, [order(9, 9)]))


def rows(*orders: tuple[int, int, int, int, int]) -> bytes:
    """An image: id, price, quantity, priority, side."""
    array = np.zeros(len(orders), wire.DTYPES["SnapshotOrder"])
    for name, column in zip(
        ("order_id", "price", "quantity", "priority", "side"), zip(*orders, strict=True), strict=True
    ):
        array[name] = column
    return array.tobytes()


@pytest.mark.parametrize(
    "image",
    [
        b"1234",
        rows((1, 5, 7, 2, 1)),
        rows((1, 5, 0, 1, 1)),
        rows((1, 5, 7, 1, 3)),
        rows((1, 5, 7, 1, 0)),
        rows((2, 5, 7, 2, 1), (1, 5, 7, 1, 1)),
        rows((1, 5, 7, 1, 1), (1, 5, 7, 1, 1)),
        rows((1, 5, 7, 1, 1), (1, 4, 7, 1, 1)),
        rows((1, 4, 7, 1, 1), (2, 5, 7, 2, 1)),
        rows((1, 9, 7, 1, 2), (2, 8, 7, 2, 2)),
        rows((1, 9, 7, 1, 2), (2, 8, 7, 2, 1)),
        rows((1, 9, 2**64 - 1, 1, 2), (2, 9, 1, 2, 2)),
        rows((1, 5, 7, 1, 1))[:-1] + b"\1",
    ],
)
def test_a_snapshot_that_cannot_be_is_refused_and_changes_nothing(image: bytes) -> None:
    book = MarketBook()
    book.apply(batch(order(1, 2)))
    before = book.image()
    with pytest.raises(tailrace.CorruptError):
        book.load(Snapshot(SESSION, 5, 0, image))
    assert (book.image(), book.sequence, book.session) == (before, 1, SESSION)


def test_numbers_go_to_their_ends() -> None:
    image = rows((2**63, 2**62 - 1, 2**64 - 1, 2**63, 1), (3, -(2**62) + 1, 1, 3, 1))
    book = MarketBook()
    book.load(Snapshot(SESSION, 2**64 - 2, 0, image))
    assert book.image() == image
    assert book.best_bid == (2**62 - 1, 2**64 - 1, 1)
    assert book.depth("buy")["price"].tolist() == [2**62 - 1, -(2**62) + 1]
    book.apply(MarketBatch(SESSION, 2**64 - 1, [order(2**64 - 1, 2**64 - 1, flags=wire.MARKET_SELL)]))
    assert book.best_ask == (5, 7, 1)


def test_rubbish_is_refused_and_never_anything_else() -> None:
    dice = random.Random(5)
    engine, book = Engine(), MarketBook()
    for message in commands(11, 400):
        engine.apply(message)
    book.apply(batch(*engine.market))
    refused = 0
    for _ in range(20_000):
        payload = bytearray(dice.choice(engine.market))
        payload[8:16] = (book.sequence + 1).to_bytes(8, "little")
        for _ in range(dice.randrange(1, 4)):
            payload[dice.randrange(len(payload))] = dice.randrange(256)
        payload = payload[: dice.choice([len(payload), len(payload), dice.randrange(len(payload) + 1)])]
        before = book.sequence
        try:
            book.apply(MarketBatch(SESSION, before + 1, [bytes(payload)]))
        except tailrace.CorruptError:
            refused += 1
            assert book.sequence == before
    assert 10_000 < refused < 20_000
    # It never forgot which price an order has.
    assert sum(book.depth("buy")["order_count"].tolist()) + len(book.orders("sell")) == book.order_count


def test_wrong_arguments_are_told_in_sentences() -> None:
    book = MarketBook()
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: MarketBook(trades_max=0), "trades_max is 0"),
        (lambda: book.depth("bid"), "side is 'bid'; give 'buy' or 'sell'"),  # type: ignore[arg-type]
        (lambda: book.depth("buy", -1), "levels is -1"),
        (lambda: book.orders("x"), "side is 'x'"),  # type: ignore[arg-type]
    ]
    for call, words in cases:
        with pytest.raises(tailrace.ArgumentError, match=words):
            call()
    assert repr(book) == "<MarketBook bid=None ask=None orders=0>"
