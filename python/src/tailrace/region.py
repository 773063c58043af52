"""Region: a file in shared memory with up to 256 channels, and the door to them."""

from __future__ import annotations

import ctypes
import json
import os
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

from ._generated import layout, signatures
from ._generated.errors import ArgumentError
from .consumer import Consumer
from .library import Function, Library, failure, load
from .producer import Producer

if TYPE_CHECKING:
    from typing_extensions import Self

Path = str | os.PathLike[str]
Kind = Literal["queue", "stream"]
Foreign = Literal["document", "code"]
From = Literal["latest", "oldest"]

LIMIT_BYTES: Final = 64 << 20
_KINDS: Final = {"queue": layout.CHANNEL_QUEUE, "stream": layout.CHANNEL_STREAM}
_FOREIGN: Final = {
    None: 0,
    "document": layout.CHANNEL_FOREIGN_DOCUMENT,
    "code": layout.CHANNEL_FOREIGN_CODE,
}
_FROM: Final = {
    None: signatures.FROM_DEFAULT,
    "latest": signatures.FROM_LATEST,
    "oldest": signatures.FROM_OLDEST,
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
        limit, milliseconds = _count(limit_bytes, "limit_bytes"), _count(lock_timeout_ms, "lock_timeout_ms", 0)
        handle = library.region_create(_encoded_path(path), limit, _count(mode, "mode"), milliseconds, flags)
        return cls(library, _checked(handle), os.fspath(path))

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
        milliseconds = _count(lock_timeout_ms, "lock_timeout_ms", 0)
        handle = library.region_open(_encoded_path(path), flags, milliseconds, _count(payload_offset, "payload_offset"))
        return cls(library, _checked(handle), os.fspath(path))

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
            _encoded_path(path),
            _count(limit_bytes, "limit_bytes"),
            _count(mode, "mode"),
            _open_flags(read_only, recovery, hugepages, lock_memory),
            _count(lock_timeout_ms, "lock_timeout_ms", 0),
            _count(payload_offset, "payload_offset"),
        )
        return cls(library, _checked(handle), os.fspath(path))

    @staticmethod
    def remove(path: Path) -> None:
        """Removes a region's file. Whoever has it open gets GoneError."""
        _checked(load().region_remove(_encoded_path(path)))

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
        foreign: Foreign | None = None,
    ) -> int:
        """Adds a channel and returns its index; the same options again find it, others raise ExistsError.

        `capacity` is its slots, a power of two. `exclusive_producer` and `exclusive_consumer` allow one at a time and
        make it faster. `gated`: every subscriber of the stream holds writers back. `checksum`: every slot carries one.
        `foreign`: shared with programs that know only the published layout, by its document or by its code.
        """
        flags = _chosen(_KINDS, kind, "kind") | _chosen(_FOREIGN, foreign, "foreign")
        flags |= layout.CHANNEL_EXCLUSIVE_PRODUCER * bool(exclusive_producer)
        flags |= layout.CHANNEL_EXCLUSIVE_CONSUMER * bool(exclusive_consumer)
        flags |= layout.CHANNEL_GATED * bool(gated) | layout.CHANNEL_CHECKSUM * bool(checksum)
        slots = _count(capacity, "capacity", 2)
        if slots & slots - 1:
            raise ArgumentError(f"capacity is {slots}; it must be a power of two, such as {1 << slots.bit_length()}")
        return _checked(self._library.create_channel(self._handle, _encoded(name, "name"), flags, slots))

    def channels(self) -> list[dict[str, Any]]:
        """Name, index, kind, capacity, options and cursors of every channel."""
        channels: list[dict[str, Any]] = json.loads(self._report(self._library.channels))
        return channels

    def stats(self) -> dict[str, Any]:
        """Channels, their counters, who is attached and what each is doing."""
        stats: dict[str, Any] = json.loads(self._report(self._library.stats))
        return stats

    def _report(self, call: Function) -> bytes:
        length = 1 << 16
        while True:
            text = ctypes.create_string_buffer(length)
            needed = _checked(call(self._handle, text, length))
            if needed <= length:
                return text.raw[:needed]
            # It may have grown once more by the next call.
            length = needed * 2

    def open_producer(self, channel: str, *, label: str = "", pin: int | None = None) -> Producer:
        """A producer of a channel. `label` is a name for people; `pin` binds this thread to a processor."""
        handle = self._library.open_producer(
            self._handle,
            _encoded(channel, "channel"),
            _encoded(label, "label"),
            layout.RUNTIME_PYTHON,
            signatures.PIN_NONE if pin is None else _count(pin, "pin", 0),
        )
        return Producer(self._library, _checked(handle), channel)

    def open_consumer(
        self, channel: str, *, label: str = "", from_: From | None = None, gating: bool = False
    ) -> Consumer:
        """A consumer of a queue, or a subscriber of a stream.

        `from_` is for streams: "latest" (what is written from now on) or "oldest" (what is still there). `gating`: this
        subscriber holds writers back, on any stream.
        """
        handle = self._library.open_consumer(
            self._handle,
            _encoded(channel, "channel"),
            _encoded(label, "label"),
            layout.RUNTIME_PYTHON,
            _chosen(_FROM, from_, "from_"),
            signatures.CONSUMER_GATING * bool(gating),
        )
        return Consumer(self._library, _checked(handle), channel)

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


def _checked(result: int) -> int:
    if result < 0:
        raise failure(result)
    return result


def _encoded_path(path: Path) -> bytes:
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(f"path is {path!r}; give the name of a file, such as '/dev/shm/prices'")
    return _encoded(os.fspath(path), "path")


def _encoded(text: str, what: str) -> bytes:
    if not isinstance(text, str):
        raise ArgumentError(f"{what} is {text!r}; give a string")
    if "\0" in text:
        raise ArgumentError(f"{what} is {text!r}; it must not contain a NUL")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"{what} is {text!r}; it must be UTF-8") from None


def _count(number: int, what: str, least: int = 1) -> int:
    if not isinstance(number, int) or number < least or number >= 2**63:
        raise ArgumentError(f"{what} is {number!r}; give a number, {least} or more")
    return number


def _chosen(choices: dict[Any, int], choice: object, what: str) -> int:
    try:
        return choices[choice]
    except (KeyError, TypeError):
        known = " or ".join(repr(known) for known in choices if known is not None)
        raise ArgumentError(f"{what} is {choice!r}; give {known}") from None


def _open_flags(
    read_only: bool = False, recovery: bool = True, hugepages: bool = False, lock_memory: bool = False
) -> int:
    return (
        signatures.OPEN_READ_ONLY * bool(read_only)
        | signatures.OPEN_NO_RECOVERY * (not recovery)
        | signatures.OPEN_HUGEPAGES * bool(hugepages)
        | signatures.OPEN_LOCK_MEMORY * bool(lock_memory)
    )
