"""`ralex-monitor trash`: what was removed in the last week, and how to have it back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ralex_core.cli.options import HomeOption, JsonOption
from ralex_core.cli.output import console, print_json

commands = typer.Typer(
    help="What was removed in the last week.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@commands.command("list")
def list_removals(json: JsonOption = False, home: HomeOption = None) -> None:
    """List what retention removed and damaged files that were set aside."""
    del home
    from ralex_core.config import load_settings
    from ralex_core.storage.trash import Trash

    trash = Trash(load_settings().home)
    found = trash.removals()
    if json:
        print_json({"trash": [_as_json(one.name, one.kind, one.note, one.bytes, one.removed_at) for one in found]})
        return
    if not found:
        console().print(f"{trash.directory} is empty.")
    for one in found:
        console().print(f"{one.name}  {one.bytes / 1e6:,.1f} MB", style="bold", markup=False, highlight=False)
        console().print(f"  {one.note}", markup=False, highlight=False)


def _as_json(name: str, kind: str, note: str, size: int, removed_at: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "note": note, "bytes": size, "removed_at": removed_at}


@commands.command("restore")
def restore(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A removal as `trash list` names it.")],
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Store again what retention removed, with the server stopped.

    What retention removed after it comes back, too. Operations that are stored already change nothing.
    """
    del home
    from ralex_core.config import load_settings
    from ralex_core.storage.trash_restore import take_back

    taken = take_back(load_settings(), name)
    if json:
        print_json({"restored": taken.names, "operations": taken.operations})
        return
    console().print(f"{taken.operations:,} operations stored again from {', '.join(taken.names)}")
