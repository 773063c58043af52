"""Kernel: a filter, a map or an aggregate over batches, compiled by `tailrace kernel build`.

    large = tailrace.Kernel("large/kernel.wasm")
    kept = large.run(consumer.poll(4096))      # a structured array: the records that it keeps, or makes

The module is the one that TypeScript runs, with the same limits in it; `wasmtime` runs it here, a package that whoever
uses kernels installs. A batch's payloads are copied once, into the kernel's memory:

    0         the kernel's own: statics, heap, as many pages as the file says
    staging   records, one after the other
    out       what the kernel says: addresses of records, or records

The limits count turns of loops and calls of functions. Whether they are in a file is for the file to say; so the
engine's own fuel is the second limit, set so high that a kernel with limits never sees it. A kernel ends when it does
what it may not, and nothing else ends with it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ._generated.errors import (
    ArgumentError,
    ClosedError,
    CorruptError,
    TailraceError,
    TooLargeError,
    UnsupportedError,
)
from .batch import Batch

Array = npt.NDArray[Any]
Kind = Literal["filter", "map", "aggregate"]
Reason = Literal["budget", "memory", "abort", "trap", "answer"]

_BUDGET: Final = 10_000_000
_PAGE: Final = 65_536
_CAPACITY: Final = 4_096
# Instructions that a turn may have: far above what the limits let through, which charge for long turns.
_FUEL_A_TURN: Final = 4_096
_ADDRESS: Final = np.dtype("<u4")
_MAGIC: Final = b"\0asm\x01\0\0\0"
_VERSION: Final = 1
_CODES: Final[Mapping[Reason, str]] = {
    "budget": "ERR_TIMED_OUT",
    "memory": "ERR_NO_SPACE",
    "abort": "ERR_ARGUMENT",
    "trap": "ERR_ARGUMENT",
    "answer": "ERR_ARGUMENT",
}
_FORMATS: Final = {
    "i8": "i1",
    "u8": "u1",
    "bool": "?",
    "i16": "<i2",
    "u16": "<u2",
    "i32": "<i4",
    "u32": "<u4",
    "i64": "<i8",
    "u64": "<u8",
    "f32": "<f4",
    "f64": "<f8",
}


class KernelError(TailraceError):
    """A kernel has ended: its budget was used up, it wanted more memory than it may have, it called abort, the engine
    stopped it, or its answer makes no sense.
    """

    def __init__(self, message: str, kernel: str, reason: Reason, record: int | None = None) -> None:
        super().__init__(message, _CODES[reason])
        self.kernel = kernel
        self.reason = reason
        self.record = record
        """Index of the record in its batch, where that is known."""


@dataclass(frozen=True)
class KernelCounters:
    """What a kernel has done."""

    batches: int = 0
    records: int = 0
    kept: int = 0
    nanoseconds: int = 0
    traps: int = 0
    """Times that it was ended; never more than 1."""
    turns: int = 0
    """Turns that it has used of all its budgets together."""


class Kernel:
    """A kernel that can run. Used by one thread at a time.

    Raises UnsupportedError without `wasmtime`, ArgumentError for a file that is no built kernel, KernelError when it
    ends while it starts.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        budget: int = _BUDGET,
        capacity: int = _CAPACITY,
    ) -> None:
        if not 1 <= budget < 2**31:
            raise ArgumentError(f"budget is {budget}; give a whole number from 1 to {2**31 - 1}")
        if not 1 <= capacity < 2**24:
            raise ArgumentError(f"capacity is {capacity}; give a number of records, at least 1")
        module = source if isinstance(source, bytes) else Path(source).read_bytes()
        about = _about(module)
        self.name: str = about["name"]
        self.kind: Kind = about["kind"]
        self.record: np.dtype[np.void] = _dtype(about["record"])
        """What it reads."""
        self.output: np.dtype[np.void] | None = None if about["output"] is None else _dtype(about["output"])
        """What it makes; a filter keeps what it reads."""
        self.capacity = capacity
        """Most records of a batch."""
        makes = self.output if self.kind != "filter" else None
        self._answer: np.dtype[Any] = _ADDRESS if makes is None else np.dtype((np.void, makes.itemsize))
        self._staging = int(about["pages"]) * _PAGE
        self._out = self._staging + _rounded(capacity * self.record.itemsize)
        pages = (self._out + _rounded(capacity * self._answer.itemsize)) // _PAGE
        self._budget = budget
        self._counters = KernelCounters()
        self._ended: KernelError | None = None
        self._engine = _Engine(module, pages, self.name)
        # Rows of plain bytes: numpy copies structures field by field, and not what is between the fields.
        self._rows: Array = self._engine.array(np.dtype((np.void, self.record.itemsize)), self._staging, capacity)
        self._answers: Array = self._engine.array(self._answer, self._out, capacity)

    @property
    def counters(self) -> KernelCounters:
        """What it has done."""
        return self._counters

    @property
    def ended(self) -> KernelError | None:
        """Why it has ended, if it has."""
        return self._ended

    def __repr__(self) -> str:
        return f"<Kernel {self.name}: {self.kind}>"

    def run(self, records: Batch | Array) -> Array:
        """What it keeps, or makes, of a batch of messages or of an array of `record`: an array of the caller's own.

        Raises KernelError when that ends it, ClosedError when it has ended before, CorruptError when a message is no
        record, TooLargeError for more records than `capacity`.
        """
        if self._ended is not None:
            raise ClosedError(f'the kernel "{self.name}" has ended: {self._ended}') from self._ended
        began = time.perf_counter_ns()
        count = len(records)
        if count > self.capacity:
            raise TooLargeError(f"{count} records for a kernel with room for {self.capacity}; give it more capacity")
        self._fill(records, count)
        if self.kind == "map":
            self._answers[:count] = np.zeros((), self._answer)
        kept = self._call(count) if count else 0
        found = self._found(kept, count)
        counters = self._counters
        self._counters = replace(
            counters,
            batches=counters.batches + 1,
            records=counters.records + count,
            kept=counters.kept + len(found),
            turns=counters.turns + self._budget - self._engine.budget,
            nanoseconds=counters.nanoseconds + time.perf_counter_ns() - began,
        )
        return found

    def _fill(self, records: Batch | Array, count: int) -> None:
        if not isinstance(records, Batch):
            if records.dtype != self.record:
                raise ArgumentError(f"these records are {records.dtype}; the kernel reads {self.record}")
            self._rows[:count] = np.ascontiguousarray(records).view(self._rows.dtype)
            return
        try:
            records.as_numpy(self._rows.dtype, out=self._rows)
        except ArgumentError as error:
            raise CorruptError(f'a message of the batch is no record of the kernel "{self.name}": {error}') from error

    def _call(self, count: int) -> int:
        engine = self._engine
        engine.budget = self._budget
        try:
            kept = engine.run(self._staging, count, self.record.itemsize, self._out, self._budget * _FUEL_A_TURN)
        except engine.failures as error:
            reason, what = engine.reason(error, self._budget)
            raise self._end(reason, what, engine.at) from error
        if kept > count:
            raise self._end("answer", f"it has kept {kept} of {count} records", None)
        return 1 if self.kind == "aggregate" else kept

    def _found(self, kept: int, count: int) -> Array:
        if self.kind != "filter":
            made: Array = self._answers[:kept].copy().view(self.output)
            return made
        indexes, rest = np.divmod(self._answers[:kept].astype(np.int64) - self._staging, self.record.itemsize)
        if rest.any() or (indexes < 0).any() or (indexes >= count).any():
            raise KernelError(
                f'the kernel "{self.name}" has kept a record at an address where there is none', self.name, "answer"
            )
        found: Array = self._rows[indexes].view(self.record)
        return found

    def _end(self, reason: Reason, what: str, record: int | None) -> KernelError:
        where = "" if record is None else f" at record {record} of the batch"
        self._ended = KernelError(f'the kernel "{self.name}" was ended{where}: {what}', self.name, reason, record)
        self._counters = replace(self._counters, traps=1)
        return self._ended


class _Engine:
    """The part of wasmtime that is used here."""

    def __init__(self, module: bytes, pages: int, name: str) -> None:
        try:
            import wasmtime
        except ImportError as error:
            raise UnsupportedError(
                "kernels need the package wasmtime (50 or newer), which could not be loaded"
            ) from error
        self.failures = (wasmtime.Trap, wasmtime.WasmtimeError, _AbortedError)
        config = wasmtime.Config()
        config.consume_fuel = True
        config.shared_memory = False
        engine = wasmtime.Engine(config)
        self._store = store = wasmtime.Store(engine)
        self._memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(pages, pages)))
        linker = wasmtime.Linker(engine)
        i32 = wasmtime.ValType.i32()
        linker.define(store, "env", "memory", self._memory)
        linker.define_func("env", "abort", wasmtime.FuncType([i32] * 4, []), self._abort)
        store.set_fuel(_BUDGET * _FUEL_A_TURN)
        try:
            instance = linker.instantiate(store, wasmtime.Module(engine, module))
            exports = instance.exports(store)
            self._run: Any = exports["run"]
            self._budget: Any = exports["tailrace.budget"]
            self._refused: Any = exports["tailrace.refused"]
            self._at: Any = exports.get("at")
        except (wasmtime.Trap, _AbortedError) as error:
            what = f'the kernel "{name}" could not be started: {error}'
            raise KernelError(what, name, "abort" if isinstance(error, _AbortedError) else "trap") from error
        except (wasmtime.WasmtimeError, KeyError) as error:
            raise ArgumentError(f"this is no kernel: {error}; build it with tailrace kernel build") from error

    def array(self, dtype: np.dtype[Any], start: int, count: int) -> Array:
        """A part of the memory; the memory lives as long as the engine, and never moves."""
        part = self._memory.get_buffer_ptr(self._store, count * dtype.itemsize, start)
        array: Array = np.ndarray((count,), dtype, memoryview(part).cast("B"))
        return array

    @property
    def budget(self) -> int:
        """What is left; setting it forgets what was refused."""
        return int(self._budget.value(self._store))

    @budget.setter
    def budget(self, turns: int) -> None:
        self._budget.set_value(self._store, turns)
        self._refused.set_value(self._store, 0)

    @property
    def at(self) -> int | None:
        """Index of the record that it was at."""
        at = -1 if self._at is None else int(self._at.value(self._store))
        return at if at >= 0 else None

    def run(self, pointer: int, count: int, stride: int, out: int, fuel: int) -> int:
        """One call."""
        self._store.set_fuel(fuel)
        return int(self._run(self._store, pointer, count, stride, out)) & 0xFFFF_FFFF

    def reason(self, error: BaseException, budget: int) -> tuple[Reason, str]:
        """Why it failed."""
        if isinstance(error, _AbortedError):
            return "abort", str(error)
        if self.budget < 0 or "all fuel consumed" in str(error):
            return "budget", f"it has used up its budget of {budget} turns"
        if self._refused.value(self._store) != 0:
            return "memory", "it wanted more memory than it may have (memoryBytes)"
        return "trap", getattr(error, "message", str(error)).strip().splitlines()[-1].strip()

    def _abort(self, message: int, file: int, line: int, column: int) -> None:
        raise _AbortedError(f"abort: {self._text(message)} at {self._text(file)}:{line}:{column}")

    def _text(self, address: int) -> str:
        """A string of AssemblyScript: UTF-16, its bytes four bytes before it."""
        memory, size = self._memory, self._memory.data_len(self._store)
        start = address & 0xFFFF_FFFF
        if not 4 <= start <= size:
            return ""
        length = int.from_bytes(memory.read(self._store, start - 4, start), "little")
        return memory.read(self._store, start, min(start + length, size)).decode("utf-16-le", "replace")


class _AbortedError(Exception):
    """The kernel called abort."""


def _rounded(length: int) -> int:
    return -(-length // _PAGE) * _PAGE


def _about(module: bytes) -> dict[str, Any]:
    """What a built kernel says of itself."""
    words = _section(module, "tailrace.kernel")
    try:
        about: dict[str, Any] = json.loads(words)
        if about["version"] == _VERSION and about["kind"] in ("filter", "map", "aggregate"):
            return about
    except (ValueError, TypeError, KeyError):
        pass
    raise ArgumentError("this is no built kernel, or one of another version; build it with tailrace kernel build")


def _section(module: bytes, wanted: str) -> bytes:
    """The content of a custom section: number u8, length, name with its length, content; lengths are LEB128."""
    at = len(_MAGIC)
    try:
        while module.startswith(_MAGIC) and at < len(module):
            number = module[at]
            length, start = _leb(module, at + 1)
            at = start + length
            if number == 0:
                name_length, name = _leb(module, start)
                if module[name : name + name_length] == wanted.encode():
                    return module[name + name_length : at]
    except IndexError:
        pass
    return b""


def _leb(module: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (module[at] & 0x7F) << shift
        shift += 7
        at += 1
        if module[at - 1] < 0x80:
            return value, at


def _dtype(struct: Mapping[str, Any]) -> np.dtype[np.void]:
    """The dtype of a struct as the file has it."""
    fields = struct["fields"]
    formats: list[Any] = []
    for field in fields:
        kind, size = field["kind"], field["size"]
        formats.append(_FORMATS.get(kind) or (f"S{size}" if kind == "text" else ("u1", (size,))))
    return np.dtype(
        {
            "names": [field["name"] for field in fields],
            "formats": formats,
            "offsets": [field["offset"] for field in fields],
            "itemsize": struct["size"],
        }
    )
