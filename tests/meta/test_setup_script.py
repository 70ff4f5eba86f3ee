"""What `make setup` says on a machine it cannot work on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.repository import ROOT


def test_an_old_python_gets_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    run = subprocess.run(
        [tmp_path / "scripts/setup.sh"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert run.stderr.strip().splitlines() == [
        f"Ralex Monitor needs Python 3.11 or newer, and {old} here is Python 3.9.2. "
        "Install one and run: make setup PYTHON=/path/to/python3.12"
    ]
    assert not (tmp_path / ".venv").exists()
