"""Log format: a reader that was written from the document alone reads the logs that every language writes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import plain_log
import plain_messages
import pytest
from conftest import SOURCE, everything

from tailrace import Log, LogReader, Region, library

ROOT = SOURCE.parents[1]
DRIVERS = ROOT / "test" / "drivers"
RUNTIMES = {"rust": 1, "python": 2, "node": 3, "c": 4}
SEGMENT = 65_536

Ask = Callable[..., dict[str, Any]]


def missing(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not there")


def library_path() -> Path:
    return next(path for path in library.candidates() if path.exists()).resolve()


def python_driver(_: Path) -> list[str]:
    return [sys.executable, str(DRIVERS / "driver.py")]


def node_driver(_: Path) -> list[str]:
    missing("node")
    if not (ROOT / "node_modules" / "tsx").exists():
        pytest.skip("tsx is not there: npm ci")
    return ["node", "--import", "tsx", str(DRIVERS / "driver.ts")]


def c_driver(folder: Path) -> list[str]:
    missing("gcc")
    program, shared = folder / "driver-c", library_path()
    include = ROOT / "bindings" / "native" / "include"
    words = ["-O1", "-I", include, "-o", program, DRIVERS / "c" / "driver.c", shared, f"-Wl,-rpath,{shared.parent}"]
    subprocess.run(["gcc", *map(str, words)], check=True)
    return [str(program)]


def rust_driver(_: Path) -> list[str]:
    missing("cargo")
    build = ["cargo", "build", "--quiet", "--locked", "--package", "tailrace-driver", "--bin", "tailrace-driver"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return [str(ROOT / target / "debug" / "tailrace-driver")]


COMMANDS = {"python": python_driver, "node": node_driver, "c": c_driver, "rust": rust_driver}


@pytest.fixture(params=sorted(COMMANDS))
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def driver(language: str, tmp_path: Path) -> Iterator[tuple[int, Ask]]:
    """The process id of a driver of this language, and how it is asked."""
    environment = {"TAILRACE_LIBRARY": str(library_path()), "PYTHONPATH": str(SOURCE)}
    process = subprocess.Popen(
        COMMANDS[language](tmp_path), cwd=ROOT, env={**os.environ, **environment}, stdin=-1, stdout=-1, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to, answers = process.stdin, process.stdout

    def ask(op: str, **fields: object) -> dict[str, Any]:
        to.write(json.dumps({"op": op, **fields}) + "\n")
        to.flush()
        answer: dict[str, Any] = json.loads(answers.readline())
        assert answer["ok"], answer
        return answer

    yield process.pid, ask
    to.close()
    answers.close()
    assert process.wait(20) == 0


def payloads(seed: int, longest: int) -> list[bytes]:
    """At the edges of what is padded and of what one slot holds, and at random."""
    dice = random.Random(seed)
    sizes = [0, 1, 4, 5, 7, 8, 9, 1015, 1016, 1017, 1024, 1025, 2049, longest]
    sizes += [dice.randrange(3000) for _ in range(200)]
    dice.shuffle(sizes)
    return [dice.randbytes(size) for size in sizes]


def read(log: Path) -> list[plain_messages.Message]:
    """What both readers say, which must be one thing."""
    plain = list(plain_messages.messages(plain_log.records(log)))
    with LogReader.open(log) as reader:
        ours = [
            plain_messages.Message(
                message.sequence,
                message.type,
                message.sender_pid,
                message.sender_runtime,
                message.timestamp,
                message.payload,
            )
            for message in everything(reader)
        ]
    assert plain == ours
    return plain


def test_a_log_of_every_language(language: str, driver: tuple[int, Ask], log: Path) -> None:
    pid, ask = driver
    due: list[tuple[int, int, int, int, bytes]] = []
    for part in range(3):
        ask("open_log", path=str(log), segment_bytes=SEGMENT)
        left = payloads(part, 1 << 20)
        while left:
            batch, left = left[: 1 + len(left) // 4], left[1 + len(left) // 4 :]
            kind = len(due) * 7_654_321 % 2**32
            durability = ("memory", "wal")[len(left) % 2]
            said = ask("append", payloads=[one.hex() for one in batch], type=kind, durability=durability)
            due += [(len(due) + 1 + at, kind, pid, RUNTIMES[language], one) for at, one in enumerate(batch)]
            assert said["sequence"] == str(len(due))
        ask("close_log")
    seen = read(log)
    assert [(*message[:4], message.payload) for message in seen] == due
    assert len(list(log.glob("*.log"))) > 10
    verified = Log.verify(log)
    assert (verified.records, verified.torn_bytes) == (len(due), 0)


def test_a_recorded_channel_of_every_language(
    language: str, driver: tuple[int, Ask], recorded: Region, log: Path
) -> None:
    _, ask = driver
    ask("open", path=recorded.path)
    ask("record", channel="trades", log=str(log), segment_bytes=SEGMENT)
    left = payloads(7, 16_384)
    with recorded.open_producer("trades") as producer:
        for one in left:
            producer.send(one, type=len(one), timeout=20)
    ask("close_recorder")
    seen = read(log)
    assert [(message.message_type, message.payload) for message in seen] == [(len(one), one) for one in left]
    assert {(message.pid, message.runtime) for message in seen} == {(os.getpid(), RUNTIMES["python"])}


def test_compressed_records(log: Path) -> None:
    texts = [b"a rose is a rose " * count for count in (1, 29, 30, 31, 100, 60_000)] + payloads(9, 1 << 20)
    with Log.open(log, compress=True, segment_bytes=SEGMENT) as writer:
        writer.append(texts)
    assert [message.payload for message in read(log)] == texts
    assert any(record.flags & plain_messages.COMPRESSED for record in plain_log.records(log))


def test_a_segment_that_is_begun(log: Path) -> None:
    with Log.open(log, segment_bytes=SEGMENT) as writer:
        for payload in payloads(11, 16_384):
            writer.append([payload])
    whole = read(log)
    newest = sorted(log.glob("*.log"))[-1]
    first = int(newest.stem)
    for spare in log.glob("spare*.tmp"):
        spare.unlink()
    # As a killed writer leaves it, and not of this log.
    newest.rename(log / "spare.tmp")
    assert read(log) == whole
    assert Log.verify(log).records == len(whole)
    begun = (log / "spare.tmp").read_bytes()
    (log / "spare.tmp").write_bytes(begun[:32] + bytes(16) + begun[48:])
    assert [message.sequence for message in read(log)] == list(range(1, first))
    (log / "spare.tmp").write_bytes(begun)
    with Log.open(log, segment_bytes=SEGMENT) as writer:
        assert writer.append([b"the next"]) == len(whole) + 1
    assert newest.exists()
    assert [message.sequence for message in read(log)] == list(range(1, len(whole) + 2))


def test_the_plain_reader_sees_damage(log: Path) -> None:
    with Log.open(log) as writer:
        writer.append([b"hello", b""])
    segment = log / "00000000000000000001.log"
    whole = segment.read_bytes()
    end = 64 + 48 + 40 + 104
    for at in range(end):
        segment.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        seen = -1
        try:
            seen = len(list(plain_log.records(log)))
        except AssertionError:
            continue
        assert seen < 2, f"byte {at}"
    segment.write_bytes(whole)
    assert [record.payload for record in plain_log.records(log)] == [b"hello", b""]
