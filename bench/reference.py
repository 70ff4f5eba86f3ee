"""The measuring scripts that are not part of the repository, and running them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.shared import shared_root


def script(name: str) -> Path:
    """A script of the reference material's `tools/load`; ends the bench with one sentence when it is absent."""
    path = shared_root() / "tools" / "load" / name
    if not path.is_file():
        raise SystemExit(f"This bench needs {name} of the reference material: set RALEX_SHARED to its directory.")
    return path


def measured(name: str, *arguments: str) -> dict[str, Any]:
    """Run a script and return the JSON object on the last line it prints."""
    run = subprocess.run(
        [sys.executable, str(script(name)), *arguments], check=False, capture_output=True, text=True, timeout=900
    )
    if run.returncode != 0:
        raise SystemExit(f"{name} failed:\n{run.stderr.strip()}")
    return json.loads(run.stdout.strip().splitlines()[-1])
