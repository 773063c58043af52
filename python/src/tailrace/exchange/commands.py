"""Commands: orders in words, and in the bytes of the wire."""

from __future__ import annotations

from typing import Any, Final, Literal

from .._generated.errors import ArgumentError
from ..arguments import chosen
from ..wire import (
    FLAG_POST_ONLY,
    FLAG_STP_BOTH,
    FLAG_STP_DECREMENT,
    FLAG_STP_NEWEST,
    FLAG_STP_OLDEST,
    ORDER_FOK,
    ORDER_GTC,
    ORDER_IOC,
    ORDER_LIMIT,
    ORDER_MARKET,
    SIDE_BOTH,
    SIDE_BUY,
    SIDE_SELL,
)
from .codec import Codec

Side = Literal["buy", "sell"]
# How long an order lasts: until it is cancelled; at once or not; wholly at once or not at all.
Lasting = Literal["gtc", "ioc", "fok"]
# What happens when an order meets one of its own account.
SelfTrade = Literal["none", "newest", "oldest", "both", "decrement"]

_NEW_ORDER: Final = Codec("NewOrder")
_CANCEL: Final = Codec("CancelOrder")
_REPLACE: Final = Codec("Replace")
_MASS_CANCEL: Final = Codec("MassCancel")
_SIDES: Final = {"buy": SIDE_BUY, "sell": SIDE_SELL}
_SIDES_OR_BOTH: Final[dict[Any, int]] = {None: SIDE_BOTH, **_SIDES}
_LASTING: Final = {"gtc": ORDER_GTC, "ioc": ORDER_IOC, "fok": ORDER_FOK}
_SELF_TRADE: Final = {
    "none": 0,
    "newest": FLAG_STP_NEWEST,
    "oldest": FLAG_STP_OLDEST,
    "both": FLAG_STP_BOTH,
    "decrement": FLAG_STP_DECREMENT,
}
_LONG_MAX: Final = 2**64 - 1


def _whole(number: Any, what: str, least: int, most: int) -> int:
    if not isinstance(number, int) or not least <= number <= most:
        raise ArgumentError(f"{what} is {number!r}; give a whole number from {least} to {most}")
    return number


def whole_id(number: Any, what: str = "client_order_id") -> int:
    """An id, or a number of a report."""
    return _whole(number, what, 0, _LONG_MAX)


def _price(number: Any) -> int:
    return _whole(number, "price", -(2**63), 2**63 - 1)


def _quantity(number: Any) -> int:
    return _whole(number, "quantity", 0, _LONG_MAX)


def _flags(post_only: bool, self_trade: SelfTrade) -> int:
    return (FLAG_POST_ONLY if post_only else 0) | chosen(_SELF_TRADE, self_trade, "self_trade")


def encode_new_order(
    account: int,
    client_order_id: int,
    side: Side,
    price: int | None,
    quantity: int,
    lasting: Lasting,
    post_only: bool,
    self_trade: SelfTrade,
) -> bytes:
    """The bytes of a new order; without a price, a market order."""
    order_type = (ORDER_MARKET if price is None else ORDER_LIMIT) | chosen(_LASTING, lasting, "lasting")
    ticks = 0 if price is None else _price(price)
    flags = _flags(post_only, self_trade)
    number = chosen(_SIDES, side, "side")
    return _NEW_ORDER.pack(number, order_type, flags, account, client_order_id, ticks, _quantity(quantity))


def encode_cancel(account: int, client_order_id: int) -> bytes:
    """The bytes of a cancel."""
    return _CANCEL.pack(0, account, client_order_id)


def encode_replace(
    account: int,
    client_order_id: int,
    new_client_order_id: int,
    price: int,
    quantity: int,
    post_only: bool,
    self_trade: SelfTrade,
) -> bytes:
    """The bytes of a replace; `quantity` is the new total."""
    flags = _flags(post_only, self_trade)
    ids = whole_id(client_order_id), new_client_order_id
    return _REPLACE.pack(flags, account, *ids, _price(price), _quantity(quantity))


def encode_mass_cancel(account: int, client_order_id: int, side: Side | None) -> bytes:
    """The bytes of a mass cancel."""
    return _MASS_CANCEL.pack(chosen(_SIDES_OR_BOTH, side, "side"), account, client_order_id)
