"""Start: where a reader of a channel or a log begins."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final, Literal

from ._generated import signatures
from ._generated.errors import ArgumentError

# "latest": what is written from now on. "oldest": the oldest message that is still there. A number: this log sequence,
# or the first message after it. A time: the first message that was written then or later; without a time zone it is
# local. The last two are for logs and recorded channels.
From = Literal["latest", "oldest"] | int | datetime

_WORDS: Final = {
    None: signatures.FROM_DEFAULT,
    "latest": signatures.FROM_LATEST,
    "oldest": signatures.FROM_OLDEST,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)
_END: Final = 2**64


def encode_start(from_: From | None) -> tuple[int, int]:
    """A start as the library wants it: which kind, and its number."""
    if isinstance(from_, datetime):
        return signatures.FROM_TIME, encode_time(from_, "from_")
    if isinstance(from_, int) and not isinstance(from_, bool) and 0 < from_ < _END:
        return signatures.FROM_SEQUENCE, from_
    try:
        return _WORDS[from_], 0  # type: ignore[index]
    except (KeyError, TypeError):
        raise ArgumentError(
            f"from_ is {from_!r}; give 'latest', 'oldest', a sequence (a number from 1 on) or a datetime"
        ) from None


def encode_time(time: datetime | int, what: str) -> int:
    """A time as nanoseconds since 1970."""
    if isinstance(time, datetime):
        number = (time.astimezone(timezone.utc) - _EPOCH) // _MICROSECOND * 1000
    elif isinstance(time, int) and not isinstance(time, bool):
        number = time
    else:
        raise ArgumentError(f"{what} is {time!r}; give a datetime, or nanoseconds since 1970")
    if not 0 <= number < _END:
        raise ArgumentError(f"{what} is {time!r}; it must be from 1970 on, and before 2554")
    return number
