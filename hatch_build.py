"""Compiles `ralex_core/collection/csrc` while the package is built, where there is a C compiler; it is optional.

Without one the wheel is of Python alone and works the same, with slower instruments. RALEX_MONITOR_PURE_PYTHON=1 asks
for that.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "ralex_core.collection._compiled"
SOURCES = Path("ralex_core", "collection", "csrc")


class CompileHook(BuildHookInterface[Any]):
    """Of wheels, editable ones included: those find the module beside its Python neighbours."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not _is_possible():
            return
        path = _compile(Path(self.root))
        if path is None:
            self.app.display_warning("No C compiler that works was found: the instruments will be Python alone.")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(path.as_posix())


def _is_possible() -> bool:
    """Written for CPython with its lock, and for the clock its `monotonic` reads on Linux."""
    return (
        os.environ.get("RALEX_MONITOR_PURE_PYTHON") != "1"
        and sys.implementation.name == "cpython"
        and sys.platform == "linux"
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
    )


def _compile(root: Path) -> Path | None:
    """Where the module was put, below `root`; None when that failed, with the compiler's own words on the terminal."""
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    sources = sorted(str(SOURCES / path.name) for path in (root / SOURCES).glob("*.c"))
    headers = sorted(str(SOURCES / path.name) for path in (root / SOURCES).glob("*.h"))
    extension = Extension(NAME, sources, depends=headers, extra_compile_args=["-O2", "-g0"])
    before = Path.cwd()
    os.chdir(root)
    try:
        command = build_ext(Distribution({"name": "ralex-monitor", "ext_modules": [extension]}))
        command.inplace = True
        command.build_temp = str(Path("build", "csrc"))
        command.ensure_finalized()
        command.run()
        return Path(command.get_ext_fullpath(NAME)).resolve().relative_to(root.resolve())
    except Exception as error:  # it is optional: whatever a compiler does must not stop the installation
        sys.stderr.write(f"{error}\n")
        return None
    finally:
        os.chdir(before)
