"""Library: where it is looked for, what is said when it is not there, and the exceptions it gives rise to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SOURCE

import tailrace
from tailrace import library
from tailrace._generated.errors import CLASSES, NUMBERS
from tailrace._generated.signatures import SIGNATURES


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


TRY = """
import tailrace
try:
    tailrace.Region.create("/dev/shm/never-made")
except tailrace.UnsupportedError as error:
    print(error.code, error)
"""


def test_one_class_for_each_code() -> None:
    assert set(CLASSES) == set(NUMBERS.values())
    for name, number in NUMBERS.items():
        assert CLASSES[number].code == name
        assert issubclass(CLASSES[number], tailrace.TailraceError)
        assert getattr(tailrace, CLASSES[number].__name__) is CLASSES[number]
    assert not issubclass(tailrace.TailraceError, OSError)


def test_every_name_that_is_promised_is_there() -> None:
    for name in tailrace.__all__:
        assert getattr(tailrace, name) is not None
    assert tailrace.__all__ == sorted(tailrace.__all__, key=lambda name: (not name.isupper(), name.islower(), name))


def test_another_platform_can_import() -> None:
    said = run('import sys; sys.platform = "darwin"' + TRY)
    assert said.startswith("ERR_UNSUPPORTED regions need Linux, and this is darwin")


def test_a_library_that_is_not_there() -> None:
    said = run(TRY, TAILRACE_LIBRARY="/nowhere/library.so")
    assert said.startswith("ERR_UNSUPPORTED libtailrace_native.so is not there (tried /nowhere/library.so)")


def test_a_library_that_is_none(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.so"
    wrong.write_bytes(b"not a library")
    assert str(wrong) in run(TRY, TAILRACE_LIBRARY=str(wrong))


def test_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "LAYOUT_HASH", 7)
    path = next(path for path in library.candidates() if path.exists())
    with pytest.raises(tailrace.VersionError, match=r"was built with layout 0x.*, and this package with 0x7"):
        library.Library(path)


def test_functions_have_the_types_of_the_table() -> None:
    loaded = library.load()
    for name in library.Library.__slots__:
        function = getattr(loaded, name)
        answer, arguments = SIGNATURES[f"tr_{name.removesuffix('_at').removesuffix('_waiting')}"]
        assert function.restype is answer
        assert len(function.argtypes) == len(arguments)
    assert loaded.write.argtypes != loaded.write_at.argtypes  # type: ignore[attr-defined]


def test_a_long_error_is_whole(path: Path) -> None:
    name = "x" * 200 + "/" + "y" * 200 + "/" + "z" * 200
    long = str(path) + "/" + "/".join([name] * 3)
    with pytest.raises(tailrace.TailraceError) as caught:
        tailrace.Region.open(long)
    assert long in str(caught.value)


def test_now_is_the_clock_of_messages() -> None:
    import time

    assert abs(tailrace.now() - time.time_ns()) < 1_000_000_000
