"""Soon: waits for something, so long and no longer.

`asyncio.wait_for` will not do before Python 3.12: when it is cancelled at the moment at which what it waits for is
done, it forgets that it was cancelled, and whoever cancelled it waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .._generated.errors import TimedOutError

Answer = TypeVar("Answer")


async def soon(
    asked: Coroutine[Any, Any, Answer],
    seconds: float,
    what: str,
    drop: Callable[[Answer], object] = lambda answer: None,
) -> Answer:
    """The answer, if it comes in time; `drop` gets one that comes when nobody wants it any more.

    Raises TimedOutError, which says `what`.
    """
    task = asyncio.ensure_future(asked)
    is_wanted = False

    def ended(task: asyncio.Future[Answer]) -> None:
        if not is_wanted and not task.cancelled() and task.exception() is None:
            drop(task.result())

    try:
        await asyncio.wait({task}, timeout=seconds)
        is_wanted = task.done()
    finally:
        task.add_done_callback(ended)
        task.cancel()
    if not is_wanted:
        raise TimedOutError(what)
    return task.result()
