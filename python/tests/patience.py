"""Patience: tests of clients run in a loop of their own, and every wait of theirs ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

# No test waits longer, seconds.
SECONDS = 60


def run(test: Callable[[], Awaitable[Any]], seconds: float = SECONDS) -> Any:
    """Runs a test to its end, which comes."""

    async def bounded() -> Any:
        return await asyncio.wait_for(test(), seconds)

    return asyncio.run(bounded())


async def until(is_so: Callable[[], object], *followers: asyncio.Task[None]) -> None:
    """Waits until something is so; if one of the followers fails meanwhile, so does this."""
    while not is_so():
        for follower in followers:
            if follower.done():
                follower.result()
        await asyncio.sleep(0.002)
