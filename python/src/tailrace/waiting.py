"""Waiting: in slices, so that Ctrl-C works.

The library sleeps without the interpreter's lock, so other threads run; but Python looks at its signals only between
its own instructions, so no sleep is longer than a slice.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from time import monotonic_ns
from typing import Final

from ._generated.errors import ArgumentError
from .library import Library, failure

SLICE_NS: Final = 50_000_000


def slices(timeout: float | None) -> Iterator[int]:
    """Nanoseconds to wait at a time, at least once, until `timeout` seconds have passed (None: for ever)."""
    if timeout is None:
        return _endless()
    if not isinstance(timeout, (int, float)) or not 0 <= timeout < 2**33:
        raise ArgumentError(f"timeout is {timeout!r}; give seconds, 0 or more, or None to wait for ever")
    return _ending(round(timeout * 1e9))


def _endless() -> Iterator[int]:
    while True:
        yield SLICE_NS


def _ending(left: int) -> Iterator[int]:
    end = monotonic_ns() + left
    while True:
        yield min(left, SLICE_NS)
        left = end - monotonic_ns()
        if left <= 0:
            return


def wait(library: Library, handle: ctypes.c_int64, timeout: float | None) -> bool:
    """Whether there is something to do for a handle before `timeout` seconds have passed."""
    for slice_ns in slices(timeout):
        result = library.wait(handle, slice_ns)
        if result > 0:
            return True
        if result < 0:
            raise failure(result)
    return False
