"""Native library: puts `libtailrace_native.so` into the wheel, and says for which platform it was built.

The library is built by cargo from the folder above and copied beside the package's modules (`npm run build`, or this
hook when it is not there yet). It speaks plain C through ctypes, so one wheel serves every Python 3 of the platform.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "libtailrace_native.so"


class NativeLibrary(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        library = Path(self.root, "src", "tailrace", NAME)
        if not library.exists():
            self._build(library)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        if version != "editable":
            build_data["force_include"][str(library)] = f"tailrace/{NAME}"

    def _build(self, library: Path) -> None:
        workspace = Path(self.root).parent
        if not (workspace / "Cargo.lock").exists() or shutil.which("cargo") is None:
            raise SystemExit(f"{NAME} is missing: build in the repository, where cargo can make it.")
        subprocess.run(
            ["cargo", "build", "--release", "--locked", "-p", "tailrace-native"],
            cwd=workspace,
            check=True,
        )
        shutil.copyfile(workspace / "target" / "release" / NAME, library)
