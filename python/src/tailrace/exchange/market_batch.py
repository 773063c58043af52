"""Market batch: what the feed says at once. Whoever applies whole batches never shows half a command.

The first batch of a session holds a snapshot, and so does the one after a loss that could not be mended: it replaces
whatever came before. All others hold messages that follow each other without a hole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from .._generated.errors import CorruptError
from ..wire import MESSAGES, Decoded, decode

_NAMES: Final = ("Added", "Executed", "Reduced", "Deleted", "Replaced", "StateChanged")
# Bytes of each type of message that the feed may bring.
_SIZES: Final = {MESSAGES[name].type: MESSAGES[name].size for name in _NAMES}
_SEQUENCE: Final = slice(MESSAGES["Added"].fields["sequence"].offset, MESSAGES["Added"].fields["timestamp_ns"].offset)


def check_message(payload: bytes, sequence: int) -> None:
    """Raises CorruptError unless this is a market message of this sequence."""
    if not payload or _SIZES.get(payload[0]) != len(payload):
        raise CorruptError(
            f"message {sequence} begins with {payload[:1]!r} and has {len(payload)} bytes: no market message"
        )
    own = int.from_bytes(payload[_SEQUENCE], "little")
    if own != sequence:
        raise CorruptError(f"message {sequence} calls itself {own}")


class Snapshot(NamedTuple):
    """All resting orders at one moment."""

    session: str
    """Of the feed: ten characters, the exchange's epoch in digits, right-justified."""
    sequence: int
    """The last market message that is in it; 0: none."""
    state_hash: int
    """Of the exchange's book, accounts included; a client cannot compute it."""
    orders: bytes
    """Bids best first, then asks, in order of time within a price: `SnapshotOrder`, 40 bytes each."""


class MarketBatch:
    """What the feed says at once: messages as bytes, or a snapshot. Iteration gives the messages, decoded."""

    __slots__ = ("payloads", "sequence", "session", "snapshot")

    def __init__(
        self, session: str, sequence: int, payloads: Sequence[bytes] = (), snapshot: Snapshot | None = None
    ) -> None:
        """`sequence` is the first message's; in a batch with a snapshot, that of the last one in it."""
        self.session = session
        self.sequence = sequence
        self.payloads = payloads
        self.snapshot = snapshot

    def __len__(self) -> int:
        return len(self.payloads)

    def __iter__(self) -> Iterator[Decoded]:
        return map(decode, self.payloads)

    def __repr__(self) -> str:
        what = f"a snapshot of {len(self.snapshot.orders)} bytes" if self.snapshot else f"{len(self)} messages"
        return f"<MarketBatch {self.session} {self.sequence}: {what}>"
