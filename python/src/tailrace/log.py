"""Log: the one writer of records on disk, and what an operator asks of a log.

Records of several threads that wait for the disk at the same time share one write and one sync.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ._generated import layout, signatures
from ._generated.errors import ArgumentError
from .arguments import Path, chosen, count, encoded_path
from .library import Library, checked, load, pointer, report
from .log_reader import LogReader
from .producer import address, checked_type, contiguous
from .report import LogStat, Repaired, Verified
from .start import From, encode_time
from .waiting import wait_durable

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

# Hears now and then bytes done and bytes in all.
Progress = Callable[[int, int], object]

_LEVELS: Final = {"memory": signatures.LEVEL_MEMORY, "wal": signatures.LEVEL_WAL}
_LENGTH_MAX: Final = 2**32 - 1


class Log:
    """Writes one log. Several threads may use it at once."""

    __slots__ = ("__weakref__", "_close", "_handle", "_library", "path")

    def __init__(self, library: Library, handle: int, path: str) -> None:
        """For `open`, which is the way to get one."""
        self._library = library
        self._handle = ctypes.c_int64(handle)
        self._close = weakref.finalize(self, library.close, handle)
        self.path = path

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        segment_bytes: int | None = None,
        spares: int = 1,
        mode: int = 0o600,
        compress: bool = False,
        create: bool = True,
        retention_days: int | None = None,
        retention_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Opens a log for writing: mends what a crash has left, and makes it when it is not there.

        `segment_bytes` is 65,536 at least, 100 MB unless given; `spares` segments are filled with zeros ahead;
        `compress`: payloads of 512 bytes and more. Segments last written `retention_days` ago are removed, and the
        oldest while all have more than `retention_bytes`, whoever still wants them. `progress` hears bytes done and
        bytes in all while a large log recovers.

        Raises BusyError while another writer has it, CorruptError when records that were on disk are damaged (see
        `repair`), NotFoundError without `create`, DiskFullError, ForeignError, VersionError, PermissionDeniedError,
        IoError.
        """
        library = load()
        size, flags, days, most = encode_writing(segment_bytes, compress, create, retention_days, retention_bytes)
        spare_count, bits = count(spares, "spares", 0), count(mode, "mode")
        name = encoded_path(path)

        def open_it(hear: Any) -> int:
            return library.log_open(name, size, spare_count, bits, flags, days, most, hear)

        handle = _followed(progress, open_it, library.close)
        return cls(library, handle, os.fspath(path))

    @staticmethod
    def stat(path: Path) -> LogStat:
        """What a log holds; it may be written meanwhile."""
        name, library = encoded_path(path), load()
        return LogStat.of(report(lambda text, length: library.log_stat(name, text, length)))

    @staticmethod
    def verify(path: Path, *, progress: Progress | None = None) -> Verified:
        """Reads and checks every record of a log. CorruptError says where the damage is."""
        name, library = encoded_path(path), load()
        return Verified(**_reported(progress, lambda call, *to: library.log_verify(name, call, *to)))

    @staticmethod
    def repair(path: Path, *, progress: Progress | None = None) -> Repaired:
        """An operator's choice after CorruptError: builds damaged segments anew, with nothing in the place of each lost
        record, and keeps the old files beside them. Nobody may be writing."""
        name, library = encoded_path(path), load()
        return Repaired.of(_reported(progress, lambda call, *to: library.log_repair(name, call, *to)))

    def append(
        self,
        payload: Buffer | Sequence[Buffer],
        type: int = 0,
        timestamp: datetime | int | None = None,
        durability: Literal["memory", "wal"] = "wal",
    ) -> int:
        """Appends one record, or a list of several in order, and returns the sequence of the last one.

        `timestamp` is a datetime, or nanoseconds since 1970; now, unless given. With durability 'wal' it returns when
        they are on disk, with 'memory' when they are written, though the host may lose them.

        Raises DiskFullError (nothing was written; try again), TooLargeError (a record has at most 1 MiB), ClosedError,
        and IoError when the disk failed; its `outcome` is 'unknown' when it may have them all the same.
        """
        message_type, level = checked_type(type), chosen(_LEVELS, durability, "durability")
        time = 0 if timestamp is None else encode_time(timestamp, "timestamp")
        payloads = payload if isinstance(payload, (list, tuple)) else [payload]
        views = [contiguous(one, "append") for one in payloads]
        if not views:
            raise ArgumentError("append: there is nothing to append; give at least one payload")
        packed = views[0] if len(views) == 1 else _packed(views)
        sizes = [view.nbytes for view in views]
        if max(sizes) > _LENGTH_MAX:
            raise ArgumentError(f"append: {max(sizes)} bytes are no record; it has at most 1 MiB")
        lengths = np.array(sizes, np.uint32)
        return checked(
            self._library.log_append(
                self._handle,
                address(packed),
                packed.nbytes,
                pointer(lengths),
                len(sizes),
                message_type,
                layout.RUNTIME_PYTHON,
                time,
                level,
            )
        )

    def sync(self) -> int:
        """Puts everything that was appended before on disk, and returns the newest sequence that is."""
        return checked(self._library.log_sync(self._handle))

    def wait_durable(self, sequence: int, timeout: float | None = None) -> bool:
        """Waits until everything up to a sequence is on disk; False when `timeout` seconds have passed (None: waits for
        ever). IoError when the disk failed."""
        return wait_durable(self._library, self._handle, sequence, timeout)

    @property
    def first_sequence(self) -> int:
        """The oldest sequence that is kept; of an empty log the next one."""
        return self._sequences()[0]

    @property
    def written_sequence(self) -> int:
        """The newest sequence that was written, though the host may lose it."""
        return self._sequences()[1]

    @property
    def durable_sequence(self) -> int:
        """The newest sequence that is on disk."""
        return self._sequences()[2]

    def _sequences(self) -> tuple[int, int, int]:
        first, written, durable = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
        to = (ctypes.byref(number) for number in (first, written, durable))
        checked(self._library.log_sequences(self._handle, *to))
        return first.value, written.value, durable.value

    def trim(self, below: int, force: bool = False) -> int:
        """Removes the oldest segments whose records are all below a sequence and below the positions of all groups
        (with `force`, whatever the groups still want), and says how many."""
        return checked(self._library.log_trim(self._handle, count(below, "below", 0), int(bool(force))))

    def read(self, *, from_: From = "oldest", durable_only: bool = False) -> LogReader:
        """A reader of this log, which lives on when the writer is closed."""
        return LogReader.open(self.path, from_=from_, durable_only=durable_only)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._close.alive

    def close(self) -> None:
        """Writes what waits, makes it durable, and lets go of the log; again, it does nothing. IoError when it
        cannot."""
        if self._close.detach():
            checked(self._library.close(self._handle))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Log {self.path!r}{' (closed)' if self.closed else ''}>"


def encode_writing(
    segment_bytes: int | None,
    compress: bool,
    create: bool,
    retention_days: int | None,
    retention_bytes: int | None,
) -> tuple[int, int, int, int]:
    """How a log is written, as the library wants it: segment_bytes, flags, retention_days, retention_bytes."""
    return (
        0 if segment_bytes is None else count(segment_bytes, "segment_bytes"),
        signatures.LOG_COMPRESS * bool(compress) | signatures.LOG_NO_CREATE * (not create),
        signatures.KEEP_ALL_DAYS if retention_days is None else count(retention_days, "retention_days", 0),
        0 if retention_bytes is None else count(retention_bytes, "retention_bytes"),
    )


def _packed(views: list[memoryview]) -> memoryview:
    """The payloads in one buffer, each beginning at a multiple of 8."""
    parts: list[Any] = []
    for view in views:
        parts += view, bytes(-view.nbytes % 8)
    return memoryview(b"".join(parts))


def _followed(
    progress: Progress | None, call: Callable[[Any], int], undo: Callable[[int], object] | None = None
) -> int:
    """The answer of a call that tells of its progress; what `progress` raises is raised when the call has ended and was
    undone."""
    raised: list[BaseException] = []

    def hear(done: int, total: int) -> None:
        try:
            if progress is not None and not raised:
                progress(done, total)
        except BaseException as error:
            raised.append(error)

    answer = call(signatures.PROGRESS(hear) if progress is not None else signatures.PROGRESS())
    if raised:
        if undo is not None and answer >= 0:
            undo(answer)
        raise raised[0]
    return checked(answer)


def _reported(progress: Progress | None, call: Callable[..., int]) -> Any:
    """The same of a call that writes a report, and must not be made twice."""
    return report(lambda text, length: _followed(progress, lambda hear: call(hear, text, length)), 1 << 20)
