"""WebAssembly: the committed modules give, in wasmtime, the bytes of the vectors and the states of the book."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from in_wasm import Module
from plain import payload

from tailrace import wire
from tailrace._generated import layout
from tailrace._generated.errors import NUMBERS

FOLDER = Path(__file__).resolve().parents[2] / "test" / "vectors"
HEAD = struct.Struct("<QQIIHHI")
CONFIG = struct.Struct("<QQ16s4I")
START = 0xCBF29CE484222325
MASK = 2**64 - 1


def read(name: str) -> dict[str, Any]:
    """A file of vectors."""
    data: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return data


def stored(record: dict[str, Any]) -> bytes:
    """The stored bytes of a record."""
    start = record["start"]
    return bytes.fromhex(record["prefix"]) + payload(start + record["count"])[start:]


def test_the_modules_have_the_layout_of_the_vectors() -> None:
    newest = read("hash")["layouts"][-1]
    for name in ("rings", "books"):
        assert Module(name).call("layout_hash_of_module") & 0xFFFF_FFFF == newest["crc32"] == layout.LAYOUT_HASH


def test_checksums_are_those_of_zlib() -> None:
    rings = Module("rings")
    for length in (0, 1, 7, 8, 9, 1_024, 65_537):
        data = payload(length)
        rings.call("checksum", rings.put(data), length)
        assert rings.number == zlib.crc32(data)


def test_frames_have_the_bytes_of_the_vector_both_ways() -> None:
    rings = Module("rings")
    vectors = read("log")["frames"]
    assert len(vectors) > 10
    for record in vectors:
        content, total = stored(record), record["total_bytes"]
        said = (int(record["sequence"]), int(record["timestamp_ns"]), record["type"], record["pid"])
        head = HEAD.pack(*said, record["runtime"], record["flags"], len(content))
        frame = bytearray(total)
        for offset, text in record["bytes"]:
            frame[offset : offset + len(text) // 2] = bytes.fromhex(text)
        into = rings.put(b"", total)
        assert rings.call("frame_encode", rings.put(head), rings.put(content), into, total) == total
        assert rings.get(into, total) == frame
        seen = rings.put(b"", HEAD.size)
        assert rings.call("frame_check", into, total, seen) == 1
        assert (rings.get(seen, HEAD.size), rings.count) == (head, total)
        frame[layout.FrameHeader.timestamp_ns.offset] ^= 1
        assert rings.call("frame_check", rings.put(bytes(frame)), total, seen) == NUMBERS["ERR_CORRUPT"]
        if record["flags"] & layout.FRAME_COMPRESSED:
            (length,) = struct.unpack_from("<I", content)
            room = rings.put(b"", length)
            assert rings.call("payload_decompress", rings.put(content), len(content), room, length) == length
            assert rings.get(room, length) == payload(length)


def test_the_book_has_the_events_and_states_of_the_vector() -> None:
    books, vector = Module("books"), read("book")
    config = vector["config"]
    sizes = (config["slot_count"], config["account_count"], config["band_ticks"], 0)
    book = books.call("book_open", books.put(CONFIG.pack(0, 0, b"7" * 16, *sizes)), 0, 0)
    assert book > 0
    folded, events, room = START, 0, 4_096 * wire.EVENT.itemsize
    into = books.put(b"", room)
    for index, line in enumerate(vector["commands"], 1):
        command = struct.pack("<QQ", index, index * 1_000) + bytes.fromhex(line).ljust(40, b"\0")
        at = books.put(command)
        count = books.call("book_apply", book, at, len(command), into, room)
        books.call("release", at, len(command))
        assert (books.number, count >= 0) == (1, True)
        for word in np.frombuffer(books.get(into, count * wire.EVENT.itemsize), "<u8").tolist():
            folded = (folded ^ word) * 0x9E3779B97F4A7C15 & MASK
            folded ^= folded >> 32
        events += count
        after = next((one for one in vector["after"] if one["commands"] == index), None)
        if after is not None:
            assert (events, str(folded)) == (after["events"], after["events_hash"])
            summary = np.zeros(1, wire.DTYPES["BookSummary"])
            place = books.put(summary.tobytes())
            assert books.call("book_state", book, place, summary.nbytes) >= 0
            (said,) = np.frombuffer(books.get(place, summary.nbytes), summary.dtype)
            assert (int(said["order_count"]), str(said["state_hash"])) == (after["orders"], after["state_hash"])
