"""Region: a file in shared memory with up to 256 channels, and the door to them."""

from __future__ import annotations

import ctypes
import os
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

from ._generated import layout, signatures
from ._generated.errors import ArgumentError
from .arguments import Path, chosen, count, encoded, encoded_path
from .consumer import Consumer
from .library import Function, Library, checked, load, report
from .log import encode_writing
from .producer import LEVELS, Durability, Producer
from .recorder import Recorder
from .start import From, encode_start

if TYPE_CHECKING:
    from typing_extensions import Self

Kind = Literal["queue", "stream"]
Foreign = Literal["document", "code"]

LIMIT_BYTES: Final = 64 << 20
_KINDS: Final = {"queue": layout.CHANNEL_QUEUE, "stream": layout.CHANNEL_STREAM}
_FOREIGN: Final = {
    None: 0,
    "document": layout.CHANNEL_FOREIGN_DOCUMENT,
    "code": layout.CHANNEL_FOREIGN_CODE,
}


class Region:
    """An open region. Several threads may use it at once. Closing it leaves its producers and consumers open."""

    __slots__ = ("__weakref__", "_close", "_handle", "_library", "path")

    def __init__(self, library: Library, handle: int, path: str) -> None:
        """For `create`, `open` and `open_or_create`, which are the ways to get one."""
        self._library = library
        self._handle = ctypes.c_int64(handle)
        self._close = weakref.finalize(self, library.region_close, handle)
        self.path = path

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        limit_bytes: int = LIMIT_BYTES,
        mode: int = 0o600,
        lock_timeout_ms: int = 1000,
        hugepages: bool = False,
        lock_memory: bool = False,
    ) -> Self:
        """Makes a region file and opens it; ExistsError when there is one."""
        library = load()
        flags = _open_flags(hugepages=hugepages, lock_memory=lock_memory)
        limit, milliseconds = count(limit_bytes, "limit_bytes"), count(lock_timeout_ms, "lock_timeout_ms", 0)
        handle = library.region_create(encoded_path(path), limit, count(mode, "mode"), milliseconds, flags)
        return cls(library, checked(handle), os.fspath(path))

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        read_only: bool = False,
        recovery: bool = True,
        lock_timeout_ms: int = 1000,
        payload_offset: int = 48,
        hugepages: bool = False,
        lock_memory: bool = False,
    ) -> Self:
        """Opens a region file; NotFoundError when there is none."""
        library = load()
        flags = _open_flags(read_only, recovery, hugepages, lock_memory)
        milliseconds = count(lock_timeout_ms, "lock_timeout_ms", 0)
        handle = library.region_open(encoded_path(path), flags, milliseconds, count(payload_offset, "payload_offset"))
        return cls(library, checked(handle), os.fspath(path))

    @classmethod
    def open_or_create(
        cls,
        path: Path,
        *,
        limit_bytes: int = LIMIT_BYTES,
        mode: int = 0o600,
        read_only: bool = False,
        recovery: bool = True,
        lock_timeout_ms: int = 1000,
        payload_offset: int = 48,
        hugepages: bool = False,
        lock_memory: bool = False,
    ) -> Self:
        """Opens a region file, or makes it when there is none."""
        library = load()
        handle = library.region_open_or_create(
            encoded_path(path),
            count(limit_bytes, "limit_bytes"),
            count(mode, "mode"),
            _open_flags(read_only, recovery, hugepages, lock_memory),
            count(lock_timeout_ms, "lock_timeout_ms", 0),
            count(payload_offset, "payload_offset"),
        )
        return cls(library, checked(handle), os.fspath(path))

    @staticmethod
    def remove(path: Path) -> None:
        """Removes a region's file. Whoever has it open gets GoneError."""
        checked(load().region_remove(encoded_path(path)))

    def create_channel(
        self,
        name: str,
        *,
        kind: Kind = "queue",
        capacity: int = 1024,
        exclusive_producer: bool = False,
        exclusive_consumer: bool = False,
        gated: bool = False,
        checksum: bool = False,
        recorded: bool = False,
        foreign: Foreign | None = None,
    ) -> int:
        """Adds a channel and returns its index; the same options again find it, others raise ExistsError.

        `capacity` is its slots, a power of two. `exclusive_producer` and `exclusive_consumer` allow one at a time and
        make it faster. `gated`: every subscriber of the stream holds writers back. `checksum`: every slot carries one.
        `recorded`: the stream is kept in a log, and writers wait for its recorder (see `record`). `foreign`: shared
        with programs that know only the published layout, by its document or by its code.
        """
        flags = chosen(_KINDS, kind, "kind") | chosen(_FOREIGN, foreign, "foreign")
        flags |= layout.CHANNEL_EXCLUSIVE_PRODUCER * bool(exclusive_producer)
        flags |= layout.CHANNEL_EXCLUSIVE_CONSUMER * bool(exclusive_consumer)
        flags |= layout.CHANNEL_GATED * bool(gated) | layout.CHANNEL_CHECKSUM * bool(checksum)
        flags |= layout.CHANNEL_RECORDED * bool(recorded)
        slots = count(capacity, "capacity", 2)
        if slots & slots - 1:
            raise ArgumentError(f"capacity is {slots}; it must be a power of two, such as {1 << slots.bit_length()}")
        return checked(self._library.create_channel(self._handle, encoded(name, "name"), flags, slots))

    def channels(self) -> list[dict[str, Any]]:
        """Name, index, kind, capacity, options and cursors of every channel."""
        channels: list[dict[str, Any]] = self._report(self._library.channels)
        return channels

    def stats(self) -> dict[str, Any]:
        """Channels, their counters, who is attached and what each is doing."""
        stats: dict[str, Any] = self._report(self._library.stats)
        return stats

    def _report(self, call: Function) -> Any:
        return report(lambda text, length: call(self._handle, text, length))

    def open_producer(self, channel: str, *, label: str = "", pin: int | None = None) -> Producer:
        """A producer of a channel. `label` is a name for people; `pin` binds this thread to a processor."""
        handle = self._library.open_producer(
            self._handle,
            encoded(channel, "channel"),
            encoded(label, "label"),
            layout.RUNTIME_PYTHON,
            signatures.PIN_NONE if pin is None else count(pin, "pin", 0),
        )
        return Producer(self._library, checked(handle), channel)

    def open_consumer(
        self,
        channel: str,
        *,
        label: str = "",
        from_: From | None = None,
        gating: bool = False,
        level: Durability | None = None,
        log: Path | None = None,
        group: str | None = None,
    ) -> Consumer:
        """A consumer of a queue, or a subscriber of a stream.

        `from_` is for streams: "latest" (what is written from now on) or "oldest" (what is still there). `gating`: this
        subscriber holds writers back, on any stream.

        On a recorded channel it reads the log and the channel as if they were one: "oldest" is the beginning of the
        log, and `from_` may be a sequence or a datetime, too; GoneError with `oldest_sequence` when that is older than
        what is kept. `level` says what it may see: 'memory' (the default), or 'wal', only what is on disk. `log` is the
        directory of the log, unless its recorder names it. `group`: each message goes to one of the consumers with this
        name, and `commit` keeps their place.
        """
        name, title = encoded(channel, "channel"), encoded(label, "label")
        start, value = encode_start(from_)
        flags = signatures.CONSUMER_GATING * bool(gating)
        is_recorded = any(info["name"] == channel and "recorded" in info["options"] for info in self.channels())
        if is_recorded or value or not (level is None and log is None and group is None):
            handle = self._library.open_recorded(
                self._handle,
                name,
                title,
                layout.RUNTIME_PYTHON,
                start,
                value,
                flags,
                chosen(LEVELS, level or "memory", "level"),
                None if log is None else encoded_path(log),
                None if group is None else encoded(group, "group"),
            )
        else:
            handle = self._library.open_consumer(self._handle, name, title, layout.RUNTIME_PYTHON, start, flags)
        return Consumer(self._library, checked(handle), channel, is_recorded)

    def record(
        self,
        channel: str,
        *,
        log: Path,
        segment_bytes: int | None = None,
        compress: bool = False,
        create: bool = True,
        rebase: bool = False,
        retention_days: int | None = None,
        retention_bytes: int | None = None,
        label: str = "",
    ) -> Recorder:
        """Records a recorded channel in a log, on native threads of this process, until it is closed.

        `log` is the directory, made when it is not there; what it is written with is told at `Log.open`. `rebase`, an
        operator's word: the channel goes on in this log, whatever log it went into before.

        Raises BusyError while another recorder lives, ExistsError when the channel belongs to another log or somebody
        else appended to this one, CorruptError when the log has lost what the channel no longer holds, UnsupportedError
        for a channel that is not recorded.
        """
        size, flags, days, most = encode_writing(segment_bytes, compress, create, retention_days, retention_bytes)
        handle = self._library.record(
            self._handle,
            encoded(channel, "channel"),
            encoded_path(log),
            encoded(label, "label"),
            layout.RUNTIME_PYTHON,
            size,
            flags | signatures.RECORD_REBASE * bool(rebase),
            days,
            most,
        )
        return Recorder(self._library, checked(handle), channel, os.fspath(log))

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._close.alive

    def close(self) -> None:
        """Closes it; again, it does nothing."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Region {self.path!r}{' (closed)' if self.closed else ''}>"


def _open_flags(
    read_only: bool = False, recovery: bool = True, hugepages: bool = False, lock_memory: bool = False
) -> int:
    return (
        signatures.OPEN_READ_ONLY * bool(read_only)
        | signatures.OPEN_NO_RECOVERY * (not recovery)
        | signatures.OPEN_HUGEPAGES * bool(hugepages)
        | signatures.OPEN_LOCK_MEMORY * bool(lock_memory)
    )
