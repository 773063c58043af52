"""Kernel: the same built kernels over the same records as in every other language."""

from __future__ import annotations

import base64
import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tailrace
from tailrace import Kernel, KernelError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "test" / "vectors" / "kernels.json").read_text("utf-8")
)
RECORDS = bytes.fromhex(VECTORS["records"])
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in VECTORS["cases"]}


def wasm(name: str) -> bytes:
    """A built kernel."""
    return base64.b64decode(CASES[name]["wasm"])


def made(name: str, **options: Any) -> Kernel:
    """A kernel of the vectors."""
    return Kernel(wasm(name), **{"budget": CASES[name].get("budget", 10_000_000), **options})


def records(kernel: Kernel) -> npt.NDArray[np.void]:
    """The records as an array."""
    return np.frombuffer(RECORDS, kernel.record)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "result" in case])
def test_a_built_kernel_answers_as_everywhere(name: str) -> None:
    case, kernel = CASES[name], made(name)
    result = kernel.run(records(kernel))
    assert result.tobytes().hex() == case["result"]
    assert result.dtype == (kernel.record if kernel.kind == "filter" else kernel.output)
    assert (kernel.name, kernel.kind) == (name, case["kind"])
    counters = kernel.counters
    assert (counters.batches, counters.records, counters.kept) == (1, 120, len(result))
    assert (counters.turns, counters.traps) == (case["turns"], 0)
    assert counters.nanoseconds > 0


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "error" in case])
def test_a_kernel_that_may_not_go_on_is_ended_as_everywhere(name: str) -> None:
    case, kernel = CASES[name], made(name)
    with pytest.raises(KernelError) as raised:
        kernel.run(records(kernel))
    error = raised.value
    assert (error.reason, error.record) == (case["error"]["reason"], case["error"]["record"])
    assert error.kernel == name
    assert error.code == {"budget": "ERR_TIMED_OUT", "memory": "ERR_NO_SPACE"}.get(error.reason, "ERR_ARGUMENT")
    assert kernel.ended is error
    assert kernel.counters.traps == 1
    with pytest.raises(tailrace.ClosedError, match="has ended"):
        kernel.run(records(kernel))


def test_the_message_says_what_the_kernel_said() -> None:
    kernel = made("an assertion")
    with pytest.raises(KernelError, match=r"at record 2 of the batch: abort: a side at kernel\.ts:2:"):
        kernel.run(records(kernel))
    kernel = made("a write behind the end")
    with pytest.raises(KernelError, match="out of bounds"):
        kernel.run(records(kernel))


def test_batches_go_through_a_kernel(region: tailrace.Region) -> None:
    kernel = made("one comparison")
    size = kernel.record.itemsize
    payloads = [RECORDS[start : start + size] for start in range(0, 40 * size, size)]
    with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
        assert producer.write_batch(payloads) == 40
        kept = kernel.run(consumer.poll(64))
        prices = np.frombuffer(RECORDS, kernel.record)["price"][:40]
        assert kept["price"].tolist() == prices[prices > 10].tolist()
        assert len(kernel.run(consumer.poll(64))) == 0
        producer.write(b"short")
        with pytest.raises(tailrace.CorruptError, match="no record of the kernel"):
            kernel.run(consumer.poll(64))
        assert kernel.ended is None


def test_results_belong_to_the_caller() -> None:
    kernel = made("everything")
    first = kernel.run(records(kernel))
    content = first.tobytes()
    kernel.run(np.zeros(120, kernel.record))
    assert first.tobytes() == content
    del kernel
    assert first.tobytes() == content


def test_an_aggregate_goes_on_from_batch_to_batch() -> None:
    kernel = made("aggregate")
    whole = records(kernel)
    parts = [kernel.run(part) for part in (whole[:50], whole[50:])]
    assert [part["count"].tolist() for part in parts] == [[50], [120]]
    assert parts[1].tobytes().hex() == CASES["aggregate"]["result"]


def test_what_does_not_fit_is_refused() -> None:
    kernel = made("everything", capacity=100)
    with pytest.raises(tailrace.TooLargeError, match="120 records"):
        kernel.run(records(kernel))
    assert len(kernel.run(records(kernel)[:100])) == 100
    with pytest.raises(tailrace.ArgumentError, match="reads"):
        kernel.run(np.zeros(3, "<f8"))
    for options in ({"budget": 0}, {"capacity": 0}):
        with pytest.raises(tailrace.ArgumentError, match="give"):
            made("everything", **options)


def test_what_is_no_built_kernel_is_refused(tmp_path: Path) -> None:
    whole = wasm("one comparison")
    for data in (b"", b"no module", whole[:8], whole.replace(b"tailrace.kernel", b"tailrace.kernle")):
        with pytest.raises(tailrace.ArgumentError, match="tailrace kernel build"):
            Kernel(data)
    with pytest.raises(tailrace.ArgumentError, match="this is no kernel"):
        Kernel(whole.replace(b"\x0ftailrace.budget", b"\x0ftailrace.badget"))
    file = tmp_path / "kernel.wasm"
    file.write_bytes(whole)
    assert Kernel(file).name == Kernel(str(file)).name == "one comparison"
    with pytest.raises(FileNotFoundError):
        Kernel(tmp_path / "nothing.wasm")


def test_a_file_that_lies_about_its_limits_is_ended_all_the_same() -> None:
    whole = wasm("a loop without an end")
    # `if (budget < 0) unreachable` becomes `if (budget < 0) nop`: the budget has no effect any more.
    charge = b"\x41\x00\x48\x04\x40"
    assert whole.count(charge) > 1
    start = whole.index(charge)
    end = whole.index(b"\x15tailrace.plain") if b"\x15tailrace.plain" in whole else whole.index(b"tailrace.plain")
    forged = bytearray(whole)
    while 0 <= start < end:
        stop = forged.index(b"\x00\x0b", start + len(charge))
        forged[stop] = 0x01
        start = forged.find(charge, stop, end)
    kernel = Kernel(bytes(forged), budget=1_000)
    with pytest.raises(KernelError) as raised:
        kernel.run(records(kernel))
    assert raised.value.reason == "budget"


def test_without_wasmtime_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refusing(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "wasmtime":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(tailrace.UnsupportedError, match="wasmtime"):
        made("one comparison")
