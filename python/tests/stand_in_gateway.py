"""Stand-in gateway: sessions over TCP, by the tables of the wire, around a real book; it can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from types import TracebackType
from typing import Any

from engine import Engine

from tailrace import wire

LOOPBACK = "127.0.0.1"
TOKEN = bytes(range(32))
_NEW_ID = {"NewOrder": "client_order_id", "Replace": "new_client_order_id", "MassCancel": "client_order_id"}
_DOING = (wire.EXEC_ACCEPTED, wire.EXEC_REPLACED, wire.EXEC_MASS_CANCEL_DONE)


def frame(message: bytes) -> bytes:
    """A message behind its length."""
    return len(message).to_bytes(2, "little") + message


class Cut(Exception):  # noqa: N818
    """The connection is to end here."""


class Gateway:
    """Takes orders for the users `alice` (account 1) and `bob` (account 2)."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.writers: dict[int, asyncio.StreamWriter] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.received: list[tuple[int, str, dict[str, Any]]] = []
        self.logins: list[dict[str, Any]] = []
        self.heartbeats = 0
        self.is_silent = False
        # May raise `Cut` before or after a command is carried out: `step` is "before" or "after".
        self.fault: Callable[[str], None] = lambda step: None
        # What goes out for a frame.
        self.wire: Callable[[bytes], bytes] = lambda data: data
        # The reason of a refusal, by user.
        self.refusals: dict[str, int] = {}
        self.port = 0

    async def __aenter__(self) -> Gateway:
        await self.open()
        return self

    async def open(self) -> None:
        """Begins to listen, at the same port as before."""
        self.server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends, and all connections with it."""
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(list(self.tasks))
        # What was aborted is closed in the next turn.
        await asyncio.sleep(0)

    @property
    def place(self) -> dict[str, Any]:
        """What a client is told."""
        return {"gateway": f"{LOOPBACK}:{self.port}", "user": "alice", "token": TOKEN, "pause_ms": 1}

    def cut(self) -> None:
        """Ends all connections at once."""
        for writer in self.writers.values():
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        account = 0
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, Cut, asyncio.CancelledError):
            account = await self._welcome(reader, writer)
            while account:
                await self._take(account, await self._message(reader), writer)
        if self.writers.get(account) is writer:
            del self.writers[account]
        writer.transport.abort()
        self.tasks.discard(task)

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        length = int.from_bytes(await reader.readexactly(2), "little")
        return await reader.readexactly(length)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        """The account of a session."""
        login = wire.decode_as("Login", await self._message(reader))
        self.logins.append(login)
        user = login["user"].rstrip(b"\0").decode()
        account = {"alice": 1, "bob": 2}.get(user, 0)
        reason = self.refusals.get(user, 0 if account and login["token"] == TOKEN else wire.REASONS["LOGIN"])
        if reason:
            self._say(writer, wire.encode("LoginReply", reason=reason))
            await writer.drain()
            writer.write_eof()
            await reader.read()
            return 0
        if account in self.writers:
            self._say(self.writers[account], wire.encode("Logout"))
            self.writers[account].close()
        self.writers[account] = writer
        history = self.engine.reports.get(account, [])
        first = len(history) + 1 if login["next_report"] == 0 else min(login["next_report"], len(history) + 1)
        last_id = self.engine.book.account(account).last_client_order_id
        told = {"account": account, "last_client_order_id": last_id, "next_report": first}
        self._say(writer, wire.encode("LoginReply", time_ns=1, **told))
        for report in history[first - 1 :]:
            self._say(writer, report)
        await writer.drain()
        return account

    async def _take(self, account: int, message: bytes, writer: asyncio.StreamWriter) -> None:
        name, fields = wire.decode(message)
        if name == "Heartbeat":
            self.heartbeats += 1
            if not self.is_silent:
                self._say(writer, message)
            return
        if name == "Logout":
            raise Cut
        self.received.append((account, name, fields))
        assert fields["account"] == account
        self.fault("before")
        made = self.engine.apply(message)
        self.fault("after")
        for report in made:
            read = wire.decode_as("ExecutionReport", report)
            if read["reason"] == wire.REASONS["DUPLICATE"]:
                self._say(writer, self._repeat(account, fields[_NEW_ID[name]], report))
            elif read["account"] in self.writers:
                self._say(self.writers[read["account"]], report)
        await writer.drain()

    def _repeat(self, account: int, client_order_id: int, refusal: bytes) -> bytes:
        """The report that answered an id, once more; the refusal, if none did."""
        for report in self.engine.reports.get(account, []):
            read = wire.decode_as("ExecutionReport", report)
            if read["client_order_id"] == client_order_id and read["exec_type"] in _DOING:
                return report[:3] + bytes([report[3] | wire.REPORT_REPEAT]) + report[4:]
        return refusal

    def _say(self, writer: asyncio.StreamWriter, message: bytes) -> None:
        if not writer.transport.is_closing():
            writer.write(self.wire(frame(message)))


class RandomCuts:
    """Ends connections now and then, before or after a command was carried out."""

    def __init__(self, seed: int, often: float) -> None:
        self.dice = random.Random(seed)
        self.often = often
        self.count = 0

    def __call__(self, step: str) -> None:
        if self.dice.random() < self.often:
            self.count += 1
            raise Cut
