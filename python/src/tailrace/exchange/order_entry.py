"""Order entry: commands to the exchange and reports from it, in words. What holds it together is a :class:`Session`."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Final

from .._generated.errors import ArgumentError, TailraceError
from ..arguments import count
from ..wire import LOGIN_CANCEL_ON_DISCONNECT, LOGIN_VERSION
from .address import Address
from .commands import (
    Lasting,
    SelfTrade,
    Side,
    encode_cancel,
    encode_mass_cancel,
    encode_new_order,
    encode_replace,
    whole_id,
)
from .execution_report import ExecutionReport
from .opening import Opening
from .session import OrderEntryCounters, Session, SessionOptions

if TYPE_CHECKING:
    from typing_extensions import Self

_USER_BYTES: Final = 16
_TOKEN_BYTES: Final = 32
_HEARTBEAT_MIN_MS: Final = 100
_HEARTBEAT_MAX_MS: Final = 60_000


def _padded(value: str | bytes, most: int, what: str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    if isinstance(data, bytes) and 0 < len(data) <= most:
        return data
    raise ArgumentError(f"{what} must have 1 to {most} bytes")


class OrderEntry:
    """Commands to the exchange; the reports from it, for one `async for` loop at a time."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def connect(
        cls,
        *,
        gateway: str,
        user: str,
        token: str | bytes,
        next_report: int = 0,
        cancel_on_disconnect: bool = False,
        heartbeat_ms: int = 1_000,
        pause_ms: int = 50,
        pause_max_ms: int = 5_000,
        unanswered_max: int = 65_536,
        backlog: int = 65_536,
        refused_max: int = 10,
    ) -> Opening[OrderEntry]:
        """Connects and logs in, for `await` or `async with`.

        `gateway`: `host:port`. `user` has at most 16 bytes, `token` at most 32. `next_report`: the first report wanted,
        which may be an old one: 1 for all there are, 0 for new ones only. `cancel_on_disconnect`: take all orders of
        the account away when the connection ends, however it ends. Each side says every `heartbeat_ms` (100 to 60,000)
        that it is there; silence for three of them is the end. The pause before connecting again begins with `pause_ms`
        and is doubled up to `pause_max_ms`. `unanswered_max` commands may be without an answer, `backlog` reports may
        wait for the reader. `refused_max`: connections in a row that may bring nothing but what cannot be; the last of
        them is the end.

        Raises ArgumentError; IoError or TimedOutError when there is no gateway; ExchangeError when it refuses:
        PermissionDeniedError (user or token are wrong), VersionError, BusyError (it takes no more sessions now).
        """
        if not isinstance(heartbeat_ms, int) or not _HEARTBEAT_MIN_MS <= heartbeat_ms <= _HEARTBEAT_MAX_MS:
            raise ArgumentError(
                f"heartbeat_ms is {heartbeat_ms!r}; give a number from {_HEARTBEAT_MIN_MS} to {_HEARTBEAT_MAX_MS}"
            )
        login = {
            "version": LOGIN_VERSION,
            "flags": LOGIN_CANCEL_ON_DISCONNECT if cancel_on_disconnect else 0,
            "heartbeat_ms": heartbeat_ms,
            "user": _padded(user, _USER_BYTES, "user"),
            "token": _padded(token, _TOKEN_BYTES, "token"),
        }
        options = SessionOptions(
            Address.of(gateway, "gateway"),
            login,
            heartbeat_ms / 1_000,
            count(pause_ms, "pause_ms") / 1_000,
            count(pause_max_ms, "pause_max_ms") / 1_000,
            count(unanswered_max, "unanswered_max"),
            count(backlog, "backlog"),
            count(refused_max, "refused_max"),
        )
        return Opening(cls._open(options, whole_id(next_report, "next_report")))

    @classmethod
    async def _open(cls, options: SessionOptions, next_report: int) -> OrderEntry:
        return cls(await Session.open(options, next_report))

    async def room(self) -> None:
        """Waits until commands may be sent: there is a connection that takes them, and fewer than `unanswered_max` are
        without an answer. Raises ClosedError when that will never be."""
        await self._session.room()

    def new_order(
        self,
        *,
        side: Side,
        quantity: int,
        price: int | None = None,
        lasting: Lasting = "gtc",
        post_only: bool = False,
        self_trade: SelfTrade = "none",
        client_order_id: int | None = None,
    ) -> int:
        """Sends a new order and gives its id, the next one unless given; the answer comes with the reports.

        Without a `price`, in ticks, it is a market order. While there is no connection it waits for one. Raises
        ArgumentError, ClosedError, and NoSpaceError when too many commands are without an answer.
        """
        number = self._session.next_id(client_order_id)
        return self._session.send(
            number,
            encode_new_order(self._session.account, number, side, price, quantity, lasting, post_only, self_trade),
        )

    def cancel(self, client_order_id: int) -> None:
        """Takes a live order away. Raises as `new_order` does."""
        self._session.send(
            whole_id(client_order_id), encode_cancel(self._session.account, client_order_id), is_cancel=True
        )

    def replace(
        self,
        client_order_id: int,
        *,
        price: int,
        quantity: int,
        post_only: bool = False,
        self_trade: SelfTrade = "none",
        new_client_order_id: int | None = None,
    ) -> int:
        """Gives a live order another total, what was executed included, and price, and an id, which it returns. Raises
        as `new_order` does."""
        number = self._session.next_id(new_client_order_id)
        return self._session.send(
            number,
            encode_replace(self._session.account, client_order_id, number, price, quantity, post_only, self_trade),
        )

    def mass_cancel(self, *, side: Side | None = None, client_order_id: int | None = None) -> int:
        """Takes all live orders away, of one side only if given, and gives the id that the report will have. Raises as
        `new_order` does."""
        number = self._session.next_id(client_order_id)
        return self._session.send(number, encode_mass_cancel(self._session.account, number, side))

    @property
    def account(self) -> int:
        """The account of the session."""
        return self._session.account

    @property
    def last_client_order_id(self) -> int:
        """The highest id that was used; later ones must be above it."""
        return self._session.last_client_order_id

    @property
    def next_report(self) -> int:
        """The report that comes next. Who begins again gives the one after the last that he has kept."""
        return self._session.next_report

    @property
    def unanswered(self) -> int:
        """Commands that are without an answer."""
        return len(self._session.unanswered)

    @property
    def is_connected(self) -> bool:
        """Whether there is a session now."""
        return self._session.is_live

    @property
    def trouble(self) -> TailraceError | None:
        """Why there is no session now; None while there is one."""
        return self._session.trouble

    @property
    def counters(self) -> OrderEntryCounters:
        """What has happened so far."""
        return replace(self._session.counters)

    async def close(self) -> None:
        """Logs out, and ends the loop after what has come. A second time is nothing."""
        await self._session.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ExecutionReport:
        """The next report. The loop ends when this is closed, and raises what has ended it: ExchangeError, GoneError
        when the user has logged in elsewhere or reports are not kept any more, CorruptError when the exchange has begun
        anew or only what cannot be is had from it."""
        return await self._session.inbox.next()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "connected" if self._session.is_live else "not connected"
        return f"<OrderEntry of account {self._session.account}, {state}, {self.unanswered} unanswered>"
