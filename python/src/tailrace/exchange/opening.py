"""Opening: what opens a client, for `await` and for `async with`."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar

Client = TypeVar("Client", bound="AbstractAsyncContextManager[Any]")


class Opening(Generic[Client]):
    """A client that opens when it is awaited; in `async with` it is closed at the end of the block, too."""

    __slots__ = ("_client", "_opens")

    def __init__(self, opens: Coroutine[Any, Any, Client]) -> None:
        self._opens = opens
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._opens.__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._opens
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.__aexit__(kind, error, trace)
