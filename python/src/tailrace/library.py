"""Library: finds, loads and binds the native library, and turns its answers into exceptions.

Functions are bound twice over. Calls that never wait (write, poll, release) keep the interpreter's lock: letting go of
it and taking it back costs more than the call, and under load a thread that lets go may wait five milliseconds for its
return. Calls that may wait (wait, send, open, close, and all that touches a log) let go of it, so that other threads
run.

The types come from the generated table, but for two: the payload of a single write is a `c_char_p`, which takes nothing
but bytes, where a `c_void_p` would take an integer for an address and a string for wide characters; and the two numbers
that come back with a batch go to plain addresses.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ._generated.errors import CLASSES, InternalError, TailraceError, UnsupportedError, VersionError
from ._generated.layout import LAYOUT_HASH
from ._generated.signatures import SIGNATURES

NAME: Final = "libtailrace_native.so"

Function = Callable[..., int]


class Library:
    """The functions of the native library, each bound once."""

    __slots__ = (
        "book_account",
        "book_apply",
        "book_create",
        "book_depth",
        "book_restore",
        "book_snapshot",
        "book_state",
        "channels",
        "close",
        "commit",
        "create_channel",
        "depth",
        "gather",
        "keep",
        "last_error",
        "last_sequence",
        "last_value",
        "log_append",
        "log_open",
        "log_reader",
        "log_repair",
        "log_sequences",
        "log_stat",
        "log_sync",
        "log_trim",
        "log_verify",
        "notify",
        "open_consumer",
        "open_producer",
        "open_recorded",
        "poll",
        "poll_waiting",
        "position",
        "record",
        "recorder_status",
        "region_close",
        "region_create",
        "region_open",
        "region_open_or_create",
        "region_remove",
        "release",
        "seek",
        "send",
        "send_durable",
        "stats",
        "take",
        "take_waiting",
        "version",
        "wait",
        "wait_durable",
        "write",
        "write_at",
        "write_batch",
        "write_strided",
    )

    def __init__(self, path: Path) -> None:
        try:
            waiting, keeping = ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
        except OSError as cause:
            raise UnsupportedError(f"{path} cannot be loaded here: {cause}; build it for this machine") from cause
        # Where the numbers of a batch go is an address that its room keeps; a typed pointer costs 200 ns more.
        records: dict[int, type] = {4: ctypes.c_void_p, 5: ctypes.c_void_p}
        self.region_create = bound(waiting, "tr_region_create")
        self.region_open = bound(waiting, "tr_region_open")
        self.region_open_or_create = bound(waiting, "tr_region_open_or_create")
        self.region_remove = bound(waiting, "tr_region_remove")
        self.region_close = bound(waiting, "tr_region_close")
        self.create_channel = bound(waiting, "tr_create_channel")
        self.channels = bound(waiting, "tr_channels")
        self.stats = bound(waiting, "tr_stats")
        self.open_producer = bound(waiting, "tr_open_producer")
        self.open_consumer = bound(waiting, "tr_open_consumer")
        self.open_recorded = bound(waiting, "tr_open_recorded")
        self.record = bound(waiting, "tr_record")
        self.recorder_status = bound(waiting, "tr_recorder_status")
        self.close = bound(waiting, "tr_close")
        self.send = bound(waiting, "tr_send")
        self.send_durable = bound(waiting, "tr_send_durable")
        self.wait = bound(waiting, "tr_wait")
        self.wait_durable = bound(waiting, "tr_wait_durable")
        self.commit = bound(waiting, "tr_commit")
        self.seek = bound(waiting, "tr_seek")
        self.depth = bound(waiting, "tr_depth")
        self.log_open = bound(waiting, "tr_log_open")
        self.log_append = bound(waiting, "tr_log_append")
        self.log_sync = bound(waiting, "tr_log_sync")
        self.log_trim = bound(waiting, "tr_log_trim")
        self.log_reader = bound(waiting, "tr_log_reader")
        self.log_stat = bound(waiting, "tr_log_stat")
        self.log_verify = bound(waiting, "tr_log_verify")
        self.log_repair = bound(waiting, "tr_log_repair")
        self.book_create = bound(waiting, "tr_book_create")
        self.book_restore = bound(waiting, "tr_book_restore")
        self.book_snapshot = bound(waiting, "tr_book_snapshot")
        # What reads a log may wait for a disk.
        self.poll_waiting = bound(waiting, "tr_poll", records)
        self.take_waiting = bound(waiting, "tr_take", records)
        self.notify = bound(keeping, "tr_notify")
        self.write = bound(keeping, "tr_write", {1: ctypes.c_char_p})
        self.write_at = bound(keeping, "tr_write")
        self.write_batch = bound(keeping, "tr_write_batch")
        self.write_strided = bound(keeping, "tr_write_strided")
        self.last_sequence = bound(keeping, "tr_last_sequence")
        self.poll = bound(keeping, "tr_poll", records)
        self.take = bound(keeping, "tr_take", records)
        self.gather = bound(keeping, "tr_gather")
        self.release = bound(keeping, "tr_release")
        self.keep = bound(keeping, "tr_keep")
        self.position = bound(keeping, "tr_position")
        self.log_sequences = bound(keeping, "tr_log_sequences")
        self.book_apply = bound(keeping, "tr_book_apply")
        self.book_state = bound(keeping, "tr_book_state")
        self.book_account = bound(keeping, "tr_book_account")
        self.book_depth = bound(keeping, "tr_book_depth")
        self.last_error = bound(keeping, "tr_last_error")
        self.last_value = bound(keeping, "tr_last_value")
        self.version = bound(keeping, "tr_version")
        layout_hash = bound(keeping, "tr_layout_hash")()
        if layout_hash != LAYOUT_HASH:
            raise VersionError(
                f"{path} was built with layout {layout_hash:#x}, and this package with {LAYOUT_HASH:#x}; "
                "install both from one version"
            )


def bound(library: ctypes.CDLL, name: str, instead: dict[int, type] | None = None) -> Function:
    """The function of this name with the types of the table, but for those arguments that are named."""
    answer, arguments = SIGNATURES[name]
    types = list(arguments)
    for index, other in (instead or {}).items():
        types[index] = other
    # Every look-up by index makes an object of its own, so that one function can be bound with two sets of types.
    function = library[name]
    function.restype = answer
    function.argtypes = types
    return function


def candidates() -> list[Path]:
    """Where the library may be: where one is told, in the package (a wheel), or in the repository (a checkout)."""
    told = os.environ.get("TAILRACE_LIBRARY")
    if told:
        return [Path(told)]
    package = Path(__file__).resolve().parent
    found = [package / NAME]
    repository = package.parents[2]
    if (repository / "bindings" / "native" / "Cargo.toml").exists():
        found.append(repository / "target" / "release" / NAME)
    return found


@functools.cache
def load() -> Library:
    """The library, loaded by the first who needs it, so that an import works everywhere."""
    if not sys.platform.startswith("linux"):
        raise UnsupportedError(f"regions need Linux, and this is {sys.platform}; run this part there")
    paths = candidates()
    for path in paths:
        if path.exists():
            return Library(path)
    tried = ", ".join(str(path) for path in paths)
    raise UnsupportedError(
        f"{NAME} is not there (tried {tried}); install a wheel for this platform, build it with "
        "`cargo build --release -p tailrace-native`, or set TAILRACE_LIBRARY to its path"
    )


def pointer(array: Any) -> Any:
    """Where an array's bytes are, as an argument; valid as long as the array is. The usual way costs a fifth of numpy's
    own, and refuses arrays that have gaps or are for reading only."""
    try:
        return ctypes.byref(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError, BufferError):
        return array.__array_interface__["data"][0]


def failure(code: int) -> TailraceError:
    """The exception for a negative answer, with what this thread's last failed call had to say."""
    library = load()
    value = library.last_value()
    text = ctypes.create_string_buffer(1024)
    os_errno = ctypes.c_int32()
    length = library.last_error(text, len(text), ctypes.byref(os_errno))
    if length >= len(text):
        text = ctypes.create_string_buffer(length + 1)
        library.last_error(text, len(text), ctypes.byref(os_errno))
    message = text.value.decode("utf-8", "replace")
    return CLASSES.get(code, InternalError)(message, os_errno=os_errno.value, value=value)


def checked(result: int) -> int:
    """The answer, unless it is a failure."""
    if result < 0:
        raise failure(result)
    return result


def report(call: Callable[[Any, int], int], length: int = 1 << 16) -> Any:
    """The JSON that a call writes where it is told to; once more when `length` is no room."""
    while True:
        text = ctypes.create_string_buffer(length)
        needed = checked(call(text, length))
        if needed <= length:
            return json.loads(text.raw[:needed])
        # It may have grown once more by the next call.
        length = needed * 2
