"""Paper: what a command prints on. A table for people on a terminal, one line of tab-separated values for each item
when somebody else reads, and one JSON object a line when that was asked for.

Colours say nothing that words do not say, and NO_COLOR turns them off.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TextIO

Item = dict[str, Any]

_COLORS: Final = {"bold": 1, "dim": 2, "red": 31, "yellow": 33}


class Column(NamedTuple):
    """One column of a table: what a program reads, and what people read instead."""

    title: str
    value: Callable[[Item], Any]
    text: Callable[[Item], str] | None = None
    color: Callable[[Item], str | None] | None = None


class Paper:
    """Where a command prints."""

    def __init__(self, stream: TextIO, is_json: bool) -> None:
        self.is_json = is_json
        self.is_terminal = stream.isatty() and not is_json
        self._is_colored = self.is_terminal and not os.environ.get("NO_COLOR")
        self._stream = stream

    def line(self, text: str = "") -> None:
        """Prints a line as it is, at once."""
        print(text, file=self._stream, flush=True)

    def remark(self, text: str) -> None:
        """Prints a line that only people read."""
        if self.is_terminal:
            self.line(text)

    def json(self, item: Item) -> None:
        """Prints one JSON object."""
        self.line(json.dumps(item, ensure_ascii=False, separators=(",", ":")))

    def paint(self, text: str, color: str | None) -> str:
        """Colours a text, where there are colours."""
        return f"\033[{_COLORS[color]}m{text}\033[0m" if color and self._is_colored else text

    def table(self, columns: Sequence[Column], items: Sequence[Item], table: str | None = None) -> None:
        """Prints items, each in the form that its reader wants; `table` tells the items of several tables apart."""
        if self.is_json:
            for item in items:
                self.json({"table": table, **item} if table else item)
        elif self.is_terminal:
            self._aligned(columns, items)
        else:
            for item in items:
                values = [plain(column.value(item)) for column in columns]
                self.line("\t".join([table, *values] if table else values))

    def further(self, columns: Sequence[Column], items: Sequence[Item], table: str) -> None:
        """Prints a table below another one, if there is anything in it."""
        if items:
            self.remark("")
            self.table(columns, items, table)

    def _aligned(self, columns: Sequence[Column], items: Sequence[Item]) -> None:
        rows = [
            [column.text(item) if column.text else plain(column.value(item)) for column in columns] for item in items
        ]
        pads = []
        for index, column in enumerate(columns):
            width = max([len(column.title), *(len(row[index]) for row in rows)])
            is_number = any(type(column.value(item)) in (int, float) for item in items)
            pads.append(f"{'>' if is_number else '<'}{width}")
        titles = "  ".join(format(column.title, pad) for column, pad in zip(columns, pads, strict=True))
        self.line(self.paint(titles.rstrip(), "dim"))
        for item, row in zip(items, rows, strict=True):
            cells = [
                self.paint(format(text, pad), column.color(item) if column.color and text else None)
                for column, text, pad in zip(columns, row, pads, strict=True)
            ]
            self.line("  ".join(cells).rstrip())


def plain(value: Any) -> str:
    """A value as a program reads it, on one line."""
    if value is None:
        return "-"
    # Labels and names come from shared memory: what they hold must not end a line or a field, or move a cursor.
    return printable(str(value).lower() if isinstance(value, bool) else str(value))


def printable(text: str) -> str:
    """A text without control characters."""
    return "".join("\ufffd" if unicodedata.category(character) == "Cc" else character for character in text)


def short(count: float) -> str:
    """12345678 as 12.3 M."""
    unit = 0
    while count >= 1000 and unit < 4:
        count /= 1000
        unit += 1
    return f"{count:.0f}{_UNITS[unit]}" if unit == 0 or count >= 100 else f"{count:.1f}{_UNITS[unit]}"


_UNITS: Final = ("", " k", " M", " G", " T")


def size(length: float) -> str:
    """Bytes, in powers of 1,024."""
    unit = 0
    while length >= 1024 and unit < 4:
        length /= 1024
        unit += 1
    number = f"{length:.0f}" if length >= 100 or length == int(length) else f"{length:.1f}"
    return f"{number} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def age(nanoseconds: int | None) -> str:
    """A time, in a unit that fits."""
    if nanoseconds is None:
        return "-"
    for unit, length, digits in (("h", 3.6e12, 0), ("min", 6e10, 0), ("s", 1e9, 1), ("ms", 1e6, 0)):
        if nanoseconds >= length:
            return f"{nanoseconds / length:.{digits}f} {unit}"
    return f"{nanoseconds / 1e3:.0f} us"


def milliseconds(nanoseconds: int | None) -> float | None:
    """The same for programs."""
    return None if nanoseconds is None else nanoseconds / 1e6
