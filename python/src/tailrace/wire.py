"""Wire: the messages of a book as numpy structures and as bytes, by the table that all languages share.

Every message and record has a dtype of its exact size, :data:`DTYPES`. :data:`COMMAND` is a stamped command, 56 bytes
each; :func:`commands` makes an array of one kind, and arrays can be concatenated:

    orders = tailrace.wire.commands("NewOrder", 1_000, side=1, order_type=tailrace.wire.ORDER_LIMIT, price=prices)

`encode` refuses what has no place in a field, and `decode` refuses bytes that say nothing. What a readable message asks
for is judged by the book, which answers with an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ._generated.errors import ArgumentError, CorruptError
from ._generated.messages import *  # noqa: F403
from ._generated.messages import MESSAGES, Shape

if TYPE_CHECKING:
    from typing_extensions import Buffer

_NUMBERS: Final = {"u8": "u1", "u16": "<u2", "u32": "<u4", "u64": "<u8", "i64": "<i8"}
_TYPE: Final = "message_type"


class Decoded(NamedTuple):
    """A message that was read: its name, and its fields."""

    message: str
    fields: dict[str, Any]


def _dtype(shape: Shape, size: int) -> np.dtype[np.void]:
    names: list[str] = [] if shape.type is None else [_TYPE]
    formats: list[Any] = [] if shape.type is None else ["u1"]
    offsets = [0] * len(names)
    for name, field in shape.fields.items():
        names.append(name)
        formats.append(_NUMBERS.get(field.kind) or ("u1", (field.size,)))
        offsets.append(field.offset)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


# The structure of every message and record.
DTYPES: Final[Mapping[str, np.dtype[np.void]]] = {name: _dtype(shape, shape.size) for name, shape in MESSAGES.items()}
# The messages that a book takes.
COMMANDS: Final = ("NewOrder", "CancelOrder", "Replace", "MassCancel", "SetState", "SetLimits", "SetKilled")

_STAMPED: Final = MESSAGES["StampedCommand"]
_MESSAGE: Final = _STAMPED.fields["message"]
_NAMES: Final = {shape.type: name for name, shape in MESSAGES.items() if shape.type is not None}

# A command of a batch: its stamps, and one of the messages with zeros behind it; see `commands` and `messages`.
COMMAND: Final[np.dtype[np.void]] = np.dtype(
    [("sequence", "<u8"), ("timestamp_ns", "<u8"), ("message", f"V{_MESSAGE.size}")]
)
# What a book says.
EVENT: Final = DTYPES["Event"]
# One price of one side.
DEPTH_LEVEL: Final = DTYPES["DepthLevel"]


def _shape(name: str) -> Shape:
    try:
        return MESSAGES[name]
    except (KeyError, TypeError):
        raise ArgumentError(f"message is {name!r}; give the name of one: {', '.join(MESSAGES)}") from None


def _filled(record: Any, name: str, fields: Mapping[str, Any]) -> None:
    shape = _shape(name)
    if shape.type is not None:
        record[_TYPE] = shape.type
    for field, value in fields.items():
        place = shape.fields.get(field)
        if place is None or place.kind == "zeros":
            known = ", ".join(known for known, place in shape.fields.items() if place.kind != "zeros")
            raise ArgumentError(f"{name} has no field {field}; it has {known}")
        if place.kind == "bytes":
            record[field] = np.frombuffer(_padded(name, field, value, place.size), np.uint8)
            continue
        numbers = _whole(name, field, value, np.dtype(_NUMBERS[place.kind]))
        if numbers.ndim and numbers.shape != record.shape:
            raise ArgumentError(f"{field} of {name} has {numbers.size} numbers; give 1 or {record.size}")
        record[field] = numbers


def _padded(name: str, field: str, value: Any, size: int) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)) or len(value) > size:
        raise ArgumentError(f"{field} of {name} is {value!r}; give bytes, at most {size}")
    return bytes(value).ljust(size, b"\0")


def _whole(name: str, field: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """The number, or the array of them, if all of it has a place in the field."""
    limits = np.iinfo(dtype)
    array = np.asarray(value)
    is_whole = array.dtype.kind in "iub" or (array.dtype.kind == "O" and isinstance(value, int))
    if is_whole and array.size and limits.min <= int(array.min()) and int(array.max()) <= limits.max:
        return array.astype(dtype)
    if is_whole and not array.size:
        return array
    raise ArgumentError(f"{field} of {name} is {value!r}; give whole numbers from {limits.min} to {limits.max}")


def encode(message: str, /, **fields: Any) -> bytes:
    """The bytes of a message or a record; what is left out is zero."""
    _shape(message)
    record = np.zeros(1, DTYPES[message])
    _filled(record, message, fields)
    return record.tobytes()


def decode(data: Buffer) -> Decoded:
    """The message that bytes say. Raises CorruptError when they say nothing."""
    view = memoryview(data).cast("B")
    name = _NAMES.get(view[0]) if len(view) else None
    if name is None:
        seen = f"the type is {view[0]}, which no message has" if len(view) else "there are no bytes"
        raise CorruptError(f"these bytes are no message: {seen}")
    return Decoded(name, decode_as(name, view))


def decode_as(name: str, data: Buffer) -> dict[str, Any]:
    """The fields of a message or a record of this name. Raises CorruptError when the bytes are something else."""
    shape = _shape(name)
    view = memoryview(data).cast("B")
    if len(view) != shape.size:
        raise CorruptError(f"these bytes are no {name}: it has {shape.size} bytes, and these are {len(view)}")
    if shape.type is not None and view[0] != shape.type:
        raise CorruptError(f"these bytes are no {name}: its type is {shape.type}, and theirs is {view[0]}")
    record = np.frombuffer(view, DTYPES[name])[0]
    read: dict[str, Any] = {}
    for field, place in shape.fields.items():
        if place.kind == "zeros":
            if any(view[place.offset : place.offset + place.size]):
                raise CorruptError(f"these bytes are no {name}: byte {place.offset} and its neighbours are not zero")
        elif place.kind == "bytes":
            read[field] = record[field].tobytes()
        else:
            read[field] = int(record[field])
    return read


def size_of_type(message_type: int) -> int | None:
    """Bytes of a message of this type; None for a type that nobody knows."""
    name = _NAMES.get(message_type)
    return None if name is None else MESSAGES[name].size


def commands(
    message: str, count: int, /, *, sequence: npt.ArrayLike = 0, timestamp_ns: npt.ArrayLike = 0, **fields: Any
) -> npt.NDArray[np.void]:
    """So many commands of one kind, as `Book.apply` takes them; each field is one number, or one for each command."""
    if not isinstance(count, int) or count < 0:
        raise ArgumentError(f"count is {count!r}; give a number, 0 or more")
    made = np.zeros(count, COMMAND)
    made["sequence"] = _whole("a command", "sequence", sequence, np.dtype("<u8"))
    made["timestamp_ns"] = _whole("a command", "timestamp_ns", timestamp_ns, np.dtype("<u8"))
    _filled(messages(made, message), message, fields)
    return made


def messages(stamped: npt.NDArray[np.void], message: str) -> npt.NDArray[np.void]:
    """A view of the messages in an array of `COMMAND`, as if all were of one kind."""
    if message not in COMMANDS:
        raise ArgumentError(f"message is {message!r}; a book takes {', '.join(COMMANDS)}")
    return stamped["message"].view(_dtype(MESSAGES[message], _MESSAGE.size))
