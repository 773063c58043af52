"""Snapshot: fetches one from its service over TCP, and believes nothing of it that its checksum does not cover."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from .._generated.errors import CorruptError, IoError
from ..wire import MESSAGES, SNAPSHOT_HEAD, SNAPSHOT_REQUEST, encode
from .address import Address
from .codec import Codec
from .market_batch import Snapshot
from .soon import soon

_HEAD: Final = Codec("SnapshotHead")
_ORDER_BYTES: Final = MESSAGES["SnapshotOrder"].size
_CHECKSUM_BYTES: Final = 4
# More orders than any book has room for.
_COUNT_MAX: Final = 1 << 27
# Bytes that are waited for at once.
_PIECE: Final = 1 << 20


async def fetch_snapshot(address: Address, timeout: float) -> Snapshot:
    """All resting orders as the service has them.

    Raises IoError when it cannot be reached or ends too soon, TimedOutError after `timeout` seconds of silence,
    CorruptError when its bytes are wrong.
    """
    try:
        return await _fetch(address, timeout)
    except asyncio.IncompleteReadError as cause:
        raise IoError(f"the snapshot service at {address} ended in the middle of a snapshot; ask it again") from cause
    except OSError as cause:
        raise IoError(f"the snapshot service at {address}: {cause}") from cause


async def _fetch(address: Address, timeout: float) -> Snapshot:
    silent = f"the snapshot service at {address} was silent for {timeout} s"
    opening = asyncio.open_connection(*address)
    reader, writer = await soon(opening, timeout, silent, lambda opened: opened[1].transport.abort())
    try:
        writer.write(encode("SnapshotRequest", kind=SNAPSHOT_REQUEST))
        head = await soon(reader.readexactly(_HEAD.size), timeout, silent)
        kind, session, sequence, count, state_hash = _HEAD.unpack(head)
        if kind != SNAPSHOT_HEAD or count > _COUNT_MAX:
            raise CorruptError(
                f"{address} sent a snapshot of kind {kind} with {count} orders; find out who listens there"
            )
        orders = bytearray()
        while len(orders) < count * _ORDER_BYTES:
            piece = min(_PIECE, count * _ORDER_BYTES - len(orders))
            orders += await soon(reader.readexactly(piece), timeout, silent)
        told = int.from_bytes(await soon(reader.readexactly(_CHECKSUM_BYTES), timeout, silent), "little")
    finally:
        writer.transport.abort()
    seen = zlib.crc32(orders, zlib.crc32(head))
    if seen != told:
        raise CorruptError(f"a snapshot of {address} says that its checksum is {told}, and it is {seen}")
    return Snapshot(session.decode("latin-1"), sequence, state_hash, bytes(orders))
