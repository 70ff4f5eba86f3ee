"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def _use_home(value: Path | None) -> Path | None:
    """The data directory holds config.toml, so it must be known before settings are read: set the variable."""
    if value is not None:
        os.environ["RALEX_MONITOR_HOME"] = str(value)
    return value


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Data directory. Default: $RALEX_MONITOR_HOME, else ~/.ralex-monitor.",
        callback=_use_home,
        is_eager=True,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
