"""The command line, as people and as programs see it."""

from __future__ import annotations

import base64
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from conftest import SOURCE

from tailrace import Log, Region
from tailrace.command.paper import age, plain, printable, short, size

COMMAND = [sys.executable, "-m", "tailrace"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}
ENVIRONMENT.pop("NO_COLOR", None)


def run(*words: str | Path, code: int = 0) -> str:
    done = subprocess.run([*COMMAND, *map(str, words)], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def rows(*words: str | Path) -> list[list[str]]:
    return [line.split("\t") for line in run(*words).splitlines()]


def objects(*words: str | Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in run(*words, "--json").splitlines()]


def on_a_terminal(*words: str | Path, **environment: str) -> str:
    here, there = pty.openpty()
    process = subprocess.Popen([*COMMAND, *map(str, words)], env={**ENVIRONMENT, **environment}, stdout=there)
    os.close(there)
    said = b""
    while True:
        try:
            said += os.read(here, 65_536)
        except OSError:
            break
    os.close(here)
    assert process.wait(30) == 0
    return said.decode()


@pytest.fixture
def busy(region: Region) -> Iterator[Region]:
    """With one message waiting, three handles, and a writer of the stream."""
    region.create_channel("held", kind="stream", gated=True)
    with (
        region.open_producer("ticks", label="a\tb") as ticks,
        region.open_producer("orders", label="gateway") as orders,
        region.open_consumer("orders"),
    ):
        orders.write(b"waits")
        ends = threading.Event()

        def write() -> None:
            count = 0
            while not ends.wait(0.01):
                count += ticks.write(b"tick %d" % count)

        thread = threading.Thread(target=write)
        thread.start()
        yield region
        ends.set()
        thread.join()


def test_ls_of_a_folder(region: Region, path: Path) -> None:
    path.with_name("other").write_text("not a region")
    path.with_name("broken").write_bytes(path.read_bytes()[:200])
    path.with_name("broken").chmod(0o600)
    broken, whole = rows("ls", path.parent)
    assert whole == [str(path), "2", str(path.stat().st_size), str(64 << 20), "0", "0", "-"]
    assert broken[:5] == [str(path.with_name("broken")), "-", "200", "-", "-"]
    assert broken[-1].startswith("ERR_")
    assert [item["path"] for item in objects("ls", path.parent)] == [broken[0], whole[0]]
    assert "REGION" in on_a_terminal("ls", path.parent)


def test_ls_of_a_region(busy: Region, path: Path) -> None:
    orders, ticks, held = rows("ls", path)
    assert orders[:5] == ["orders", "queue", "64", "1", "1"]
    assert orders[6:] == ["1", "1", "", "-", "-", "-", "-"]
    assert ticks[:3] == ["ticks", "stream", "64"]
    assert held[8] == "gated"
    assert [item["name"] for item in objects("ls", path)] == ["orders", "ticks", "held"]


def test_ls_of_nothing(tmp_path: Path) -> None:
    assert run("ls", tmp_path) == ""
    assert "There is no region in" in on_a_terminal("ls", tmp_path)
    assert "ERR_NOT_FOUND" in run("ls", tmp_path / "none", code=1)


def test_top(busy: Region, path: Path) -> None:
    items = objects("top", path, "--interval", "0.3", "--count", "2")
    channels = [item for item in items if item["table"] == "channel"]
    assert [channel["name"] for channel in channels] == ["orders", "ticks", "held"] * 2
    lines = rows("top", path, "--interval", "0.3")
    assert [line[:2] for line in lines] == [
        ["channel", "orders"],
        ["channel", "ticks"],
        ["channel", "held"],
        *[["participant", str(os.getpid())]] * 3,
    ]
    assert 10 < int(lines[1][3]) <= 110
    assert [line[2] for line in lines[3:]] == ["a\ufffdb", "gateway", ""]


@pytest.mark.parametrize("is_colored", [True, False])
def test_top_on_a_terminal(busy: Region, path: Path, is_colored: bool) -> None:
    said = on_a_terminal("top", path, "--interval", "0.05", "--count", "1", **({} if is_colored else {"NO_COLOR": "1"}))
    for word in (str(path), "OLDEST CLAIMED", "gateway", "LABEL"):
        assert word in said
    assert ("\033[2m" in said) == is_colored


def test_tail(busy: Region, path: Path) -> None:
    time.sleep(0.1)
    oldest = rows("tail", path, "ticks", "--from", "oldest", "--count", "3")
    first = int(oldest[0][0])
    assert [line[0] for line in oldest] == [str(first), str(first + 1), str(first + 2)]
    assert base64.b64decode(oldest[0][5]) == b"tick %d" % (first - 1)
    (latest,) = objects("tail", path, "ticks", "--count", "1")
    assert str(latest["text"]).startswith("tick ")
    assert "  tick " in on_a_terminal("tail", path, "ticks", "--from", "oldest", "--count", "1")
    assert len(busy.stats()["participants"]) == 3


@pytest.fixture
def written(recorded: Region, log: Path) -> Iterator[Region]:
    """With 30 messages in a log, a recorder, and a group that has finished 10."""
    with (
        recorded.record("trades", log=log, label="keeper"),
        recorded.open_producer("trades") as producer,
        recorded.open_consumer("trades", from_="oldest", group="sinks") as consumer,
    ):
        for sequence in range(1, 31):
            producer.send(b"trade %d" % sequence, type=3, durability="wal", timeout=20)
        consumer.poll(10)
        assert consumer.commit(20) == 11
        yield recorded


def test_ls_and_top_of_a_recorded_channel(written: Region, path: Path) -> None:
    (trades,) = rows("ls", path)
    assert trades[8:] == ["recorded", str(os.getpid()), "0", "30", "sinks:20"]
    lines = rows("top", path, "--interval", "0.1")
    assert [line[0] for line in lines[:3]] == ["channel", "recorder", "group"]
    assert lines[1] == ["recorder", "trades", str(os.getpid()), "0", "0", "30", "30", "ok"]
    assert lines[2][:6] == ["group", "trades", "sinks", "1", "11", "11"]
    assert "ON DISK" in on_a_terminal("ls", path)
    assert "TAKEN OVER" in on_a_terminal("top", path, "--interval", "0.1", "--count", "1")
    oldest = rows("tail", path, "trades", "--from", "oldest", "--count", "2")
    assert [line[0] for line in oldest] == ["1", "2"]


def test_log_stat(written: Region, log: Path) -> None:
    first, segment, group = rows("log", "stat", log)
    assert first[:2] == ["log", str(log)]
    assert first[3:7] == ["1", "30", "30", "1"]
    assert first[8:10] == ["true", "ok"]
    assert segment[:3] == ["segment", "00000000000000000001.log", "1"]
    assert abs(int(segment[4]) - time.time() * 1000) < 60_000
    assert group[:3] == ["group", "sinks", "11"]
    assert group[4] == "20"
    tables = objects("log", "stat", log)
    assert [item["table"] for item in tables] == ["log", "segment", "group"]
    assert tables[0]["last_sequence"] == 30
    said = on_a_terminal("log", "stat", log)
    for word in ("SEGMENT", "GROUP", "alive", "s ago"):
        assert word in said


def test_log_verify(written: Region, log: Path) -> None:
    (line,) = rows("log", "verify", log)
    assert line[:3] == [str(log), "1", "30"]
    assert line[5:7] == ["1", "30"]
    (item,) = objects("log", "verify", log)
    assert item["records"] == 30


def test_log_verify_of_a_damaged_log(tmp_path: Path) -> None:
    with Log.open(tmp_path) as log:
        log.append([b"some words"] * 10)
    segment = tmp_path / "00000000000000000001.log"
    segment.write_bytes(segment.read_bytes().replace(b"some words", b"same words", 1))
    said = run("log", "verify", tmp_path, code=1)
    assert "ERR_CORRUPT" in said
    assert f"; npx tailrace log repair {tmp_path} says what can be done" in said
    assert "make the region" not in said


def test_log_verify_shows_how_far_it_is(tmp_path: Path) -> None:
    with Log.open(tmp_path) as log:
        for _ in range(40):
            log.append(bytes(1 << 20), durability="memory")
    here, there = pty.openpty()
    done = subprocess.run([*COMMAND, "log", "verify", str(tmp_path)], env=ENVIRONMENT, stdout=-1, stderr=there)
    os.close(there)
    said = os.read(here, 65_536).decode()
    os.close(here)
    assert done.returncode == 0
    assert f"verifying {tmp_path}: " in said
    assert said.endswith("\r\033[K")


def test_log_cat(written: Region, log: Path) -> None:
    lines = rows("log", "cat", log)
    assert [line[0] for line in lines] == [str(sequence) for sequence in range(1, 31)]
    assert lines[4][2:5] == ["3", str(os.getpid()), "7"]
    assert base64.b64decode(lines[4][5]) == b"trade 5"
    assert [line[0] for line in rows("log", "cat", log, "--from", "12", "--count", "3")] == ["12", "13", "14"]
    assert rows("log", "cat", log, "--from", "latest") == []
    later = datetime.fromtimestamp(int(lines[19][1]) // 1000 / 1e6, timezone.utc)
    from_time = rows("log", "cat", log, "--from", later.isoformat().replace("+00:00", "Z"))
    assert from_time[-1][0] == "30"
    assert 1 < int(from_time[0][0]) <= 20
    (item,) = objects("log", "cat", log, "--count", "1")
    assert (item["sequence"], item["text"]) == (1, "trade 1")
    following = rows("log", "cat", log, "--follow", "--count", "30")
    assert len(following) == 30


def test_log_cat_follows_until_it_is_interrupted(tmp_path: Path) -> None:
    with Log.open(tmp_path) as log:
        process = subprocess.Popen(
            [*COMMAND, "log", "cat", str(tmp_path), "--follow"], env=ENVIRONMENT, stdout=-1, stderr=-1, text=True
        )
        assert process.stdout is not None
        for sequence in range(1, 4):
            log.append(b"x")
            assert process.stdout.readline().startswith(f"{sequence}\t")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "")


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (("tail", "PATH", "orders"), "is a queue, and looking must not change it", 1),
        (("tail", "PATH", "held"), "is gated, and looking must not change it", 1),
        (("tail", "PATH", "none"), 'has no channel "none"', 1),
        (("tail", "no such channel anywhere"), "no region in /dev/shm has a channel", 1),
        (("tail", "a", "b", "c"), '"c" is too much', 2),
        (("top",), "REGION", 2),
        (("top", "PATH", "--interval", "-1"), "is no number of seconds", 2),
        (("mend",), "invalid choice", 2),
        (("log",), "required", 2),
        (("log", "repair", "x"), "invalid choice", 2),
        (("log", "cat"), "DIR", 2),
        (("log", "cat", "x", "--from", "yesterday"), "yesterday is no place; give oldest, latest, a sequence", 2),
        (("log", "cat", "x", "--from", "0"), "0 is no place", 2),
        (("log", "stat", "/nowhere"), "ERR_NOT_FOUND", 1),
        (("log", "verify", "/nowhere"), "ERR_NOT_FOUND", 1),
        (("log", "cat", "/nowhere"), "ERR_NOT_FOUND", 1),
        ((), "required", 2),
    ],
)
def test_what_goes_wrong(busy: Region, path: Path, words: tuple[str, ...], sentence: str, code: int) -> None:
    assert sentence in run(*(str(path) if word == "PATH" else word for word in words), code=code)


def test_who_reads_may_leave(busy: Region, path: Path) -> None:
    process = subprocess.Popen([*COMMAND, "tail", path, "ticks"], env=ENVIRONMENT, stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_control_c(busy: Region, path: Path) -> None:
    words = [*COMMAND, "top", str(path), "--count", "1000", "--interval", "0.1"]
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stdout.readline(), "it is at work"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, b"")


def test_numbers_for_people() -> None:
    assert [short(count) for count in (0, 999, 1000, 12_345_678, 10**16)] == ["0", "999", "1.0 k", "12.3 M", "10000 T"]
    assert [size(count) for count in (0, 1023, 1536, 64 << 20)] == ["0 B", "1023 B", "1.5 KiB", "64 MiB"]
    ages = (None, 1_500, 2_000_000, 3_400_000_000, 120_000_000_000, 2 * 3_600_000_000_000)
    assert [age(count) for count in ages] == ["-", "2 us", "2 ms", "3.4 s", "2 min", "2 h"]
    assert printable("a\x1b[2Jb\n\x9f") == "a\ufffd[2Jb\ufffd\ufffd"
    assert [plain(value) for value in (None, True, 1.5, "x")] == ["-", "true", "1.5", "x"]
