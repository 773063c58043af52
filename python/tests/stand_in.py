"""Stand-in: the outside of an exchange on loopback, with a real book behind it, that can be told to misbehave.

It knows the feed by the description of MoldUDP64 (`plain_mold`), not by our codec, and keeps what it sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import zlib
from collections.abc import Callable
from itertools import islice
from types import TracebackType
from typing import Any

import plain_mold
from engine import Engine, flow

from tailrace import wire

LOOPBACK = "127.0.0.1"


def session_of(epoch: int) -> bytes:
    """The session of an epoch."""
    return str(epoch).rjust(10).encode()


class Publisher(asyncio.DatagramProtocol):
    """Sends an engine's market messages as a feed, and again what is asked for."""

    def __init__(self, engine: Engine, epoch: int = 1_700_000_000) -> None:
        self.engine = engine
        self.session = session_of(epoch)
        self.feed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.feed.setblocking(False)
        self.target: tuple[str, int] | None = None
        self.sent = 0
        self.answers = 0
        self.is_deaf = False
        self.captured: list[bytes] = []
        # Which datagrams go out for one that is given; several or none when the network is bad.
        self.network: Callable[[bytes], list[bytes]] = lambda datagram: [datagram]

    async def open(self) -> None:
        """Begins to hear requests."""
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(LOOPBACK, 0))

    @property
    def requests(self) -> str:
        """Where requests are heard."""
        return f"{LOOPBACK}:{self.transport.get_extra_info('sockname')[1]}"

    def to(self, address: str | None) -> None:
        """Where the feed goes."""
        assert address is not None
        host, port = address.split(":")
        self.target = host, int(port)

    def send(self, datagram: bytes) -> None:
        """Sends one datagram over the network as it is."""
        assert self.target is not None
        for part in self.network(datagram):
            self.captured.append(part)
            self.feed.sendto(part, self.target)

    def publish(self, most: int = 20) -> None:
        """Sends what is new, so many messages in a datagram, as if each were a command."""
        market = self.engine.market
        while self.sent < len(market):
            part = market[self.sent : self.sent + most]
            self.send(plain_mold.written(self.session, self.sent + 1, part))
            self.sent += len(part)

    def heartbeat(self) -> None:
        """Says which message is next."""
        self.send(plain_mold.written(self.session, self.sent + 1, []))

    def end(self) -> None:
        """Ends the session."""
        self.send(plain_mold.end(self.session, self.sent + 1))

    def datagram_received(self, data: bytes, sender: Any) -> None:
        session, sequence, count = plain_mold.HEADER.unpack(data)
        if self.is_deaf or session != self.session or sequence > self.sent:
            return
        self.answers += 1
        wanted = self.engine.market[sequence - 1 : min(self.sent, sequence - 1 + min(count, 24))]
        self.transport.sendto(plain_mold.written(session, sequence, wanted), sender)

    def close(self) -> None:
        """Ends it."""
        self.feed.close()
        self.transport.close()


class Snapshots:
    """Sends an engine's orders to whoever asks."""

    def __init__(self, engine: Engine, publisher: Publisher) -> None:
        self.engine = engine
        self.publisher = publisher
        self.served = 0
        # What goes out for a whole answer.
        self.wire: Callable[[bytes], bytes] = lambda answer: answer
        self.connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begins to listen."""
        self.server = await asyncio.start_server(self._serve, LOOPBACK, 0)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{LOOPBACK}:{self.server.sockets[0].getsockname()[1]}"

    def answer(self) -> bytes:
        """The bytes of a snapshot of now."""
        image = self.engine.image()
        fields = {"session": self.publisher.session, "sequence": len(self.engine.market), "count": len(image) // 40}
        head = wire.encode("SnapshotHead", kind=wire.SNAPSHOT_HEAD, state_hash=self.engine.book.state_hash, **fields)
        return head + image + zlib.crc32(head + image).to_bytes(4, "little")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            request = await reader.readexactly(16)
            assert request == wire.encode("SnapshotRequest", kind=wire.SNAPSHOT_REQUEST)
            self.served += 1
            answer = self.wire(self.answer())
            # In two parts, for whoever thinks that one read brings it all.
            writer.write(answer[: len(answer) // 2])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(answer[len(answer) // 2 :])
            await writer.drain()
            writer.write_eof()
            await reader.read()
        writer.transport.abort()
        self.connections.discard(task)

    def close(self) -> None:
        """Ends it."""
        self.server.close()

    async def left(self) -> None:
        """Waits until everybody has left."""
        for task in list(self.connections):
            task.cancel()
        if self.connections:
            await asyncio.wait(list(self.connections))
        # What was aborted is closed in the next turn.
        await asyncio.sleep(0)


class Market:
    """A publisher and a snapshot service around one engine."""

    def __init__(self, epoch: int = 1_700_000_000) -> None:
        self.engine = Engine()
        self.publisher = Publisher(self.engine, epoch)
        self.snapshots = Snapshots(self.engine, self.publisher)
        self.flow = flow(epoch)

    def trade(self, count: int) -> None:
        """Lets so many commands happen."""
        for message in islice(self.flow, count):
            self.engine.apply(message)

    def again(self, epoch: int) -> None:
        """Begins a new session, with a book of its own."""
        self.engine = self.publisher.engine = self.snapshots.engine = Engine()
        self.publisher.session = session_of(epoch)
        self.publisher.sent = 0
        self.flow = flow(epoch)

    @property
    def places(self) -> dict[str, Any]:
        """What a client is told."""
        return {
            "feed": f"{LOOPBACK}:0",
            "requests": self.publisher.requests,
            "snapshots": self.snapshots.address,
        }

    async def __aenter__(self) -> Market:
        await self.publisher.open()
        await self.snapshots.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.publisher.close()
        self.snapshots.close()
        await self.snapshots.left()


class BadNetwork:
    """Loses, doubles and reorders datagrams, one by one and in bursts."""

    def __init__(self, seed: int, loss: float = 0.01, burst: float = 0.004) -> None:
        self.dice = random.Random(seed)
        self.loss = loss
        self.burst = burst
        self.burst_left = 0
        self.held: list[bytes] = []
        self.lost = 0

    def __call__(self, datagram: bytes) -> list[bytes]:
        if self.burst_left == 0 and self.dice.random() < self.burst:
            self.burst_left = self.dice.randrange(5, 40)
        if self.burst_left or self.dice.random() < self.loss:
            self.burst_left = max(0, self.burst_left - 1)
            self.lost += 1
            return []
        if self.dice.random() < 0.02:
            self.held.append(datagram)
            return []
        out = [datagram] * (2 if self.dice.random() < 0.02 else 1)
        if self.held and self.dice.random() < 0.3:
            out += self.held
            self.held = []
        return out
