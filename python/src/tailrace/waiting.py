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
from .arguments import count
from .library import Library, checked, failure

SLICE_NS: Final = 50_000_000


def slices(timeout: float | None, is_growing: bool = False) -> Iterator[int]:
    """Nanoseconds to wait at a time, at least once, until `timeout` seconds have passed (None: for ever).

    Slices that grow are each as long as all before it: for what begins anew each time, and may take any time.
    """
    growth = 1 + bool(is_growing)
    if timeout is None:
        return _endless(growth)
    if not isinstance(timeout, (int, float)) or not 0 <= timeout < 2**33:
        raise ArgumentError(f"timeout is {timeout!r}; give seconds, 0 or more, or None to wait for ever")
    return _ending(round(timeout * 1e9), growth)


def _endless(growth: int) -> Iterator[int]:
    slice_ns = SLICE_NS
    while True:
        yield slice_ns
        slice_ns *= growth


def _ending(left: int, growth: int) -> Iterator[int]:
    end = monotonic_ns() + left
    for slice_ns in _endless(growth):
        yield min(left, slice_ns)
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


def wait_durable(library: Library, handle: ctypes.c_int64, sequence: int, timeout: float | None) -> bool:
    """Whether everything up to a sequence is on disk before `timeout` seconds have passed."""
    number = count(sequence, "sequence", 0)
    return any(checked(library.wait_durable(handle, number, slice_ns)) for slice_ns in slices(timeout))
