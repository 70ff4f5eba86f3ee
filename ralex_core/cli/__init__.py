"""The command line, `ralex-monitor`: one file per command group, which reads options, calls and shows; nothing else.

Imports that cost time stand inside the commands, so that `--help` and a mistyped option answer at once.
"""

from ralex_core.cli.app import app, main

__all__ = ["app", "main"]
