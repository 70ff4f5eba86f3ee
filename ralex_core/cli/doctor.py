"""`ralex-monitor doctor`: is everything as it should be, and what to do where it is not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ralex_core.cli.options import HomeOption, JsonOption
from ralex_core.cli.output import console, print_json

if TYPE_CHECKING:
    from ralex_core.cli.checks import Check

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


def doctor(json: JsonOption = False, home: HomeOption = None) -> None:
    """Check that everything is as it should be, and say what to do.

    Looks at the data directory, the disk, the server, both stores, the price list, the clock and the assistants' logs.
    Exits with 1 when a check fails.
    """
    del home
    from ralex_core.cli.checks import run_checks
    from ralex_core.cli.remote import running_server
    from ralex_core.clock import SystemClock
    from ralex_core.config import load_settings

    settings = load_settings()
    found: list[Check] = []
    server = running_server(settings)
    try:
        for check in run_checks(settings, server, SystemClock()):
            found.append(check)
            if not json:
                _show(check)
    finally:
        if server is not None:
            server.close()
    if json:
        print_json({"checks": [asdict(check) for check in found]})
    if any(check.verdict == "fail" for check in found):
        raise typer.Exit(1)


def _show(check: Check) -> None:
    from rich.text import Text

    out = console()
    out.print(Text.assemble(_MARKS[check.verdict], f" {check.name:<16} {check.found}"))
    if check.advice:
        out.print(Text.assemble(" " * 19, (check.advice, "bold")))
