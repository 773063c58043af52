"""Place: a whole exchange for one test, in processes of its own, a folder of its own and a region of its own.

Each part can be killed and started again, on the ports that it had. Nothing of it is left behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from conftest import within

LOOPBACK: Final = "127.0.0.1"
USERS: Final = ("alice", "bob", "carol")
ROLES: Final = ("matcher", "gateway", "publisher", "shadow")
# Ports that were given already.
GIVEN: Final[set[int]] = set()
# What a busy machine may take to start or end a process, seconds.
_PATIENCE: Final = 30.0
_ROOT: Final = Path(__file__).resolve().parents[2]


def program() -> Path | None:
    """The exchange's program, if it was built."""
    told = os.environ.get("TAILRACE_EXCHANGE")
    found = Path(told) if told else _ROOT / "target" / "release" / "tailrace-exchange"
    return found if found.exists() else None


def free_port(kind: socket.SocketKind) -> int:
    """A port for somebody who may be killed and come back to it.

    None of those that a system gives to whoever asks for any, or to whoever connects: those might be taken before it is
    used, or while its owner is dead.
    """
    while True:
        port = random.randrange(10_000, 32_768)
        if port in GIVEN:
            continue
        with socket.socket(socket.AF_INET, kind) as found:
            try:
                found.bind((LOOPBACK, port))
            except OSError:
                continue
            GIVEN.add(port)
            return port


class Part:
    """One process."""

    def __init__(self, path: Path, role: str, config: Path) -> None:
        words = [str(path), "run", "--config", str(config), "--status", "50", "--leash", role]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process: subprocess.Popen[str] = subprocess.Popen(words, text=True, **pipes)  # type: ignore[call-overload]
        self.ready: dict[str, Any] | None = None
        self.errors: list[str] = []
        self.threads = [
            threading.Thread(target=self._listen, daemon=True),
            threading.Thread(target=self._hear_errors, daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def _listen(self) -> None:
        for text in self.process.stdout or ():
            line = json.loads(text)
            if line["report"] == "ready":
                self.ready = line

    def _hear_errors(self) -> None:
        self.errors += self.process.stderr or ()

    def end(self, number: signal.Signals | None = None, *, is_over: bool = False) -> None:
        """Ends it: in good order, alone or with the whole exchange, or by a signal."""
        if number is not None:
            self.process.send_signal(number)
        assert self.process.stdin is not None
        if is_over:
            self.process.stdin.write("end\n")
        self.process.stdin.close()
        try:
            self.process.wait(_PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            for thread in self.threads:
                thread.join()
            for pipe in (self.process.stdout, self.process.stderr):
                assert pipe is not None
                pipe.close()


class Place:
    """A whole exchange."""

    def __init__(self, feed: list[str]) -> None:
        path = program()
        assert path is not None
        self.path = path
        self.folder = Path(tempfile.mkdtemp(prefix="tailrace-exchange-"))
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.memory = Path(tempfile.mkdtemp(prefix="tailrace-exchange-", dir=memory))
        self.gateway = f"{LOOPBACK}:{free_port(socket.SOCK_STREAM)}"
        self.snapshots = f"{LOOPBACK}:{free_port(socket.SOCK_STREAM)}"
        self.requests = f"{LOOPBACK}:{free_port(socket.SOCK_DGRAM)}"
        self.config = self.folder / "exchange.json"
        self.data = self.folder / "data"
        hashes = {user: hashlib.sha256(user.encode().ljust(32, b"\0")).hexdigest() for user in USERS}
        content = {
            "region": str(self.memory / "region"),
            "data": str(self.data),
            "segment_bytes": 1 << 20,
            "book": {"slot_count": 1 << 16, "account_count": 16, "band_ticks": 1_024},
            "streams": {"orders": 1 << 12, "reports": 1 << 13, "market": 1 << 13},
            "gateway": {"listen": self.gateway},
            "publisher": {"feed": feed, "requests": self.requests, "heartbeat_ms": 20},
            "snapshot": {"listen": self.snapshots, "every_commands": 1_000},
            "users": [
                {"user": user, "token_sha256": hashes[user], "account": account}
                for account, user in enumerate(USERS, 1)
            ],
        }
        self.config.write_text(json.dumps(content), "utf-8")
        self.parts: dict[str, Part] = {}

    def start(self, role: str) -> None:
        """Starts a part, and waits until it is ready."""
        part = self.parts[role] = Part(self.path, role, self.config)
        within(_PATIENCE, lambda: part.ready is not None or part.process.poll() is not None)
        assert part.ready is not None, (role, part.errors)

    def end(self, role: str, number: signal.Signals | None = None, *, is_over: bool = False) -> None:
        """Ends a part."""
        self.parts.pop(role).end(number, is_over=is_over)

    def replay(self) -> dict[str, Any]:
        """What the journal comes to."""
        done = subprocess.run(
            [str(self.path), "replay", str(self.data)], capture_output=True, text=True, check=True, timeout=_PATIENCE
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def begin_anew(self) -> None:
        """Kills everything, forgets everything, and begins again, in a later second."""
        epoch = int(time.time())
        for role in ROLES:
            self.end(role, signal.SIGKILL)
        shutil.rmtree(self.data)
        for file in self.memory.iterdir():
            file.unlink()
        within(_PATIENCE, lambda: int(time.time()) > epoch)
        for role in ROLES:
            self.start(role)

    def __enter__(self) -> Place:
        try:
            for role in ROLES:
                self.start(role)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for role in ("gateway", "matcher", "publisher", "shadow"):
            if role in self.parts:
                self.end(role)
        shutil.rmtree(self.memory)
        shutil.rmtree(self.folder)
