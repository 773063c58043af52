"""Arguments: looked at before the library sees them, so that a wrong one is told in words of this language."""

from __future__ import annotations

import os
from typing import Any

from ._generated.errors import ArgumentError

Path = str | os.PathLike[str]


def encoded_path(path: Path) -> bytes:
    """The name of a file or a directory."""
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(f"path is {path!r}; give the name of a file, such as '/dev/shm/prices'")
    return encoded(os.fspath(path), "path")


def encoded(text: str, what: str) -> bytes:
    """A string."""
    if not isinstance(text, str):
        raise ArgumentError(f"{what} is {text!r}; give a string")
    if "\0" in text:
        raise ArgumentError(f"{what} is {text!r}; it must not contain a NUL")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"{what} is {text!r}; it must be UTF-8") from None


def count(number: int, what: str, least: int = 1) -> int:
    """A whole number that is not too small."""
    if not isinstance(number, int) or number < least or number >= 2**63:
        raise ArgumentError(f"{what} is {number!r}; give a number, {least} or more")
    return number


def chosen(choices: dict[Any, int], choice: object, what: str) -> int:
    """The number of one of several words."""
    try:
        return choices[choice]
    except (KeyError, TypeError):
        known = " or ".join(repr(known) for known in choices if known is not None)
        raise ArgumentError(f"{what} is {choice!r}; give {known}") from None
