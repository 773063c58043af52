"""Native library: builds `libtailrace_native.so`, puts it into the wheel, and says for which platform that is.

The library speaks plain C through ctypes, so one wheel serves every Python 3 of the platform. A checkout needs no copy
beside the modules: there the package finds the library where cargo left it.
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
    """The build hook that `pyproject.toml` names."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the library; an editable install needs none."""
        if version == "editable":
            return
        workspace = Path(self.root).parent
        if not (workspace / "Cargo.lock").exists() or shutil.which("cargo") is None:
            raise SystemExit(f"{NAME} is made by cargo: build the wheel in a checkout, on a machine with Rust.")
        command = ["cargo", "build", "--release", "--locked", "--target-dir", "target", "-p", "tailrace-native"]
        subprocess.run(command, cwd=workspace, check=True)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["force_include"][str(workspace / "target" / "release" / NAME)] = f"tailrace/{NAME}"
