"""Connection: one TCP connection to a gateway: frames, login, heartbeats, and its end.

`[length u16][message]`, little-endian. A length that is not its type's means that the other side speaks something else,
and nothing after it can be read; so the connection ends there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final, Protocol

from .._generated.errors import CorruptError, GoneError, IoError, TailraceError, TimedOutError
from ..wire import MESSAGES, encode, size_of_type
from .codec import Codec
from .exchange_error import refusal

_HEAD_BYTES: Final = 2
_REPLY: Final = Codec("LoginReply")
_HEARTBEAT: Final = Codec("Heartbeat")
_LOGOUT: Final = Codec("Logout")
_REPORT_TYPE: Final = MESSAGES["ExecutionReport"].type
# What a gateway has for its answer to a login.
_WELCOME_SECONDS: Final = 5.0
# Heartbeats of silence after which the other side is gone, and looks at the clock in a heartbeat.
_SILENT: Final = 3
_LOOKS: Final = 4


def frame_of(message: bytes) -> bytes:
    """A message behind its length."""
    return len(message).to_bytes(_HEAD_BYTES, "little") + message


class FrameReader:
    """Cuts what comes into messages."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> Iterator[bytes]:
        """The messages that have come whole; what is left waits for the next bytes. Raises CorruptError at bytes that
        can be no message."""
        data = self._rest + data if self._rest else data
        at = 0
        while len(data) - at > _HEAD_BYTES:
            length = int.from_bytes(data[at : at + _HEAD_BYTES], "little")
            message_type = data[at + _HEAD_BYTES]
            if size_of_type(message_type) != length:
                raise CorruptError(
                    f"a message of type {message_type} came with {length} bytes; whoever sent it speaks something else"
                )
            end = at + _HEAD_BYTES + length
            if end > len(data):
                break
            # What is left is kept before the message is handed out, whatever becomes of it.
            self._rest = b""
            yield data[at + _HEAD_BYTES : end]
            at = end
        self._rest = data[at:]


class Listener(Protocol):
    """Whom a connection tells what comes."""

    def welcomed(self, account: int, last_client_order_id: int, next_report: int) -> None:
        """The login was answered. What it raises ends the connection."""

    def reported(self, data: bytes) -> None:
        """A report came. What it raises ends the connection."""

    def drained(self) -> None:
        """There is room for more commands."""

    def ended(self, error: TailraceError | None) -> None:
        """It is over, and why; None: it was closed from this side."""


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, listener: Listener, login: bytes, heartbeat: float) -> None:
        self._listener = listener
        self._login = login
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._frames = FrameReader()
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: TailraceError | None = None
        self._is_live = False
        self._is_paused = False
        self._is_over = False
        self._said = self._heard = self._loop.time()
        self.is_drained = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._is_over:
            self._transport.abort()
            return
        self._heard = self._loop.time()
        self.send(frame_of(self._login))
        self._look()

    def send(self, frame: bytes) -> None:
        """Sends a frame, unless it is over."""
        if not self._is_over and not self._transport.is_closing():
            self._said = self._loop.time()
            self._transport.write(frame)

    def _look(self) -> None:
        """Says that this side is there, and finds out whether the other one is."""
        now = self._loop.time()
        patience = self._heartbeat * _SILENT if self._is_live else _WELCOME_SECONDS
        if self._is_paused:
            self._heard = now
        elif now - self._heard > patience:
            self.end(TimedOutError(f"the gateway was silent for {patience} s"))
            return
        if self._is_live and now - self._said > self._heartbeat * (1 - 1 / _LOOKS):
            self.send(frame_of(encode("Heartbeat")))
        self._timer = self._loop.call_later(self._heartbeat / _LOOKS, self._look)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            for message in self._frames.take(data):
                self._take(message)
                if self._is_over:
                    return
        except TailraceError as error:
            self.end(error)

    def _take(self, message: bytes) -> None:
        if not self._is_live:
            reason, account, last_client_order_id, next_report, _ = _REPLY.unpack(message)
            if reason:
                raise refusal("the gateway refused the login", reason)
            self._is_live = True
            self._listener.welcomed(account, last_client_order_id, next_report)
        elif message[0] == _REPORT_TYPE:
            self._listener.reported(message)
        elif message[0] == _LOGOUT.type:
            _LOGOUT.unpack(message)
            raise GoneError("the gateway has ended the session: the user has logged in elsewhere")
        else:
            _HEARTBEAT.unpack(message)

    def pause(self) -> None:
        """Stops reading, until `resume`."""
        if not self._is_paused and not self._is_over:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Goes on reading."""
        if self._is_paused and not self._is_over:
            self._is_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self.is_drained = False

    def resume_writing(self) -> None:
        self.is_drained = True
        self._listener.drained()

    def connection_lost(self, cause: Exception | None) -> None:
        if self._error is None and not self._is_over:
            self._error = IoError(f"the gateway has closed the connection{f': {cause}' if cause else ''}")
            self._error.__cause__ = cause
        self._finish()

    def end(self, error: TailraceError | None) -> None:
        """Ends it at once."""
        if self._is_over:
            return
        self._error = error
        self._finish()
        if self._transport is not None:
            self._transport.abort()

    def log_out(self) -> None:
        """Ends it in good order: the gateway closes it when it has read everything."""
        if self._is_live:
            self.send(frame_of(encode("Logout")))
            self._transport.write_eof()

    def _finish(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self._listener.ended(self._error)
