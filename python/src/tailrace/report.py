"""Report: what a log holds, what checking one has found, what mending one has done.

Times are nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._generated.errors import CLASSES, InternalError


@dataclass(frozen=True)
class SegmentStat:
    """One file of a log."""

    name: str
    first_sequence: int
    bytes: int
    created_ns: int
    modified_ns: int


@dataclass(frozen=True)
class GroupStat:
    """A group of consumers, and how far it is."""

    name: str
    sequence: int
    """The lowest sequence that it has not finished."""
    updated_ns: int


@dataclass(frozen=True)
class LogStat:
    """What a log holds."""

    id: str
    """Hexadecimal."""
    segments: tuple[SegmentStat, ...]
    first_sequence: int
    """The oldest that is kept."""
    last_sequence: int
    """The newest that can be read."""
    durable_sequence: int
    """The newest that is known to be on disk."""
    bytes: int
    is_writer_alive: bool
    state: str
    """'ok', or the code for which its writer has stopped."""
    cursors: tuple[GroupStat, ...]
    """Where the groups are."""
    free_bytes: int
    """What the file system has left."""

    @classmethod
    def of(cls, seen: Mapping[str, Any]) -> LogStat:
        """From the library's words."""
        segments = tuple(SegmentStat(**segment) for segment in seen["segments"])
        cursors = tuple(GroupStat(**cursor) for cursor in seen["cursors"])
        return cls(**{**seen, "segments": segments, "cursors": cursors, "state": state_of(seen["state"])})


@dataclass(frozen=True)
class Verified:
    """What checking a log has found."""

    segments: int
    records: int
    batches: int
    bytes: int
    first_sequence: int
    last_sequence: int
    torn_bytes: int
    """After the last complete batch: a torn tail, or what is being written."""


@dataclass(frozen=True)
class Repaired:
    """What repairing a log has done."""

    lost: tuple[tuple[int, int], ...]
    """Ranges of sequences that are lost, first and last."""
    lost_records: int
    segments: int
    """How many were built anew."""
    aside: tuple[str, ...]
    """Files that keep the damaged bytes."""
    is_cursors_aside: bool
    """Whether the positions of groups were damaged and set aside."""
    last_sequence: int

    @classmethod
    def of(cls, seen: Mapping[str, Any]) -> Repaired:
        """From the library's words."""
        lost = tuple((first, last) for first, last in seen["lost"])
        return cls(**{**seen, "lost": lost, "aside": tuple(seen["aside"])})


def state_of(number: int | None) -> str:
    """'ok', or the code of a number."""
    return "ok" if number is None else CLASSES.get(number, InternalError).code
