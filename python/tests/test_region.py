"""Regions: made, opened, removed, described; and what a wrong argument says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tailrace
from tailrace import Region


def test_create_open_remove(path: Path) -> None:
    with Region.create(path, limit_bytes=8 << 20, mode=0o640) as region:
        assert region.path == str(path)
        assert path.stat().st_mode & 0o777 == 0o640
        assert region.stats()["limit_bytes"] == 8 << 20
        with pytest.raises(tailrace.ExistsError, match="exists already"):
            Region.create(path)
        with Region.open(path, lock_timeout_ms=5) as same, Region.open_or_create(str(path)) as third:
            assert same.stats()["region_id"] == third.stats()["region_id"] == region.stats()["region_id"]
        Region.remove(path)
        assert not path.exists()
        with pytest.raises(tailrace.GoneError):
            region.create_channel("late")
        with Region.open_or_create(path) as fresh:
            assert fresh.stats()["region_id"] != "0" * 32
            assert fresh.channels() == []


def test_not_found_says_the_path_and_keeps_the_cause(path: Path) -> None:
    for call in (Region.open, Region.remove):
        with pytest.raises(tailrace.NotFoundError, match=str(path)) as caught:
            call(path)
        assert caught.value.code == "ERR_NOT_FOUND"
        cause = caught.value.__cause__
        assert isinstance(cause, OSError)
        assert cause.errno == 2


def test_a_file_of_somebody_else_is_foreign(path: Path) -> None:
    path.write_bytes(b"these are not the bytes of a region" * 10_000)
    path.chmod(0o600)
    with pytest.raises(tailrace.ForeignError):
        Region.open(path)
    with pytest.raises(tailrace.ForeignError):
        Region.remove(path)
    assert path.exists()


def test_channels(region: Region) -> None:
    assert region.create_channel("orders", capacity=64) == 0
    assert region.create_channel("audit", kind="stream", capacity=8, gated=True, checksum=True) == 2
    with pytest.raises(tailrace.ExistsError, match="orders"):
        region.create_channel("orders", capacity=128)
    names = {channel["name"]: channel for channel in region.channels()}
    assert list(names) == ["orders", "ticks", "audit"]
    assert names["audit"]["kind"] == "stream"
    assert names["audit"]["options"] == ["gated", "checksum"]
    with region.open_producer("orders") as producer:
        producer.write(b"one")
        assert region.channels()[0]["tail"] == 1
        assert region.channels()[0]["depth"] == 1


def test_stats_name_who_is_attached(region: Region) -> None:
    with region.open_producer("orders", label="gateway", pin=0), region.open_consumer("ticks", label="é" * 20):
        producer, subscriber = region.stats()["participants"]
    assert (producer["role"], producer["label"], producer["pid"]) == ("producer", "gateway", os.getpid())
    assert (subscriber["role"], subscriber["label"], subscriber["runtime"]) == ("subscriber", "é" * 8, 2)
    assert region.stats()["participants"] == []


def test_a_report_longer_than_the_first_buffer(region: Region) -> None:
    for index in range(200):
        region.create_channel(f"channel number {index:<45}", capacity=2)
    assert len(region.stats()["channels"]) == 202


def test_read_only(region: Region, path: Path) -> None:
    with region.open_producer("ticks") as producer, Region.open(path, read_only=True) as reader:
        with reader.open_consumer("ticks") as consumer:
            producer.write(b"seen")
            assert consumer.poll().payloads == [b"seen"]
        with pytest.raises(tailrace.PermissionDeniedError):
            reader.open_producer("ticks")
        with pytest.raises(tailrace.UnsupportedError):
            reader.open_consumer("orders")


def test_exclusive_roles(path: Path) -> None:
    with Region.create(path) as region:
        region.create_channel("one to one", exclusive_producer=True, exclusive_consumer=True)
        with region.open_producer("one to one") as producer, region.open_consumer("one to one") as consumer:
            with pytest.raises(tailrace.BusyError, match=str(os.getpid())):
                region.open_producer("one to one")
            with pytest.raises(tailrace.BusyError, match=str(os.getpid())):
                region.open_consumer("one to one")
            assert producer.write(b"x")
            assert consumer.poll().payloads == [b"x"]
        region.open_producer("one to one").close()


def test_closing_is_not_an_error_twice_and_leaves_children_open(region: Region) -> None:
    producer = region.open_producer("orders")
    assert not region.closed
    region.close()
    region.close()
    assert region.closed
    assert "closed" in repr(region)
    with pytest.raises(tailrace.ClosedError, match="region was closed"):
        region.channels()
    assert producer.write(b"still open")
    producer.close()


WRONG: list[tuple[str, Callable[[Region, Path], Any]]] = [
    (r"capacity is 3; it must be a power of two, such as 4", lambda region, _: region.create_channel("x", capacity=3)),
    (r"capacity is 0", lambda region, _: region.create_channel("x", capacity=0)),
    (r"kind is 'topic'; give 'queue' or 'stream'", lambda region, _: region.create_channel("x", kind="topic")),  # type: ignore[arg-type]
    (r"foreign is 'yes'; give 'document' or 'code'", lambda region, _: region.create_channel("x", foreign="yes")),  # type: ignore[arg-type]
    (r"gated is for streams", lambda region, _: region.create_channel("x", gated=True)),
    (r"name", lambda region, _: region.create_channel("")),
    (r"name", lambda region, _: region.create_channel("x" * 64)),
    (r"name is 'a\\x00b'; it must not contain a NUL", lambda region, _: region.create_channel("a\0b")),
    (r"name is 7; give a string", lambda region, _: region.create_channel(7)),  # type: ignore[arg-type]
    (r"name is '\\ud800'; it must be UTF-8", lambda region, _: region.create_channel("\ud800")),
    (r"limit_bytes is -1", lambda _, path: Region.create(path, limit_bytes=-1)),
    (r"limit_bytes", lambda _, path: Region.create(path.with_name("small"), limit_bytes=1)),
    (r"mode is 0o777", lambda _, path: Region.create(path.with_name("open"), mode=0o777)),
    (r"payload_offset is 7|payload_offset", lambda _, path: Region.open(path, payload_offset=-7)),
    (r"path is 7; give the name of a file", lambda _region, _path: Region.open(7)),  # type: ignore[arg-type]
    (r"path is .*NUL", lambda _region, _path: Region.open("/dev/shm/\0")),
    (
        r"from_ is 'start'; give 'latest', 'oldest', a sequence",
        lambda region, _: region.open_consumer("ticks", from_="start"),  # type: ignore[arg-type]
    ),
    (r"is a queue", lambda region, _: region.open_consumer("orders", from_="latest")),
    (r"is a queue", lambda region, _: region.open_consumer("orders", gating=True)),
    (r"pin is -1", lambda region, _: region.open_producer("orders", pin=-1)),
    (r"processor 99999", lambda region, _: region.open_producer("orders", pin=99_999)),
]


@pytest.mark.parametrize(("sentence", "call"), WRONG)
def test_wrong_arguments_get_a_sentence(
    region: Region, path: Path, sentence: str, call: Callable[[Region, Path], Any]
) -> None:
    with pytest.raises(tailrace.ArgumentError, match=sentence) as caught:
        call(region, path)
    assert caught.value.code == "ERR_ARGUMENT"
