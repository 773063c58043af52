"""Places: where regions are. A region is known by its first eight bytes, and is opened for looking only."""

from __future__ import annotations

import os

from .._generated.errors import ArgumentError, ForeignError, NotFoundError, TailraceError
from .._generated.layout import MAGIC
from ..region import Region

SHARED_MEMORY = "/dev/shm"


def is_region(path: str) -> bool:
    """Whether a file begins as regions do."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(file, 8) == MAGIC.to_bytes(8, "little")
    except OSError:
        return False
    finally:
        os.close(file)


def regions_in(folder: str) -> list[str]:
    """The regions in a folder."""
    with os.scandir(folder) as entries:
        files = [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
    return sorted(path for path in files if is_region(path))


def path_of(name: str) -> str:
    """A region as it was named: a path, or the name of one in shared memory."""
    return name if "/" in name or os.path.exists(name) else os.path.join(SHARED_MEMORY, name)


def open_to_look(path: str) -> Region:
    """Opens a region, whoever made it."""
    try:
        return Region.open(path, read_only=True)
    except ForeignError:
        if not is_region(path):
            raise
        return Region.open(path, read_only=True, recovery=False)


def region_with(channel: str) -> str:
    """The only region in shared memory that has this channel."""
    found = [path for path in regions_in(SHARED_MEMORY) if has_channel(path, channel)]
    if not found:
        raise NotFoundError(f'no region in {SHARED_MEMORY} has a channel "{channel}"; name the region too')
    if len(found) > 1:
        raise ArgumentError(f'"{channel}" is a channel of {" and ".join(found)}; name the region too')
    return found[0]


def has_channel(path: str, channel: str) -> bool:
    try:
        with open_to_look(path) as region:
            return any(info["name"] == channel for info in region.channels())
    except TailraceError:
        return False
