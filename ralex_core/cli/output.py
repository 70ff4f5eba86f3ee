"""What commands print: tables for people, one JSON object for scripts, one sentence for errors."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from ralex_core.model.money import decimal_text

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """Standard output, for people."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, markup=False)


def error_console() -> Console:
    """Standard error: progress and remarks, which never mix with what a script reads."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(document: object) -> None:
    """One JSON object on one line. Money (`Decimal`) becomes a decimal string."""
    typer.echo(json.dumps(document, default=_as_json, ensure_ascii=False))


def say_error(message: str) -> None:
    """An error as people read it: one sentence on standard error."""
    print(f"ralex-monitor: {message}", file=sys.stderr)


def _as_json(value: object) -> str | None:
    if isinstance(value, Decimal):
        return decimal_text(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
