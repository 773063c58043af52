"""Recorder: copies a recorded channel into its log, on native threads of this process.

Writers of the channel wait for it: without a recorder the channel fills up, and then takes no more.
"""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from .library import Library, checked, report
from .report import state_of

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class RecorderStatus:
    """What a recorder has done, and how it is."""

    recorded_sequence: int
    """Newest in the log's file."""
    durable_sequence: int
    """Newest on disk."""
    lag: int
    """Slots written and not recorded yet."""
    state: str
    """'ok'; ERR_DISK_FULL while it waits for space; else the code for which it has stopped."""
    records: int
    """Since it was started, tombstones too."""
    bytes: int
    """Of the payloads of those."""
    batches: int
    """That those were written in."""


class Recorder:
    """Records one channel. Made by `Region.record`; several threads may use it at once."""

    __slots__ = ("__weakref__", "_close", "_handle", "_library", "channel", "log")

    def __init__(self, library: Library, handle: int, channel: str, log: str) -> None:
        self._library = library
        self._handle = ctypes.c_int64(handle)
        self._close = weakref.finalize(self, library.close, handle)
        self.channel = channel
        self.log = log

    @property
    def status(self) -> RecorderStatus:
        """What it has done, and how it is."""
        seen = report(lambda text, length: self._library.recorder_status(self._handle, text, length))
        return RecorderStatus(**{**seen, "state": state_of(seen["state"])})

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._close.alive

    def close(self) -> None:
        """Records what was written until now, makes it durable, and ends; again, it does nothing.

        Raises why it had stopped before, or DiskFullError: what it could not record stays in the channel for the next
        recorder.
        """
        if self._close.detach():
            checked(self._library.close(self._handle))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recorder of {self.channel!r} in {self.log!r}{' (closed)' if self.closed else ''}>"
