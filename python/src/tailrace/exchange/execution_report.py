"""Execution report: what became of a command, and of the orders it met."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from ..wire import REPORT_DONE, REPORT_MAKER, REPORT_REPEAT, REPORT_SELL
from .codec import Codec
from .exchange_error import reason_of

_REPORT: Final = Codec("ExecutionReport")


class ExecutionReport(NamedTuple):
    """One report."""

    exec_type: int
    """`wire.EXEC_*`: the kind of report."""
    reason: str
    """Why, in a word of `wire.REASONS`."""
    side: Literal["buy", "sell"]
    """The side of the order."""
    is_maker: bool
    """Whether the order rested."""
    is_done: bool
    """Whether nothing is left of the order."""
    is_repeat: bool
    """Whether it was sent before, to an earlier session."""
    account: int
    sequence: int
    """Dense per account; 0 in a rejection."""
    client_order_id: int
    """Of the order, or of the command that was rejected."""
    reference: int
    """Accepted: public order id; fill: match id; replaced: previous client order id; else 0."""
    price: int
    """Ticks; of a fill, the resting order's price."""
    quantity: int
    """Accepted: of the order; replaced: new leaves; fill, cancelled, decremented: that amount; done: orders."""

    @classmethod
    def of(cls, data: bytes) -> ExecutionReport:
        """Reads the bytes of a report. Raises CorruptError when they are none."""
        exec_type, reason, flags, *numbers = _REPORT.unpack(data)
        return cls(
            exec_type,
            reason_of(reason),
            "sell" if flags & REPORT_SELL else "buy",
            bool(flags & REPORT_MAKER),
            bool(flags & REPORT_DONE),
            bool(flags & REPORT_REPEAT),
            *numbers,
        )
