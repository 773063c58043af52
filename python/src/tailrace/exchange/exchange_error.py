"""Exchange error: what the exchange itself refuses, with its reason beside the code."""

from __future__ import annotations

from typing import Final

from .._generated.errors import (
    ArgumentError,
    BusyError,
    PermissionDeniedError,
    TailraceError,
    UnsupportedError,
    VersionError,
)
from ..wire import REASON_TEXTS, REASONS


class ExchangeError(TailraceError):
    """The exchange refused a session; `reason` is why, by its own word. Each is an error of its code, too."""

    reason: str


class _LoginError(ExchangeError, PermissionDeniedError):
    code = PermissionDeniedError.code


class _LoginVersionError(ExchangeError, VersionError):
    code = VersionError.code


class _UnavailableError(ExchangeError, BusyError):
    code = BusyError.code


class _MalformedError(ExchangeError, ArgumentError):
    code = ArgumentError.code


class _RefusedError(ExchangeError, UnsupportedError):
    code = UnsupportedError.code


_CLASSES: Final[dict[str, type[ExchangeError]]] = {
    "LOGIN": _LoginError,
    "LOGIN_VERSION": _LoginVersionError,
    "UNAVAILABLE": _UnavailableError,
    "MALFORMED": _MalformedError,
}
_NAMES: Final = {number: name for name, number in REASONS.items()}


def reason_of(number: int) -> str:
    """The name of a reason; the number itself, when it is of a later version."""
    return _NAMES.get(number, str(number))


def refusal(what: str, number: int) -> ExchangeError:
    """The error for a reason."""
    reason = reason_of(number)
    error = _CLASSES.get(reason, _RefusedError)(f"{what}: {REASON_TEXTS.get(reason, f'reason {reason}')}")
    error.reason = reason
    return error
