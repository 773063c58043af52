"""Examples: both run, say what happens, and are short."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SOCK_DGRAM

import pytest
from conftest import SOURCE, within
from place import LOOPBACK, Place, free_port, program

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LINES_MAX = 20
PATIENCE = 30.0


class Example:
    """A running example, and what it has printed."""

    def __init__(self, name: str, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / f"{name}.py"), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
        self.lines: list[str] = []
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line.rstrip("\n"))

    def says(self, line: str) -> None:
        """Waits until it says this."""
        within(PATIENCE, lambda: line in self.lines or self.process.poll() is not None)
        assert line in self.lines, self.lines

    def ends(self) -> None:
        """Waits for its end, which must be a good one."""
        assert self.process.wait(PATIENCE) == 0, self.lines
        self.thread.join(PATIENCE)


@contextmanager
def running(name: str, *words: str) -> Iterator[Example]:
    """An example that is over afterwards."""
    example = Example(name, *words)
    try:
        yield example
    finally:
        example.process.kill()
        example.process.wait()
        example.thread.join()
        assert example.process.stdout is not None
        example.process.stdout.close()


@pytest.mark.skipif(program() is None, reason="tailrace-exchange is not built: npm run build, or TAILRACE_EXCHANGE")
def test_both_run_and_say_what_happens() -> None:
    feed = f"{LOOPBACK}:{free_port(SOCK_DGRAM)}"
    with Place([feed]) as place, running("market_data", feed, place.requests, place.snapshots) as reader:
        reader.says("0: bid nobody, ask nobody")
        with running("order_entry", place.gateway, "alice", "alice") as trader:
            trader.ends()
            assert trader.lines == ["1 was accepted: 10 at 99", "2 was cancelled: 20 at 100"]
        reader.says("3: bid nobody, ask nobody")
        for role in ("gateway", "matcher", "publisher"):
            place.end(role, is_over=True)
        reader.ends()
        # What came together is told together: only the first and the last are always told by themselves.
        states = [
            "bid nobody, ask nobody",
            "bid 10 at 99, ask nobody",
            "bid 20 at 100, ask nobody",
            "bid nobody, ask nobody",
        ]
        told = [f"{number}: {state}" for number, state in enumerate(states)]
        told.append("the session is over, 0 orders are left")
        assert reader.lines == [line for line in told if line in reader.lines]
        assert reader.lines[-1] == told[-1]


@pytest.mark.parametrize("name", ["market_data", "order_entry"])
def test_they_are_short(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text("utf-8")
    first = ast.parse(text).body[0].end_lineno
    assert sum(bool(line.strip()) for line in text.splitlines()[first:]) <= LINES_MAX
