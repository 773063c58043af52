"""Cat: `log cat`, the records of a log. It takes no lock and changes nothing, so the log may be written meanwhile."""

from __future__ import annotations

from ..consumer import BATCH
from ..log_reader import LogReader
from ..start import From
from .paper import Paper
from .tail import show


def cat(paper: Paper, path: str, start: From, count: int | None, is_following: bool) -> None:
    """Prints records up to the end of the log as it is now, or past it, `count` of them or without end."""
    with LogReader.open(path, from_=start) as reader:
        end = reader.position + reader.depth
        printed = 0
        while (count is None or printed < count) and (is_following or reader.position < end):
            most = BATCH if count is None else min(BATCH, count - printed)
            batch = reader.poll(most, None if is_following else 0.0)
            if not batch:
                return
            for message in batch:
                show(paper, message)
            printed += len(batch)
