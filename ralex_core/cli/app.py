"""The commands by name, and what happens when one fails."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ralex_core import __version__
from ralex_core.cli import backup, books, budget, costs, doctor, imports, serve, simulate, status, top, trash
from ralex_core.cli.output import say_error
from ralex_core.errors import RalexError
from ralex_core.private_files import make_everything_private

EXIT_ERROR = 1
"""A command could not do its work. 0 is success, 2 a mistyped command or option."""


class Commands(TyperGroup):
    """The command group. An error raised on purpose is one sentence and exit code 1; others keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RalexError as error:
            say_error(str(error))
            raise typer.Exit(EXIT_ERROR) from error


app = typer.Typer(
    name="ralex-monitor",
    cls=Commands,
    help="Self-hosted monitor for AI coding assistants: cost, speed and usage, live.",
    epilog="Exit codes: 0 done, 1 it could not be done (one sentence on standard error says why), 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ralex-monitor {__version__}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction] - registered by the decorator
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    del version
    make_everything_private()


app.command("serve")(serve.serve)
app.command("import")(imports.import_logs)
app.command("status")(status.status)
app.command("costs")(costs.costs)
app.command("top")(top.top)
app.add_typer(budget.commands, name="budget")
app.command("reconcile")(books.reconcile)
app.command("reprice")(books.reprice)
app.command("doctor")(doctor.doctor)
app.command("simulate")(simulate.simulate)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.add_typer(trash.commands, name="trash")


def main() -> None:
    """Entry point of `ralex-monitor`."""
    app()
