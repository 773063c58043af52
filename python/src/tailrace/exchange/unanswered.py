"""Unanswered: commands that the exchange has not answered, in the order in which they were sent.

A command with an id of its own is answered once by a report with that id. A cancel has none: the report that its order
is cancelled answers it, or a rejection with the order's id.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..wire import EXEC_ACCEPTED, EXEC_CANCELLED, EXEC_MASS_CANCEL_DONE, EXEC_REPLACED
from .execution_report import ExecutionReport


class Question:
    """A command that has no answer."""

    __slots__ = ("frame", "id", "is_cancel", "is_known")

    def __init__(self, number: int, frame: bytes, is_cancel: bool) -> None:
        # Its own id; of a cancel, the order's.
        self.id = number
        # As it goes over the wire.
        self.frame = frame
        self.is_cancel = is_cancel
        # The exchange may have carried it out already, so it is only asked what became of it.
        self.is_known = False


def is_doing(report: ExecutionReport) -> bool:
    """Whether a report says that a command with an id of its own was carried out."""
    return report.exec_type in (EXEC_ACCEPTED, EXEC_REPLACED, EXEC_MASS_CANCEL_DONE)


class Unanswered:
    """Commands without an answer."""

    __slots__ = ("_all", "_cancels", "_orders")

    def __init__(self) -> None:
        # Dictionaries, because they keep the order.
        self._all: dict[Question, None] = {}
        self._orders: dict[int, Question] = {}
        self._cancels: dict[int, list[Question]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Question]:
        return iter(list(self._all))

    def __contains__(self, number: int) -> bool:
        """Whether a command with this id of its own has no answer."""
        return number in self._orders

    def waits(self, question: Question) -> bool:
        """Whether this very command has no answer."""
        return question in self._all

    def add(self, question: Question) -> None:
        """Adds the newest."""
        self._all[question] = None
        if question.is_cancel:
            self._cancels.setdefault(question.id, []).append(question)
        else:
            self._orders[question.id] = question

    def remove(self, question: Question) -> None:
        """Takes one out."""
        del self._all[question]
        if not question.is_cancel:
            del self._orders[question.id]
            return
        self._cancels[question.id].remove(question)
        if not self._cancels[question.id]:
            del self._cancels[question.id]

    def _cancel(self, number: int) -> Question | None:
        return self._cancels[number][0] if number in self._cancels else None

    def done_by(self, report: ExecutionReport) -> Question | None:
        """The command that a report of something done answers."""
        if is_doing(report):
            return self._orders.get(report.client_order_id)
        is_cancelled = report.exec_type == EXEC_CANCELLED and report.reason == "NONE"
        return self._cancel(report.client_order_id) if is_cancelled else None

    def rejected_by(self, report: ExecutionReport) -> Question | None:
        """The command that a rejection answers."""
        order = self._orders.get(report.client_order_id)
        return order or (None if report.reason == "DUPLICATE" else self._cancel(report.client_order_id))
