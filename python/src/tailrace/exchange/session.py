"""Session: what an account says to the exchange and hears from it, over as many connections as it takes.

When a connection breaks, another one is made, after pauses that grow. It asks for the reports from the next one on, and
every command without an answer is sent again, in its order and with its id. An id is never carried out twice: what the
exchange has done already it answers with the report of then, marked as a repeat. So nothing is lost or doubled:

- Reports of an account are numbered without holes. One that came before is dropped, and so is a repeat of one that came
  before. A hole, like anything else that cannot be, ends the connection. The next one asks for what is missing; when
  several in a row bring nothing but what cannot be, that is a CorruptError.
- A rejection has no number. Those that were on their way when a connection broke are lost, and are had by asking again;
  a cancel that is asked again is answered with UNKNOWN_ORDER if it was done, which nobody needs to hear. A refusal for
  its rate says nothing of what became of a command that was sent before, so that is asked once more.
- A command that the exchange never got is carried out later than it was meant. Who does not want that sets a short life
  (`lasting="ioc"` with a price), or ends the process. With `cancel_on_disconnect` the exchange takes all orders of the
  account away when the connection breaks, those that were accepted meanwhile too; those it never got come after.

Reports wait for the reader up to a number. Beyond it the connection is not read, the gateway ends it when its own
patience is over, and the next one begins with the report that is wanted then. Another login of the same user ends this
one for good.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any, Final

from .._generated.errors import (
    ArgumentError,
    ClosedError,
    CorruptError,
    GoneError,
    IoError,
    NoSpaceError,
    TailraceError,
    TimedOutError,
)
from ..wire import encode
from .address import Address
from .commands import whole_id
from .connection import Connection, frame_of
from .exchange_error import ExchangeError
from .execution_report import ExecutionReport
from .inbox import Inbox
from .soon import soon
from .unanswered import Question, Unanswered, is_doing

_CONNECT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 2.0
# How long after a refusal for its rate a command is asked about again.
_RATE_SECONDS: Final = 1.0


@dataclass
class OrderEntryCounters:
    """What has happened so far."""

    sent: int = 0
    """Commands."""
    resent: int = 0
    """Commands that were sent again."""
    reports: int = 0
    """Reports handed to the reader."""
    repeats: int = 0
    """Reports that had come before, or that answered what was answered."""
    reconnects: int = 0
    """Connections after the first."""
    refused: int = 0
    """Connections that ended because what came was no message, or could not be."""


@dataclass(frozen=True)
class SessionOptions:
    """Where it is, who it is, and how hard to try; seconds."""

    gateway: Address
    login: dict[str, Any]
    heartbeat: float
    pause: float
    pause_max: float
    unanswered_max: int
    backlog: int
    refused_max: int


class Session:
    """What an account says and hears."""

    def __init__(self, options: SessionOptions, next_report: int) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self.inbox: Inbox[ExecutionReport] = Inbox(options.backlog, self._read)
        self.unanswered = Unanswered()
        self.counters = OrderEntryCounters()
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.is_live = False
        self._is_closing = False
        self.account = 0
        self.last_client_order_id = 0
        # The report that this client was given first, and the one that comes next.
        self._first = 0
        self.next_report = next_report
        # Ids of commands that were sent again over this connection.
        self._asked: set[int] = set()
        self._pauses = 0
        # Connections that were refused since the last report that could be.
        self._refused = 0
        self.trouble: TailraceError | None = None
        # Who waits for the first welcome, for room, for the end.
        self._opened: asyncio.Future[None] | None = self._loop.create_future()
        self._roomed: list[asyncio.Future[None]] = []
        self._left: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, options: SessionOptions, next_report: int) -> Session:
        """Connects and logs in."""
        entry = cls(options, next_report)
        opened = entry._opened
        assert opened is not None
        entry._connecting = entry._loop.create_task(entry._connect(0.0))
        try:
            await opened
        except BaseException:
            entry._fail(ClosedError("it was never open"))
            raise
        return entry

    async def _connect(self, pause: float) -> None:
        await asyncio.sleep(pause)
        options = self._options
        login = encode("Login", next_report=self.next_report, **options.login)
        connection = Connection(self, login, options.heartbeat)
        self._connection = connection
        try:
            made = self._loop.create_connection(lambda: connection, *options.gateway)
            await soon(made, _CONNECT_SECONDS, f"nobody answers at {options.gateway}", lambda late: late[0].abort())
        except TimedOutError as late:
            error: TailraceError = late
        except OSError as cause:
            error = IoError(f"connecting to the gateway at {options.gateway}: {cause}")
            error.__cause__ = cause
        else:
            self._connecting = None
            return
        self._connecting = None
        self.ended(error)

    def welcomed(self, account: int, last_client_order_id: int, next_report: int) -> None:
        """The connection's: the login was answered."""
        is_first = self._opened is not None
        if not is_first and account != self.account:
            raise self._final(CorruptError(f"the user's account was {self.account}, and is {account} now"))
        if next_report < self.next_report:
            what = f"report {self.next_report} is wanted, and for the exchange {next_report} is next"
            raise self._final(CorruptError(f"{what}: it has begun anew, or forgotten some"))
        if next_report > self.next_report and not is_first:
            what = f"report {self.next_report} is wanted, and the exchange keeps those from {next_report} on"
            raise GoneError(f"{what}; what happened between is lost here")
        if is_first:
            self._first = next_report
        else:
            self.counters.reconnects += 1
        self.next_report = next_report
        self.account = account
        self.last_client_order_id = max(self.last_client_order_id, last_client_order_id)
        self.is_live = True
        # Who said what cannot be is asked less and less often, until he says something that can.
        if self._refused == 0:
            self._pauses = 0
        self.trouble = None
        self._asked.clear()
        for question in self.unanswered:
            question.is_known = question.is_cancel or question.id <= last_client_order_id
            self._ask_again(question)
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)
        self._opened = None
        self._make_room()

    def _ask_again(self, question: Question) -> None:
        self._asked.add(question.id)
        self.counters.resent += 1
        if self._connection is not None:
            self._connection.send(question.frame)

    def reported(self, data: bytes) -> None:
        """The connection's: a report came."""
        report = ExecutionReport.of(data)
        if report.account != self.account:
            raise CorruptError(f"a report of account {report.account} came, and this is account {self.account}")
        is_wanted = self._hear_done(report) if report.sequence else self._hear_rejection(report)
        if not is_wanted:
            self.counters.repeats += 1
            return
        self._refused = self._pauses = 0
        self.counters.reports += 1
        self.inbox.put(report, 1)
        if not self.inbox.has_room and self._connection is not None:
            self._connection.pause()

    def _hear_done(self, report: ExecutionReport) -> bool:
        """Hears a report with a number; whether the reader has not had it."""
        question = self.unanswered.done_by(report)
        if report.is_repeat:
            # What lies ahead comes by itself; what lies before the first was never given to this client.
            if question is None or report.sequence >= self.next_report:
                return False
            self._settle(question)
            return report.sequence < self._first
        if report.sequence < self.next_report:
            return False
        if report.sequence > self.next_report:
            raise CorruptError(f"report {report.sequence} came, and {self.next_report} is missing")
        self.next_report += 1
        if is_doing(report):
            self.last_client_order_id = max(self.last_client_order_id, report.client_order_id)
        if question is not None:
            self._settle(question)
        return True

    def _hear_rejection(self, report: ExecutionReport) -> bool:
        """Hears a rejection; whether the reader has not had the answer."""
        question = self.unanswered.rejected_by(report)
        if question is None:
            return not report.is_repeat and report.client_order_id not in self._asked
        if report.reason == "RATE" and question.is_known:
            # It says nothing of what became of the command.
            self._loop.call_later(_RATE_SECONDS, self._ask_later, question, self._connection)
            return False
        self._settle(question)
        return True

    def _ask_later(self, question: Question, connection: Connection | None) -> None:
        if self._connection is connection and self.is_live and self.unanswered.waits(question):
            self._ask_again(question)

    def _settle(self, question: Question) -> None:
        self.unanswered.remove(question)
        self._make_room()

    def _final(self, error: TailraceError) -> TailraceError:
        """An error that another connection cannot help."""
        self._fail(error)
        return error

    def ended(self, error: TailraceError | None) -> None:
        """The connection's: it is over."""
        self._connection = None
        self.is_live = False
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        if self._is_closing or self.inbox.is_ended:
            return
        is_busy = isinstance(error, ExchangeError) and error.reason == "UNAVAILABLE"
        is_final = isinstance(error, (ExchangeError, GoneError)) and not is_busy
        if error is not None and (is_final or self._opened is not None):
            self._fail(error)
            return
        self.trouble = error
        if isinstance(error, CorruptError) and self._refuse():
            what = f"{self._refused} connections in a row brought what cannot be, the last one: {error}"
            failure = CorruptError(what)
            failure.__cause__ = error
            self._fail(failure)
        else:
            self._reconnect()

    def _refuse(self) -> bool:
        """What came could not be; whether that is enough."""
        self.counters.refused += 1
        self._refused += 1
        return self._refused >= self._options.refused_max

    def _reconnect(self) -> None:
        """Connects again, after a pause, and when there is room for what will come."""
        if not self.inbox.has_room or self._connecting is not None or self._connection is not None:
            return
        pause = min(self._options.pause * 2 ** min(self._pauses, 20), self._options.pause_max)
        self._pauses += 1
        self._connecting = self._loop.create_task(self._connect(pause * random.uniform(0.5, 1.0)))

    def _read(self) -> None:
        """The reader has made room."""
        if self._connection is not None:
            self._connection.resume()
        elif not self._is_closing and not self.inbox.is_ended:
            self._reconnect()

    def _fail(self, error: TailraceError) -> None:
        self.inbox.fail(error)
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.end(None)
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(error)
        self._opened = None
        self._make_room()

    def _has_room(self) -> bool:
        is_drained = self._connection is not None and self._connection.is_drained
        return len(self.unanswered) < self._options.unanswered_max and self.is_live and is_drained

    def _make_room(self) -> None:
        """Lets those go on who wait for room."""
        if self._roomed and (self._has_room() or self._is_closing or self.inbox.is_ended):
            waiting, self._roomed = self._roomed, []
            for one in waiting:
                if not one.done():
                    one.set_result(None)

    drained = _make_room

    def _check_open(self) -> None:
        if self._is_closing or self.inbox.is_ended:
            raise ClosedError("this order entry is closed; connect a new one") from self.trouble

    async def room(self) -> None:
        """Waits until commands may be sent. Raises ClosedError when that will never be."""
        while True:
            self._check_open()
            if self._has_room():
                return
            waiting = self._loop.create_future()
            self._roomed.append(waiting)
            await waiting

    def next_id(self, number: int | None) -> int:
        """The id of the next command, or the one that is given."""
        found = self.last_client_order_id + 1 if number is None else whole_id(number)
        if found in self.unanswered:
            raise ArgumentError(f"client_order_id {found} waits for its answer already")
        return found

    def send(self, number: int, message: bytes, is_cancel: bool = False) -> int:
        """Sends a command, now or when there is a connection, and gives its id."""
        self._check_open()
        if len(self.unanswered) >= self._options.unanswered_max:
            what = f"{len(self.unanswered)} commands are without an answer"
            raise NoSpaceError(f"{what}; await room(), or give a larger unanswered_max")
        question = Question(number, frame_of(message), is_cancel)
        self.unanswered.add(question)
        if not is_cancel:
            self.last_client_order_id = max(self.last_client_order_id, number)
        self.counters.sent += 1
        if self.is_live and self._connection is not None:
            self._connection.send(question.frame)
        return number

    async def close(self) -> None:
        """Logs out, and ends the loop after what has come. A second time is nothing."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None and self.is_live:
            self._left = self._loop.create_future()
            self._connection.log_out()
            await asyncio.wait([self._left], timeout=_CLOSE_SECONDS)
        if self._connection is not None:
            self._connection.end(None)
        self.inbox.finish()
        self._make_room()
