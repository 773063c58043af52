"""Feed sockets: one that hears the feed, and one that asks for what was lost and hears the answers.

The second one is connected, so that the system itself drops what does not come from the publisher. Its errors (nobody
listens there) say no more than a request without an answer does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from .._generated.errors import IoError
from .address import Address

# Asked of the system, which may have a lower limit.
_RECEIVE_BYTES: Final = 8 << 20
_DATAGRAM_BYTES: Final = 1 << 16
# Datagrams that are read before anybody else of the loop has his turn.
_TURN: Final = 256

Hear = Callable[[bytes, bool], None]


class FeedSockets:
    """Both sockets."""

    __slots__ = ("_feed", "_loop", "_requests")

    def __init__(self, feed: socket.socket, requests: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._feed = feed
        self._requests = requests
        self._loop = loop

    @classmethod
    async def open(cls, feed: Address, requests: Address, interface: str | None) -> FeedSockets:
        """Opens them. Raises IoError when the system refuses."""
        loop = asyncio.get_running_loop()
        opened: list[socket.socket] = []
        try:
            what = f"hearing {feed}"
            heard, place = await _socket(loop, feed)
            opened.append(heard)
            if feed.is_multicast:
                heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            heard.bind(place)
            if feed.is_multicast:
                _join(heard, feed.host, interface)
            what = f"asking {requests}"
            asked, place = await _socket(loop, requests)
            opened.append(asked)
            asked.connect(place)
        except OSError as cause:
            for one in opened:
                one.close()
            raise IoError(f"{what}: {cause}") from cause
        return cls(heard, asked, loop)

    def start(self, hear: Hear, fail: Callable[[IoError], None]) -> None:
        """Hands every datagram to `hear`, with whether it is of the feed and not an answer."""
        self._loop.add_reader(self._feed, self._drain, self._feed, hear, fail)
        self._loop.add_reader(self._requests, self._drain, self._requests, hear, fail)

    def _drain(self, one: socket.socket, hear: Hear, fail: Callable[[IoError], None]) -> None:
        is_live = one is self._feed
        for _ in range(_TURN):
            try:
                data = one.recv(_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as cause:
                if is_live:
                    fail(IoError(f"hearing the feed: {cause}"))
                return
            hear(data, is_live)
            if one.fileno() < 0:
                return

    def ask(self, request: bytes) -> None:
        """Sends a request. Whether it arrives shows in the answer."""
        try:
            self._requests.send(request)
        except OSError:
            return

    @property
    def address(self) -> Address:
        """Where the feed is heard; tells the port that 0 became."""
        host, port = self._feed.getsockname()[:2]
        return Address(host, port)

    def close(self) -> None:
        """Closes both."""
        for one in (self._feed, self._requests):
            if one.fileno() >= 0:
                self._loop.remove_reader(one)
                one.close()


async def _socket(loop: asyncio.AbstractEventLoop, address: Address) -> tuple[socket.socket, tuple[object, ...]]:
    """A socket for an address, and the address as the system writes it."""
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, place = found[0]
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    return made, place


def _join(heard: socket.socket, group: str, interface: str | None) -> None:
    if heard.family == socket.AF_INET6:
        index = socket.if_nametoindex(interface) if interface else 0
        member = socket.inet_pton(socket.AF_INET6, group) + index.to_bytes(4, "little")
        heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    else:
        member = socket.inet_aton(group) + socket.inet_aton(interface or "0.0.0.0")
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
