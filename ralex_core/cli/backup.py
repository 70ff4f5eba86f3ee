"""`ralex-monitor backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ralex_core.cli.options import HomeOption, JsonOption
from ralex_core.cli.output import console, error_console, print_json


def backup(
    file: Annotated[Path, typer.Argument(help="Archive to write; it must not exist.", show_default=False)],
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write one consistent archive, also while the server runs.

    It holds both stores, config.toml and prices.toml.
    """
    del home
    from ralex_core.cli.remote import running_server
    from ralex_core.config import load_settings
    from ralex_core.storage.backup import as_json, describe
    from ralex_core.storage.backup import backup as write_backup

    settings, target = load_settings(), file.expanduser().absolute()
    with error_console().status("Writing the backup …"):
        server = running_server(settings)
        if server is None:
            report = write_backup(settings, target)
        else:
            server.download("/api/v1/backup", target)
            report = describe(target)
    if json:
        print_json(as_json(report))
        return
    span = f", {report.first_at} to {report.last_at}" if report.first_at else ""
    console().print(f"{report.path}: {report.operations:,} operations{span}, {report.bytes / 1e6:,.1f} MB")


def restore(
    file: Annotated[Path, typer.Argument(help="Archive written by `backup`.", show_default=False)],
    force: Annotated[
        bool, typer.Option("--force", help="Restore over existing data; what was there is moved aside, not deleted.")
    ] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Put a backup in place, with the server stopped."""
    del home
    from ralex_core.cli.remote import running_server
    from ralex_core.config import load_settings
    from ralex_core.errors import StoreLocked
    from ralex_core.storage.backup import as_json
    from ralex_core.storage.backup import restore as read_backup

    settings = load_settings()
    server = running_server(settings)
    if server is not None:
        raise StoreLocked(f"The server at {server.url} uses {settings.home}. Stop it, then restore.")
    with error_console().status("Restoring …"):
        report = read_backup(settings, file.expanduser().absolute(), force)
    if json:
        print_json(as_json(report))
        return
    console().print(f"{report.home}: {report.operations:,} operations, as of {report.created_at}")
    if report.kept:
        console().print(f"What was there before is kept in {report.kept}")
