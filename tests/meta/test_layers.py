"""The direction of imports, as `pyproject.toml` draws it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.repository import ROOT

PACKAGE = ROOT / "ralex_core"
OUTSIDE_THE_LAYERS = {"__init__", "__main__"}


def test_no_module_imports_from_a_layer_above_its_own() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_module_has_a_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    placed = {name.strip().removeprefix("ralex_core.") for layer in layers for name in layer.split("|")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    assert modules - OUTSIDE_THE_LAYERS - placed == set()
