"""A reader of logs written from docs/reference/log-format.md alone; it knows nothing of the package."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FRAME = struct.Struct("<QIBBHQII")


class Record(NamedTuple):
    """One record, as it is stored."""

    sequence: int
    flags: int
    runtime: int
    timestamp_ns: int
    message_type: int
    pid: int
    payload: bytes


def header(path: Path) -> tuple[int, bytes] | None:
    """First sequence and log id of a segment; none when its header is not one."""
    data = path.read_bytes()[:64]
    if len(data) < 64:
        return None
    magic, version, crc, first, _, its_id, zero = struct.unpack("<8sIIQQ16s16s", data)
    is_valid = (magic, version, zero) == (b"TAILRLOG", 1, bytes(16))
    return (first, its_id) if is_valid and zlib.crc32(data[:12] + bytes(4) + data[16:]) == crc else None


def segments(directory: Path) -> Iterator[Path]:
    """Those with a name, in order, and every spare."""
    yield from sorted(directory.glob("*.log"))
    yield from directory.glob("spare*.tmp")


def records(directory: Path) -> Iterator[Record]:
    """Every record of a log whose writer has gone."""
    log_id: bytes | None = None
    expected = 0
    for segment in segments(directory):
        said = header(segment)
        if segment.suffix == ".tmp" and said != (expected, log_id):
            continue
        assert said is not None, segment
        first, its_id = said
        assert segment.suffix == ".tmp" or segment.stem == f"{first:020}", segment
        assert (log_id or its_id) == its_id, segment
        data, log_id, expected, at = segment.read_bytes(), its_id, first, 64
        batch: list[Record] = []
        while data[at : at + 32].strip(b"\0") and at + 32 <= len(data):
            number, length, flags, version, runtime, time, kind, pid = FRAME.unpack_from(data, at)
            content, rest = data[at : at + 32 + length], data[at + 32 + length :][:4]
            end = at + ((36 + length + 7) & ~7)
            assert (version, zlib.crc32(content)) == (1, int.from_bytes(rest, "little")), at
            assert not data[at + 36 + length : end].strip(b"\0"), at
            if flags & 1:
                start, _synced, commit_id = struct.unpack_from("<QQ16s", content, 32)
                assert (commit_id, number) == (log_id, expected - 1), at
                assert start == (batch[0].sequence if batch else expected), at
                yield from batch
                batch = []
            else:
                assert number == expected, at
                batch.append(Record(number, flags, runtime, time, kind, pid, content[32:]))
                expected += 1
            at = end
