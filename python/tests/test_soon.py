"""Soon: an answer in time, a time-out, and a cancellation that is never forgotten."""

from __future__ import annotations

import asyncio

import pytest
from patience import run

import tailrace
from tailrace.exchange.soon import soon


async def answer(future: asyncio.Future[int]) -> int:
    """What the future is."""
    return await future


def test_an_answer_comes_in_time_or_not() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        dropped: list[int] = []
        for number in range(2):
            future: asyncio.Future[int] = loop.create_future()
            loop.call_soon(future.set_result, number)
            assert await soon(answer(future), 10, "", dropped.append) == number
        with pytest.raises(tailrace.TimedOutError, match="nothing came"):
            await soon(answer(loop.create_future()), 0.001, "nothing came", dropped.append)
        failing: asyncio.Future[int] = loop.create_future()
        failing.set_exception(OSError("no"))
        with pytest.raises(OSError, match="no"):
            await soon(answer(failing), 10, "", dropped.append)
        assert dropped == []

    run(test)


def test_who_is_cancelled_at_the_last_moment_is_cancelled_and_the_answer_dropped() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        for turns in range(6):
            dropped: list[int] = []
            future: asyncio.Future[int] = loop.create_future()
            task = asyncio.create_task(soon(answer(future), 10, "", dropped.append))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            future.set_result(7)
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done():
                assert task.result() == 7
                continue
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)
            # What was asked may have been cancelled before it had its answer.
            assert dropped in ([], [7])
        assert turns == 5

    run(test)
