"""Meter: how far a long work has come, in one line of a terminal that is gone when the work is done."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Final, TextIO, TypeVar

from ..log import Progress

_ERASE: Final = "\r\033[K"
_INTERRUPTED: Final = 130

Result = TypeVar("Result")


def metered(what: str, work: Callable[[Progress], Result], stream: TextIO | None = None) -> Result:
    """Does a work that only looks, and shows how far it has come.

    The library does not stop halfway, so an interrupt ends the program as soon as it is heard of.
    """
    to = stream or sys.stderr
    is_terminal = to.isatty()

    def show(done: int, total: int) -> None:
        if is_terminal and total > 0:
            print(f"{_ERASE}{what}: {min(done, total) * 100 // total} %", end="", file=to, flush=True)

    def erase() -> None:
        if is_terminal:
            print(_ERASE, end="", file=to, flush=True)

    def end(*_: object) -> None:
        erase()
        os._exit(_INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        return work(show)
    finally:
        signal.signal(signal.SIGINT, before)
        erase()
