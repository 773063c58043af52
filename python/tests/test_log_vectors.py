"""Vectors of the log: the golden bytes of `test/vectors/log.json`, read and built again from the printed layout."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import plain_log
import plain_messages
from plain import payload

from tailrace._generated import layout
from tailrace._generated.layout import Field

FILE = Path(__file__).resolve().parents[2] / "test" / "vectors" / "log.json"
VECTOR: dict[str, Any] = json.loads(FILE.read_text("utf-8"))


def dense(case: dict[str, Any]) -> bytes:
    """Lays the runs over zeros."""
    data = bytearray(case["total_bytes"])
    for offset, text in case["bytes"]:
        part = bytes.fromhex(text)
        data[offset : offset + len(part)] = part
    return bytes(data)


def structure(shape: Any, values: dict[str, Any]) -> bytearray:
    """A structure of the printed layout with these fields, and zeros elsewhere."""
    data = bytearray(shape.SIZE)
    for name, value in values.items():
        field: Field = getattr(shape, name)
        if isinstance(value, bytes):
            part = value
        elif field.kind == "bytes":
            part = bytes.fromhex(value)
        else:
            part = int(value).to_bytes(field.size, "little")
        data[field.offset : field.offset + len(part)] = part
    return data


def stored(record: dict[str, Any]) -> bytes:
    """The stored bytes of a record."""
    start = record["start"]
    return bytes.fromhex(record["prefix"]) + payload(start + record["count"])[start:]


def frame(values: dict[str, Any], content: bytes) -> bytes:
    """A frame, its checksum and its zeros."""
    header = structure(layout.FrameHeader, values | {"length": len(content), "version": layout.FRAME_VERSION})
    data = bytes(header) + content
    data += zlib.crc32(data).to_bytes(4, "little")
    return data.ljust(-(-len(data) // 8) * 8, b"\0")


def record_frame(record: dict[str, Any]) -> bytes:
    """The frame of a record."""
    names = {"message_type": "type", "sender_pid": "pid", "sender_runtime": "runtime"}
    same = ("sequence", "flags", "timestamp_ns")
    values = {name: record[name] for name in same} | {name: record[key] for name, key in names.items()}
    return frame(values, stored(record))


def batch_bytes(batch: dict[str, Any]) -> bytes:
    """The records of a batch, and its COMMIT."""
    own = ("sequence", "timestamp_ns", "records")
    commit = structure(layout.CommitPayload, {name: value for name, value in batch.items() if name not in own})
    values = {"sequence": batch["sequence"], "timestamp_ns": batch["timestamp_ns"], "flags": layout.FRAME_COMMIT}
    return b"".join(map(record_frame, batch["records"])) + frame(values, bytes(commit))


def sealed(shape: Any, values: dict[str, Any], after: bytes = b"") -> bytes:
    """The structure with its checksum, which covers the bytes after it, too."""
    data = structure(shape, values) + after
    at = shape.crc.offset
    data[at : at + 4] = zlib.crc32(data).to_bytes(4, "little")
    return bytes(data)


def segment_bytes(segment: dict[str, Any]) -> bytes:
    """A segment's file."""
    values = {name: segment[name] for name in ("first_sequence", "created_ns", "log_id")}
    values |= {"magic": layout.SEGMENT_MAGIC, "version": layout.LOG_VERSION}
    batches = b"".join(map(batch_bytes, segment["batches"]))
    return (sealed(layout.SegmentHeader, values) + batches).ljust(segment["total_bytes"], b"\0")


def test_frames_are_written_and_read() -> None:
    for case in VECTOR["frames"]:
        expected = dense(case)
        assert record_frame(case) == expected, case
        sequence, length, flags, *_ = plain_log.FRAME.unpack_from(expected)
        assert (sequence, flags) == (int(case["sequence"]), case["flags"])
        end = layout.FRAME_HEADER_BYTES + length
        assert expected[layout.FRAME_HEADER_BYTES : end] == stored(case)
        assert zlib.crc32(expected[:end]) == int.from_bytes(expected[end : end + 4], "little") == case["crc32"]


def test_segments_are_frame_after_frame(tmp_path: Path) -> None:
    for segment in VECTOR["segments"]:
        expected = dense(segment)
        assert segment_bytes(segment) == expected, segment["name"]
        assert zlib.crc32(expected) == segment["crc32"]
        (tmp_path / segment["name"]).write_bytes(expected)
    read = list(plain_messages.messages(plain_log.records(tmp_path)))
    assert [[str(message.sequence), len(message.payload)] for message in read] == VECTOR["messages"]
    assert all(message.payload == payload(len(message.payload)) for message in read)


def test_indexes_are_entries() -> None:
    for index in VECTOR["indexes"]:
        built = b""
        for entry in index["entries"]:
            words = struct.pack("<QQQ", *(int(entry[name]) for name in ("sequence", "timestamp_max", "offset")))
            built += words + struct.pack("<II", zlib.crc32(words), 0)
        assert built == dense(index), index["name"]


def test_cursors_are_two_copies() -> None:
    cursors = VECTOR["cursors"]
    built = b""
    for copy in cursors["copies"]:
        entries = [structure(layout.CursorEntry, group | {"name": group["name"].encode()}) for group in copy["groups"]]
        values = {"magic": layout.CURSORS_MAGIC, "version": layout.LOG_VERSION, "generation": copy["generation"]}
        values |= {"log_id": cursors["log_id"], "count": len(entries)}
        built += sealed(layout.CursorsHeader, values, b"".join(entries)).ljust(layout.CURSORS_BYTES, b"\0")
    assert built == dense(cursors)
    assert zlib.crc32(built) == cursors["crc32"]
    newest = max(cursors["copies"], key=lambda copy: int(copy["generation"]))
    assert {group["name"]: group["sequence"] for group in newest["groups"]} == VECTOR["positions"]
