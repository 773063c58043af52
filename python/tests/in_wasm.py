"""In WebAssembly: the modules of bindings/wasm in wasmtime, each instance in a memory of its own."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import wasmtime

FOLDER = Path(__file__).resolve().parents[2] / "bindings" / "wasm"
PAGE_BYTES = 64 * 1024
# As in sdk/wasm/plan.ts: constants, then stack and thread block, then the heap.
HOME = 128 * 1024
STACK_BYTES = 60 * 1024
THREAD_BYTES = 4 * 1024
PAGES = 8
PAGES_MAX = 65_536


class _Shared(wasmtime.SharedMemory):
    """A shared memory that can be imported: wasmtime 50.0.1 hands over a pointer too many."""

    def _as_extern(self) -> Any:
        if version("wasmtime") != "50.0.1":
            return super()._as_extern()
        ffi = wasmtime._ffi
        union = ffi.wasmtime_extern_union(sharedmemory=self.ptr())
        return ffi.wasmtime_extern_t(ffi.WASMTIME_EXTERN_SHAREDMEMORY, union)


class Module:
    """One instance."""

    def __init__(self, name: str) -> None:
        config = wasmtime.Config()
        config.wasm_threads = True
        config.shared_memory = True
        engine = wasmtime.Engine(config)
        self._store = store = wasmtime.Store(engine)
        limits = wasmtime.Limits(PAGES, PAGES_MAX)
        self._memory = _Shared(engine, wasmtime.MemoryType(limits, shared=True))
        linker = wasmtime.Linker(engine)
        linker.define(store, "env", "memory", self._memory)
        number = wasmtime.FuncType([], [wasmtime.ValType.f64()])
        clocks: dict[str, Callable[[], float]] = {
            "now": lambda: time.time() * 1e3,
            "monotonic": lambda: time.monotonic() * 1e3,
        }
        for clock, read in clocks.items():
            linker.define_func("env", clock, number, read)
        module = wasmtime.Module(engine, (FOLDER / f"{name}.wasm").read_bytes())
        self._exports = linker.instantiate(store, module).exports(store)
        heap = HOME + STACK_BYTES + THREAD_BYTES
        pointer: Any = self._exports["__stack_pointer"]
        pointer.set_value(store, wasmtime.Val.i32(HOME + STACK_BYTES))
        self.call("__wasm_init_tls", HOME + STACK_BYTES)
        self.call("start", heap, PAGES * PAGE_BYTES, 1)
        self._desk = self.call("desk")

    def call(self, name: str, *arguments: int) -> int:
        """Calls a function of the module; what it answers, unsigned where it is no code."""
        function: Any = self._exports[name]
        return function(self._store, *arguments) or 0

    def put(self, data: bytes, room: int = 0) -> int:
        """Memory of the module with these bytes at its beginning; its address."""
        at = self.call("allocate", max(len(data), room, 1)) & 0xFFFF_FFFF
        assert at != 0
        ctypes.memmove(self._at(at), data, len(data))
        return at

    def get(self, at: int, length: int) -> bytes:
        """Bytes of the memory."""
        return ctypes.string_at(self._at(at), length)

    def _at(self, at: int) -> int:
        address = ctypes.cast(self._memory.data_ptr(), ctypes.c_void_p).value
        assert address is not None
        return address + at

    @property
    def number(self) -> int:
        """What the last call left."""
        return int(ctypes.c_double.from_address(self._at(self._desk)).value)

    @property
    def count(self) -> int:
        """The bytes that the last call left."""
        return ctypes.c_uint32.from_address(self._at(self._desk + 8)).value
