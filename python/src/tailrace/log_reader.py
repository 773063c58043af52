"""Log reader: reads a log, in any process, while it is written or when its writer has gone.

It reads as a consumer does, and never takes anything away; iteration follows the end of the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from ._generated import signatures
from .arguments import Path, encoded_path
from .batch import Batch, Message
from .consumer import BATCH, Batches, Consumer
from .library import checked, load
from .start import From, encode_start

if TYPE_CHECKING:
    from typing_extensions import Self


class LogReader:
    """Reads one log. Used by one thread at a time."""

    __slots__ = ("_consumer", "path")

    def __init__(self, consumer: Consumer) -> None:
        """For `open`, which is the way to get one."""
        self._consumer = consumer
        self.path = consumer.channel

    @classmethod
    def open(cls, path: Path, *, from_: From = "oldest", durable_only: bool = False) -> Self:
        """Opens a reader; `durable_only` shows only what is on disk for certain.

        Raises NotFoundError, GoneError with `oldest_sequence` when `from_` is older than what is kept, CorruptError,
        ForeignError, VersionError, PermissionDeniedError, IoError.
        """
        library = load()
        flags = signatures.LOG_DURABLE_ONLY * bool(durable_only)
        handle = checked(library.log_reader(encoded_path(path), *encode_start(from_), flags))
        return cls(Consumer(library, handle, os.fspath(path), is_recorded=True))

    def poll(self, limit: int = BATCH, timeout: float | None = 0.0) -> Batch:
        """Up to `limit` records; an empty batch when there are none yet. CorruptError at damage.

        With a `timeout` it waits so many seconds for the first one (None: for ever).
        """
        return self._consumer.poll(limit, timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until there is something to poll; False when `timeout` seconds have passed (None: waits for ever)."""
        return self._consumer.wait(timeout)

    def batches(self, limit: int = BATCH) -> Batches:
        """Batches without end, for `for` and for `async for`; each waits for its first record."""
        return self._consumer.batches(limit)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._consumer)

    def seek(self, from_: From) -> int:
        """Goes on somewhere else, and returns the sequence that is next then. GoneError with `oldest_sequence`."""
        return self._consumer.seek(from_)

    @property
    def position(self) -> int:
        """Next sequence to read."""
        return self._consumer.position

    @property
    def depth(self) -> int:
        """Records that are there and were not read."""
        return self._consumer.depth

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._consumer.closed

    def close(self) -> None:
        """Closes it; again, it does nothing. A thread that waits on it gets ClosedError."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LogReader of {self.path!r}{' (closed)' if self.closed else ''}>"
