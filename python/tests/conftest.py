"""What the tests share: a region of their own, and other Python processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
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
def start(path: Path) -> Iterator[Start]:
    """Starts Python programs that have `tailrace`, `region` (open) and `sys`; kills what is left of them."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(code: str, *arguments: str) -> subprocess.Popen[str]:
        program = f"import sys, tailrace\nregion = tailrace.Region.open({str(path)!r})\n{code}"
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
