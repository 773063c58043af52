"""Engine: a real book and what an exchange makes of its events, for tests of the clients."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import numpy as np

from tailrace import Book, wire

SESSION = "1700000000"
_MARKET = {shape.type: name for name, shape in wire.MESSAGES.items() if shape.type is not None}
# Words of a book's snapshot before its accounts, of an account, and of an order; see core/src/book/snapshot.rs.
_HEAD, _ACCOUNT, _ORDER = 16, 4, 6


class Engine:
    """A book that numbers its commands, and gives reports and market messages as bytes."""

    def __init__(self, account_count: int = 8) -> None:
        self.book = Book(slot_count=4_096, account_count=account_count, key=b"k" * 16)
        self.reports: dict[int, list[bytes]] = {}
        self.market: list[bytes] = []
        self.sequence = 0

    def apply(self, message: bytes) -> list[bytes]:
        """Executes one command; its reports, one behind the other, accounts mixed."""
        self.sequence += 1
        command = np.zeros(1, wire.COMMAND)
        command["sequence"], command["timestamp_ns"] = self.sequence, self.sequence * 1_000
        command["message"] = np.array([message.ljust(40, b"\0")], "V40")
        reports = []
        for event in self.book.apply(command):
            if event["market"]:
                self.market.append(market_message(event, self.sequence * 1_000))
            if event["exec_type"]:
                reports.append(report(event))
        for made in reports:
            if wire.decode_as("ExecutionReport", made)["sequence"]:
                account = int(wire.decode_as("ExecutionReport", made)["account"])
                self.reports.setdefault(account, []).append(made)
        return reports

    def image(self) -> bytes:
        """What the snapshot service would send of the book's orders, from the book's own snapshot."""
        words = np.frombuffer(self.book.snapshot(), "<u8")
        accounts, bids, asks = (int(word) for word in words[13:16])
        first = _HEAD + accounts * _ACCOUNT
        rows = words[first : first + (bids + asks) * _ORDER].reshape(-1, _ORDER)
        orders = np.zeros(len(rows), wire.DTYPES["SnapshotOrder"])
        orders["price"] = rows[:, 0].astype("<i8")
        orders["order_id"] = orders["priority"] = rows[:, 1]
        orders["quantity"] = rows[:, 3]
        orders["side"][:bids] = wire.SIDE_BUY
        orders["side"][bids:] = wire.SIDE_SELL
        return orders.tobytes()


def report(event: np.void) -> bytes:
    """The execution report of an event."""
    fields = {name: int(event[name]) for name in wire.MESSAGES["ExecutionReport"].fields}
    fields["flags"] &= ~wire.EVENT_LAST
    return wire.encode("ExecutionReport", **fields)


def market_message(event: np.void, timestamp_ns: int) -> bytes:
    """The market message of an event."""
    name = _MARKET[int(event["market"])]
    reference, quantity = int(event["reference"]), int(event["quantity"])
    known = {
        "flags": 0 if name == "StateChanged" else int(event["flags"]) & wire.REPORT_SELL,
        "sequence": int(event["market_sequence"]),
        "timestamp_ns": timestamp_ns,
        "order_id": int(event["order_id"]),
        "match_id": reference,
        "new_order_id": reference,
        "state": reference,
        "price": int(event["price"]),
        "quantity": quantity,
        "removed": quantity,
    }
    shape = wire.MESSAGES[name]
    return wire.encode(name, **{field: known[field] for field, place in shape.fields.items() if place.kind != "zeros"})


def commands(seed: int, count: int) -> list[bytes]:
    """The first ones of a flow."""
    return list(islice(flow(seed), count))


def flow(seed: int, accounts: int = 4) -> Iterator[bytes]:
    """A stream that does everything the book can do, around one price, so that much of it trades."""
    dice = random.Random(seed)
    ids = dict.fromkeys(range(1, accounts + 1), 0)
    while True:
        account = dice.randrange(1, accounts + 1)
        kind = dice.random()
        ids[account] += 1
        new_id = ids[account]
        old_id = max(1, new_id - dice.randrange(1, 30))
        price, quantity = 1_000 + dice.randrange(-8, 9), dice.randrange(0, 30)
        flags = int(dice.random() < 0.1) | dice.randrange(5) << 1
        if kind < 0.55:
            side, order_type = dice.randrange(1, 3), dice.choice([1, 1, 1, 1, 2, 0x11, 0x12, 0x21])
            if order_type != wire.ORDER_LIMIT:
                flags &= ~wire.FLAG_POST_ONLY
            at = 0 if order_type & 0xF == wire.ORDER_MARKET else price
            given = {"side": side, "order_type": order_type, "flags": flags, "price": at, "quantity": quantity}
            yield wire.encode("NewOrder", account=account, client_order_id=new_id, **given)
        elif kind < 0.75:
            yield wire.encode("CancelOrder", account=account, client_order_id=old_id)
        elif kind < 0.97:
            given = {"flags": flags, "price": price, "quantity": quantity}
            ids_given = {"client_order_id": old_id, "new_client_order_id": new_id}
            yield wire.encode("Replace", account=account, **ids_given, **given)
        elif kind < 0.98:
            yield wire.encode("MassCancel", account=account, side=dice.randrange(3), client_order_id=new_id)
        else:
            yield wire.encode("SetState", state=dice.random() < 0.15)
