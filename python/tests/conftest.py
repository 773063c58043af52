"""What the tests share: a region of their own, and other Python processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import tailrace

SOURCE = Path(__file__).resolve().parents[1] / "src"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path() -> Iterator[Path]:
    """A name in shared memory that nobody has, and nobody has afterwards."""
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="tailrace-python-", dir=folder) as made:
        yield Path(made) / "region"


@pytest.fixture
def region(path: Path) -> Iterator[tailrace.Region]:
    """A region with the queue `orders` and the stream `ticks`, 64 slots each."""
    with tailrace.Region.create(path) as made:
        made.create_channel("orders", capacity=64)
        made.create_channel("ticks", kind="stream", capacity=64)
        yield made


@pytest.fixture
def recorded(path: Path) -> Iterator[tailrace.Region]:
    """A region with the recorded stream `trades` of 64 slots."""
    with tailrace.Region.create(path) as made:
        made.create_channel("trades", kind="stream", capacity=64, recorded=True)
        yield made


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The name of a log on disk that is not there yet."""
    return tmp_path / "log"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts Python programs that have `tailrace`, `sys`, and `region` (open) if there is one; kills what is left of
    them."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(code: str, *arguments: str) -> subprocess.Popen[str]:
        opening = f"region = tailrace.Region.open({str(path)!r})" if path.exists() else ""
        program = f"import sys, tailrace\n{opening}\n{code}"
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def stop(process: subprocess.Popen[str]) -> None:
    """Stops a process; when this returns, none of its threads runs any more."""
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)


def dense(messages: Iterable[tailrace.Message], first: int = 1) -> list[bytes]:
    """The payloads of messages whose sequences have no gap."""
    payloads: list[bytes] = []
    for message in messages:
        assert message.sequence == first + len(payloads)
        payloads.append(message.payload)
    return payloads


def numbered(first: int, end: int) -> list[bytes]:
    """Payloads that tell their sequence."""
    return [b"%d" % sequence for sequence in range(first, end)]


def everything(reader: tailrace.Consumer | tailrace.LogReader) -> list[tailrace.Message]:
    """What is there, in as many polls as it takes."""
    return [message for batch in iter(lambda: list(reader.poll()), []) for message in batch]


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
