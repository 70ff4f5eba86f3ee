"""Where the reference material lies that tests and benches compare with, and what to do when it is not there.

`RALEX_SHARED` names the directory; without it, the directory `shared` beside the checkout is tried.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.repository import ROOT


def shared_root() -> Path:
    """The directory of reference material, which need not exist."""
    given = os.environ.get("RALEX_SHARED")
    return Path(given).expanduser() if given else ROOT.parent / "shared"


def shared_path(name: str) -> Path:
    """The file or directory `name` of the reference material; skips the test that asks when it is absent."""
    path = shared_root() / name
    if not path.exists():
        pytest.skip(f"needs {name} of the reference material: set RALEX_SHARED to its directory")
    return path
