"""Readiness: how an asyncio loop learns that a consumer has something to poll.

One thread of the library sleeps for all the consumers of this process that are waited for in this way; it knows nothing
of Python and never asks for the interpreter's lock. What it finds it writes to an eventfd that the loop watches, once
for each wait. So an idle loop sleeps in its selector, and a cancelled wait leaves nobody behind who holds the consumer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os

from .library import Library, failure

_NOBODY = -1


class Readiness:
    """Waits for one consumer on behalf of one loop."""

    __slots__ = ("_descriptor", "_future", "_handle", "_library", "_loop")

    def __init__(self, library: Library, handle: ctypes.c_int64) -> None:
        self._library = library
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._future: asyncio.Future[None] | None = None
        self._loop.add_reader(self._descriptor, self._wake)

    async def wait(self) -> None:
        """Returns when there is something to poll, or the consumer was closed."""
        future = self._future = self._loop.create_future()
        try:
            self._notify(self._descriptor)
            await future
        except BaseException:
            self._notify(_NOBODY)
            raise
        finally:
            self._future = None

    def _notify(self, descriptor: int) -> None:
        result = self._library.notify(self._handle, descriptor)
        if result < 0 and descriptor != _NOBODY:
            raise failure(result)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def close(self) -> None:
        """Waits no more."""
        self._notify(_NOBODY)
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
