"""Vectors: the golden bytes of `test/vectors/`, read and built again from the printed layout; the bad ones opened."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from plain import POSITIONS, Plain, pack_intent, payload, unpack_intent

import tailrace
from tailrace._generated import layout
from tailrace._generated.layout import Field

VECTORS = Path(__file__).resolve().parents[2] / "test" / "vectors"
RECORD = struct.Struct("<QQIIIHHHHI")
STRUCTS = (
    layout.RegionHeader,
    layout.ChannelEntry,
    layout.Slot,
    layout.AnnexHeader,
    layout.ChannelName,
    layout.Counters,
    layout.Participant,
    layout.Recorder,
    layout.Group,
)


def read(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def dense(runs: list[tuple[int, str]], length: int) -> bytes:
    """Lays the runs over zeros."""
    data = bytearray(length)
    for offset, text in runs:
        part = bytes.fromhex(text)
        data[offset : offset + len(part)] = part
    return bytes(data)


def test_the_layout_has_the_hash_of_its_lines() -> None:
    newest = read("hash")["layouts"][-1]
    lines = [
        f"{structure.__name__}.{name} {field.offset} {field.size}"
        for structure in STRUCTS
        for name, field in vars(structure).items()
        if isinstance(field, Field)
    ]
    assert lines == newest["lines"]
    assert zlib.crc32("".join(f"{line}\n" for line in lines).encode()) == newest["crc32"] == layout.LAYOUT_HASH
    assert newest["annex_version"] == layout.ANNEX_VERSION


def test_intents_are_packed_and_unpacked() -> None:
    vectors = read("intents")
    for case in vectors["packed"]:
        word = int(case["word"])
        assert pack_intent(case["kind"], int(case["position"]), case["count"]) == word
        assert unpack_intent(word) == (case["kind"], int(case["first"]), case["count"])
    assert {unpack_intent(int(word))[0] for word in vectors["strange"]} == {layout.INTENT_NONE}
    for case in vectors["over"]:
        _, first, count = unpack_intent(int(case["word"]))
        assert ((int(case["position"]) - first) % POSITIONS < count) is case["is_over"], case


def record_bytes(record: dict[str, Any]) -> bytes:
    """The bytes of a record, from its meaning."""
    sequence, timestamp_ns = int(record["sequence"]), int(record["timestamp_ns"])
    rest = (record[name] for name in ("type", "length", "pid", "runtime", "flags", "delivery_count"))
    data = RECORD.pack(sequence, timestamp_ns, *rest, 0, 0) + payload(record["length"])
    return data.ljust(-(-len(data) // 8) * 8, b"\0")


def read_records(data: bytes) -> list[dict[str, Any]]:
    """The meanings of records, from their bytes."""
    records, at = [], 0
    while at < len(data):
        sequence, timestamp_ns, kind, length, pid, runtime, flags, count, *zeros = RECORD.unpack_from(data, at)
        start = at + layout.RECORD_HEADER_BYTES
        assert zeros == [0, 0]
        assert data[start : start + length] == payload(length)
        records.append(
            {
                "sequence": str(sequence),
                "timestamp_ns": str(timestamp_ns),
                "type": kind,
                "pid": pid,
                "runtime": runtime,
                "flags": flags,
                "delivery_count": count,
                "length": length,
            }
        )
        at = start + -(-length // 8) * 8
    return records


def test_records_are_written_and_read() -> None:
    assert RECORD.size == layout.RECORD_HEADER_BYTES
    for case in read("records")["cases"]:
        expected = dense(case["bytes"], case["total_bytes"])
        assert b"".join(map(record_bytes, case["records"])) == expected, case["name"]
        assert read_records(expected) == case["records"], case["name"]


def region_for(case: dict[str, Any]) -> Plain:
    """A region with one empty channel, by the inputs of a slot."""
    nothing = {"boot_id": "", "region_id": "", "created_ns": 0, "process_start": 0, "pid_namespace": 0}
    who = {"pid": case.get("pid", 0), "runtime": case.get("runtime", 0), "limit_bytes": 1 << 26}
    plain = Plain(nothing | who)
    plain.add_channel("orders", case["flags"], case["capacity"])
    return plain


def test_slots_hold_messages_at_the_edge_sizes() -> None:
    for case in read("slots")["cases"]:
        plain, position = region_for(case), int(case["position"])
        if "error" in case:
            assert case["error"] == "ERR_TOO_LARGE"
            assert plain.message_max(0) == case["most_bytes"] < case["length"]
            continue
        if case.get("abandoned"):
            plain.bury(0, position)
        else:
            plain.publish(0, position, int(case["timestamp_ns"]), case["type"], case["length"])
        slots = [plain.slot_bytes(0, position + index) for index in range(case["slot_count"])]
        assert zlib.crc32(b"".join(slots)) == case["crc32"], case
        if "slots" in case:
            assert slots == [dense(runs, layout.Slot.SIZE) for runs in case["slots"]]
        else:
            assert slots[0][:64] == dense(case["first_slot"], 64)
            assert slots[-1] == dense(case["last_slot"], layout.Slot.SIZE)


def perform(plain: Plain, verb: str, given: dict[str, Any]) -> None:
    """Runs one operation of a script, and compares what it answers."""
    entry = given.get("entry", 0)
    if verb == "add_channel":
        plain.add_channel(given["name"], given["flags"], given["capacity"])
    elif verb == "join":
        channel = plain.channel(given["channel"])
        assert plain.join(channel, given["role"], given["label"], given.get("from") == "oldest") == entry
    elif verb == "write":
        assert plain.write(entry, int(given["at_ns"]), given["type"], given["lengths"]) == given["written"]
    elif verb == "poll":
        assert plain.poll(entry, given["limit"]) == given["messages"]
    elif verb == "take":
        assert plain.take(entry, given["limit"]) == given["messages"]
    elif verb == "release":
        plain.release(entry, given.get("count"))
    elif verb == "die_writing":
        plain.die_writing(entry, given["count"])
    elif verb == "repair":
        plain.repair(entry)
    elif verb == "inherit":
        assert plain.inherit(entry, given["dead"]) == given["messages"]
    elif verb == "close":
        plain.close(entry)
    else:
        pytest.fail(f"nobody knows how to {verb}")


def test_a_region_is_what_its_operations_leave() -> None:
    vector = read("region")
    plain = Plain(vector["inputs"])
    for verb, given in vector["operations"]:
        perform(plain, verb, given)
    assert plain.data == dense(vector["bytes"], vector["total_bytes"])
    assert zlib.crc32(plain.data) == vector["crc32"]


def bad_bytes(bad: dict[str, Any], case: dict[str, Any], boot_id: str) -> bytes:
    """The file of a bad region."""
    plain = Plain(bad["inputs"] | {"boot_id": boot_id})
    for index, channel in enumerate(bad["channels"]):
        plain.add_channel(channel["name"], channel["flags"], channel["capacity"])
        for position, length in enumerate([5, 6, 7][: channel["capacity"]]):
            plain.publish(index, position, 1_700_000_000_000_000_000, 7, length)
            plain.put("ChannelEntry.tail", index, position + 1)
    for field, index, value, *channel in case["patches"]:
        if channel:
            plain.put_slot(plain.channel(channel[0]), index, field.removeprefix("Slot."), int(value))
        else:
            plain.put(field, index, int(value))
    return bytes(plain.data[: case.get("total_bytes")])


def test_bad_regions_are_built_again() -> None:
    bad = read("bad")
    for case in bad["cases"]:
        assert zlib.crc32(bad_bytes(bad, case, bad["inputs"]["boot_id"])) == case["crc32"], case["name"]


def open_reader(region: tailrace.Region, channel: str) -> tailrace.Consumer:
    """Opens a channel for reading, from its oldest message."""
    return region.open_consumer(channel, from_="oldest" if channel == "ticks" else None)


BAD = read("bad")


@pytest.mark.parametrize("case", BAD["cases"], ids=lambda case: str(case["name"]))
def test_bad_regions_are_refused_by_their_code(case: dict[str, Any], path: Path) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", "")
    path.write_bytes(bad_bytes(BAD, case, boot_id))
    path.chmod(0o600)
    if "channel" not in case:
        with pytest.raises(tailrace.TailraceError) as caught:
            tailrace.Region.open(path)
        assert caught.value.code == case["code"]
        return
    channel = case["channel"]
    with tailrace.Region.open(path) as region:
        if "code" in case:
            for opening in (lambda: region.open_producer(channel), lambda: open_reader(region, channel)):
                with pytest.raises(tailrace.TailraceError) as caught:
                    opening()
                assert caught.value.code == case["code"]
            for other in case["still"]:
                open_reader(region, other).close()
            return
        with open_reader(region, channel) as consumer:
            sequences = [str(message.sequence) for _ in range(4) for message in consumer.poll(100)]
        assert sequences == case["handed_out"]
        (counted,) = [info for info in region.channels() if info["name"] == channel]
        assert counted["counters"]["corrupt"] == case["corrupt"]
