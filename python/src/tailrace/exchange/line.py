"""Line: puts the messages of a feed into their order, and knows which are missing.

```text
    expected              reached                                end
       │ held: no command  │ missing │ waiting │ missing │ waiting │
       │ ends in here      │         │         │         │         │  sequences
```

Messages leave in runs that end where a datagram of the feed ended: the publisher never ends one within a command that
would have fit. An answer to a request is cut anywhere, so what it brings is held until such an end is reached; the
beginning of the next datagram, or a heartbeat, is one. Only when all the room is held does it leave without one.

Always: expected <= reached <= end; once it is placed, whatever waits lies from `expected` on, and there are at most
`most` of it. What a datagram only claims (that there are later messages) is forgotten when it is placed anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Run(NamedTuple):
    """Messages that follow each other, up to the end of a command."""

    sequence: int
    payloads: Sequence[bytes]


@dataclass(frozen=True)
class Gap:
    """Messages that are missing."""

    sequence: int
    count: int


class Arrival(Enum):
    """What a datagram brought."""

    NEW = "messages behind all others"
    LATE = "messages that were missing"
    KNOWN = "nothing new"
    REFUSED = "more than there is room for"


class Line:
    """Puts messages into their order."""

    __slots__ = ("_cut", "_ends", "_most", "_passed", "_reached", "_waiting", "end", "expected", "is_placed")

    def __init__(self, most: int) -> None:
        """At most `most` messages wait."""
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        # Messages by their sequence; sequences before which a command ended.
        self._waiting: dict[int, bytes] = {}
        self._ends: set[int] = set()
        # Runs that came in order and had nothing to wait for.
        self._passed: list[Run] = []
        self.is_placed = False
        self.expected = self._reached = self.end = 0
        # The last end of a command that was reached.
        self._cut = 0

    def place(self, expected: int) -> None:
        """Begins at a message, or goes on from there, with what waits behind it."""
        room = range(expected, expected + self._most)
        self._waiting = {sequence: payload for sequence, payload in self._waiting.items() if sequence in room}
        self._ends = {sequence for sequence in self._ends if expected < sequence <= room.stop}
        self.is_placed = True
        self.expected = self._reached = self._cut = expected
        self.end = max(self._waiting, default=expected - 1) + 1
        self._advance()

    def hear(self, end: int) -> bool:
        """Hears that all messages below `end` exist, and that a command ends there; whether that is news."""
        is_news = end > self.end
        self.end = max(self.end, end)
        if end > self.expected:
            self._mark_end(end)
        return is_news

    def _mark_end(self, sequence: int) -> None:
        if len(self._ends) > 2 * self._most:
            self._ends.pop()
        self._ends.add(sequence)
        if self._cut < sequence <= self._reached:
            self._cut = sequence

    def take(self, sequence: int, payloads: Sequence[bytes], *, is_live: bool) -> Arrival:
        """Takes messages in; `is_live`: from a datagram of the feed, which begins and ends with commands."""
        end = sequence + len(payloads)
        if is_live and self.is_placed and sequence == self.expected and not self._waiting:
            self._pass(Run(sequence, payloads), end)
            return Arrival.NEW
        is_late = sequence < self.end
        is_known, is_refused = True, False
        for at, payload in enumerate(payloads, sequence):
            if at >= self.expected and at not in self._waiting:
                if self._admits(at):
                    self._waiting[at] = payload
                    is_known = False
                else:
                    is_refused = True
        if is_live:
            if sequence > self.expected:
                self._mark_end(sequence)
            self.hear(end)
        self._advance()
        if is_known:
            return Arrival.REFUSED if is_refused else Arrival.KNOWN
        return Arrival.LATE if is_late else Arrival.NEW

    def _pass(self, run: Run, end: int) -> None:
        """The ordinary case: what comes is what is expected, and nothing waits."""
        self._passed.append(run)
        self.expected = self._reached = self._cut = end
        self.end = max(self.end, end)
        if self._ends:
            self._ends = {sequence for sequence in self._ends if sequence > end}

    def _admits(self, sequence: int) -> bool:
        """Whether there is room for a message: always for the one that is missing first."""
        if self.is_placed:
            return sequence < self.expected + self._most
        # The oldest are of least use: the snapshot will hold them.
        if len(self._waiting) >= self._most:
            del self._waiting[next(iter(self._waiting))]
        return True

    def _advance(self) -> None:
        if not self.is_placed:
            return
        while self._reached in self._waiting:
            self._reached += 1
            if self._reached in self._ends:
                self._cut = self._reached
        # Who holds as much as there is room for and knows of no end among it cannot wait for one.
        if self._reached - self.expected >= self._most and self._cut == self.expected:
            self._cut = self._reached

    def release(self) -> list[Run]:
        """Takes out what is in order, up to the last end of a command."""
        runs, self._passed = self._passed, []
        while self.expected < self._cut:
            first, payloads = self.expected, []
            while True:
                payloads.append(self._waiting.pop(self.expected))
                self.expected += 1
                if self.expected in self._ends or self.expected == self._cut:
                    self._ends.discard(self.expected)
                    break
            runs.append(Run(first, payloads))
        return runs

    def gap(self, most: int) -> Gap | None:
        """The first messages that are missing, at most `most` of them."""
        if not self.is_placed or self._reached >= self.end:
            return None
        last = min(self._reached + most, self.end)
        at = self._reached + 1
        while at < last and at not in self._waiting:
            at += 1
        return Gap(self._reached, at - self._reached)
