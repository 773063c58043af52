"""Market data: the exchange's feed, without holes.

```text
 feed (UDP) ──► line ──► inbox ──► async for        what is missing is asked for again, a datagram at a time;
                 ▲ ▲                                what cannot be had again is jumped over with a snapshot
  requests (UDP) ┘ └── snapshots (TCP)
```

The feed is joined first and kept; then a snapshot is fetched, and what it holds already is dropped. A reader that is
slow costs no memory without end: when the inbox is full, datagrams are dropped, and asked for again once there is room.
A newer session begins everything anew; datagrams of an older one are refused.

Nothing here believes a datagram further than it must: a message that is not what it calls itself never gets to the
line, a claim that nobody can fulfil is forgotten with the next snapshot, and so is a session that the snapshot service
does not know.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal

from .._generated.errors import CorruptError, TailraceError, TimedOutError
from ..arguments import count
from ..mold import MOLD_END, MOLD_HEARTBEAT, decode_mold, encode_mold_request
from .address import Address
from .feed_sockets import FeedSockets
from .inbox import Inbox
from .line import Arrival, Line
from .market_batch import MarketBatch, Snapshot, check_message
from .opening import Opening
from .snapshot import fetch_snapshot

if TYPE_CHECKING:
    from typing_extensions import Self

_SNAPSHOT_TIMEOUT: Final = 2.0
_PAUSE: Final = 0.02
_PAUSE_MAX: Final = 1.0
_SESSION: Final = re.compile(r"(?=.{10}\Z) *[0-9]+")

# Why a snapshot is wanted: to begin; instead of many messages; because nobody answers.
_Need = Literal["begin", "many", "silence"]


@dataclass
class MarketDataCounters:
    """What has happened so far."""

    datagrams: int = 0
    """Datagrams of the feed, heartbeats among them."""
    messages: int = 0
    """Messages handed to the reader."""
    heartbeats: int = 0
    gaps: int = 0
    """How often the feed went on further than it was known."""
    requested: int = 0
    """Requests for what was lost."""
    retransmitted: int = 0
    """Messages that requests brought back."""
    duplicates: int = 0
    """Datagrams that brought nothing new."""
    reordered: int = 0
    """Datagrams that came after later ones."""
    dropped: int = 0
    """Messages dropped for want of room; they are asked for again."""
    refused: int = 0
    """Datagrams that were none, or of an older session."""
    snapshots: int = 0
    """Snapshots that replaced the book."""


@dataclass(frozen=True)
class _Limits:
    patience: float
    timeout: float
    attempts: int
    gap_max: int
    backlog: int


class MarketData:
    """The exchange's feed, without holes: batches of messages, for one `async for` loop at a time."""

    def __init__(self, limits: _Limits, snapshots: Address) -> None:
        self._limits = limits
        self._snapshots = snapshots
        self._loop = asyncio.get_running_loop()
        self._line = Line(limits.backlog)
        self._inbox: Inbox[MarketBatch] = Inbox(limits.backlog, self._mend)
        self._counters = MarketDataCounters()
        self._sockets: FeedSockets | None = None
        self._session = ""
        # The message after the session's last one.
        self._ends_at: int | None = None
        # Runs until a missing message is asked for, or asked for again.
        self._timer: asyncio.TimerHandle | None = None
        # The first message that was asked for, and how often in vain.
        self._asked: int | None = None
        self._attempts = 0
        # A snapshot did not help over the present gap, so it is mended however large it is.
        self._is_mending = False
        self._rescue: asyncio.Task[None] | None = None
        self._trouble: TailraceError | None = None

    @classmethod
    def join(
        cls,
        *,
        feed: str,
        requests: str,
        snapshots: str,
        interface: str | None = None,
        patience_ms: int = 1,
        timeout_ms: int = 50,
        attempts: int = 5,
        gap_max: int = 50_000,
        backlog: int = 65_536,
    ) -> Opening[MarketData]:
        """Joins the feed, for `await` or `async with`; the first batch of the loop is a snapshot.

        Addresses are `host:port`. `feed`: a multicast group, heard on the interface of the address `interface`, or an
        own address to which the publisher sends, where port 0 takes any. `requests`: where the publisher hears requests
        for what was lost. A message may be `patience_ms` late before it is asked for, and its answer `timeout_ms`;
        after so many `attempts` in vain, or when more than `gap_max` messages are missing, they are jumped over with a
        snapshot. `backlog` messages may wait for those before them, and as many for the reader.

        Raises ArgumentError; IoError when a socket cannot be opened.
        """
        limits = _Limits(
            count(patience_ms, "patience_ms", 0) / 1_000,
            count(timeout_ms, "timeout_ms") / 1_000,
            count(attempts, "attempts"),
            count(gap_max, "gap_max"),
            count(backlog, "backlog"),
        )
        places = Address.of(feed, "feed"), Address.of(requests, "requests")
        return Opening(cls._join(limits, Address.of(snapshots, "snapshots"), *places, interface))

    @classmethod
    async def _join(
        cls, limits: _Limits, snapshots: Address, feed: Address, requests: Address, interface: str | None
    ) -> MarketData:
        data = cls(limits, snapshots)
        data._sockets = await FeedSockets.open(feed, requests, interface)
        data._sockets.start(data._hear, data._fail)
        data._fetch("begin")
        return data

    @property
    def address(self) -> str | None:
        """Where the feed is heard; tells the port that 0 became. Only while it is open."""
        return None if self._sockets is None else str(self._sockets.address)

    @property
    def session(self) -> str:
        """Ten characters: the exchange's epoch in digits, right-justified; none as long as nobody has said."""
        return self._session

    @property
    def counters(self) -> MarketDataCounters:
        """What has happened so far."""
        return replace(self._counters)

    @property
    def trouble(self) -> TailraceError | None:
        """Why the last snapshot could not be had; None when it could."""
        return self._trouble

    def _hear(self, data: bytes, is_live: bool) -> None:
        if self._inbox.is_ended:
            return
        try:
            datagram = decode_mold(data)
            session, sequence, number = datagram.session, datagram.sequence, datagram.count
            payloads = [view.tobytes() for view in datagram.messages]
            for at, payload in enumerate(payloads, sequence):
                check_message(payload, at)
        except CorruptError:
            self._counters.refused += 1
            return
        if not self._is_of_session(session.decode("latin-1"), is_live):
            self._counters.refused += 1
            return
        if is_live:
            self._counters.datagrams += 1
        if payloads:
            self._take(sequence, payloads, is_live)
        elif is_live:
            self._hear_end(sequence, number)
        self._deliver()
        self._mend(is_answer=not is_live)

    def _is_of_session(self, session: str, is_live: bool) -> bool:
        """Whether a datagram is of the session; a newer one begins everything anew."""
        if session == self._session:
            return True
        if not is_live or session < self._session or not _SESSION.fullmatch(session):
            return False
        is_first = not self._session
        self._session = session
        if not is_first:
            self._line.clear()
            self._ends_at = None
            self._fetch("begin")
        return True

    def _hear_end(self, sequence: int, number: int) -> None:
        if number == MOLD_HEARTBEAT:
            self._counters.heartbeats += 1
        else:
            self._ends_at = sequence
        if self._line.hear(sequence) and self._line.is_placed:
            self._counters.gaps += 1

    def _take(self, sequence: int, payloads: list[bytes], is_live: bool) -> None:
        counters, line = self._counters, self._line
        if not self._inbox.has_room:
            counters.dropped += len(payloads)
            if is_live:
                line.hear(sequence + len(payloads))
            return
        if is_live and line.is_placed and sequence > line.end:
            counters.gaps += 1
        arrival = line.take(sequence, payloads, is_live=is_live)
        if arrival is Arrival.REFUSED:
            counters.dropped += len(payloads)
        elif arrival is Arrival.KNOWN:
            counters.duplicates += 1
        elif not is_live:
            counters.retransmitted += len(payloads)
        elif arrival is Arrival.LATE:
            counters.reordered += 1

    def _deliver(self) -> None:
        """Hands out what is in order."""
        for sequence, payloads in self._line.release():
            self._counters.messages += len(payloads)
            self._inbox.put(MarketBatch(self._session, sequence, payloads), len(payloads))
        if self._ends_at is not None and self._line.is_placed and self._line.expected >= self._ends_at:
            # An end that came late is none: the session went on.
            if self._line.expected > self._ends_at:
                self._ends_at = None
                return
            self._inbox.finish()
            self._leave()

    def _mend(self, is_answer: bool = False) -> None:
        """Sees to it that what is missing comes; `is_answer`: an answer has just come."""
        if self._inbox.is_ended:
            return
        gap = self._line.gap(self._limits.gap_max + 1) if self._inbox.has_room else None
        if gap is None:
            self._stop_timer()
            self._asked = None
            self._is_mending = False
            if self._line.is_placed:
                self._stop_rescue()
        elif self._rescue is not None and not is_answer:
            self._stop_timer()
        elif gap.count > self._limits.gap_max and not self._is_mending:
            self._fetch("many")
        elif self._asked is not None and gap.sequence > self._asked:
            self._asked = None
            self._stop_timer()
            self._stop_rescue()
            if is_answer:
                self._ask()
            else:
                self._timer = self._loop.call_later(self._limits.patience, self._ask)
        elif self._rescue is None and self._timer is None:
            self._timer = self._loop.call_later(self._limits.patience, self._ask)

    def _ask(self) -> None:
        """Asks for what is missing first, and waits for an answer."""
        self._timer = None
        sequence = self._request()
        if sequence is None:
            return
        self._attempts = self._attempts + 1 if self._asked == sequence else 1
        self._asked = sequence
        is_last = self._attempts >= self._limits.attempts
        self._timer = self._loop.call_later(self._limits.timeout, self._give_up if is_last else self._ask)

    def _give_up(self) -> None:
        self._timer = None
        self._fetch("silence")

    def _request(self) -> int | None:
        gap = self._line.gap(min(self._limits.gap_max, self._limits.backlog, MOLD_END - 1))
        if gap is None or self._sockets is None:
            return None
        self._counters.requested += 1
        self._sockets.ask(encode_mold_request(self._session.encode("latin-1"), gap.sequence, gap.count))
        return gap.sequence

    def _fetch(self, need: _Need) -> None:
        """Fetches a snapshot, again and again until one helps; a fetch that is under way is given up."""
        self._stop_rescue()
        self._rescue = self._loop.create_task(self._rescued(need))

    async def _rescued(self, need: _Need) -> None:
        try:
            await self._try_fetching(need)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._fail(error)
        if self._rescue is asyncio.current_task():
            self._rescue = None
            self._mend()

    async def _try_fetching(self, need: _Need) -> None:
        tries = 0
        while True:
            tries += 1
            try:
                snapshot = await fetch_snapshot(self._snapshots, _SNAPSHOT_TIMEOUT)
                self._trouble = None
                if self._helps(snapshot, tries):
                    self._begin(snapshot)
                    return
            except TailraceError as error:
                self._trouble = error
            self._is_mending = True
            if need == "many":
                return
            if self._ends_at is not None and tries >= self._limits.attempts:
                what = f"the session ended before message {self._ends_at}, and {self._line.expected} is not to be had"
                raise TimedOutError(f"{what}; ask for what is missing elsewhere") from self._trouble
            self._request()
            if self._sockets is None:
                return
            await asyncio.sleep(min(_PAUSE * 2 ** min(tries - 1, 10), _PAUSE_MAX))

    def _helps(self, snapshot: Snapshot, tries: int) -> bool:
        """Whether a snapshot is of the session, and leads over what is missing."""
        if not self._session or snapshot.session > self._session:
            return True
        if snapshot.session < self._session:
            # Who claimed a newer session has not convinced the exchange's own service.
            return tries > self._limits.attempts
        gap = self._line.gap(1)
        return not self._line.is_placed if gap is None else snapshot.sequence >= gap.sequence

    def _begin(self, snapshot: Snapshot) -> None:
        if snapshot.session != self._session:
            if self._session:
                self._line.clear()
            self._session = snapshot.session
            self._ends_at = None
        self._counters.snapshots += 1
        self._is_mending = False
        self._inbox.clear()
        self._inbox.put(MarketBatch(snapshot.session, snapshot.sequence, (), snapshot), 0)
        self._line.place(snapshot.sequence + 1)
        self._deliver()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_rescue(self) -> None:
        rescue, self._rescue = self._rescue, None
        if rescue is not None and rescue is not asyncio.current_task():
            rescue.cancel()

    def _fail(self, error: BaseException) -> None:
        self._inbox.fail(error)
        self._leave()

    def _leave(self) -> None:
        """Closes what is open, and lets the reader read what has come."""
        self._stop_rescue()
        self._stop_timer()
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    def close(self) -> None:
        """Leaves the feed: the loop ends. A second time is nothing."""
        self._inbox.clear()
        self._inbox.finish()
        self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MarketBatch:
        """The next batch. The loop ends with the session, and raises IoError when the socket breaks, or TimedOutError
        when a session ended and its last messages are lost."""
        return await self._inbox.next()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<MarketData of {self._session.strip() or 'no session'}, message {self._line.expected} is next>"
