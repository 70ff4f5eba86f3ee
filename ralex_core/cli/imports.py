"""`ralex-monitor import`: read an assistant's logs, here or through the running server."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ralex_core.cli.options import HomeOption, JsonOption
from ralex_core.cli.output import console, error_console, print_json

if TYPE_CHECKING:
    from ralex_core.collection.importers.base import Importer, ImportOptions
    from ralex_core.collection.importers.runner import Door, ImportReport, Progress
    from ralex_core.config import Settings
    from ralex_core.storage.state import StateStore


def import_logs(
    source: Annotated[
        str | None, typer.Argument(help="Which assistant wrote the logs. Without it: what there is on this machine.")
    ] = None,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Files or directories. Default: where that assistant writes."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="For tables: the column that holds a field. May be repeated."),
    ] = None,
    constant: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="For tables: a field that every row has in common. May be repeated."),
    ] = None,
    zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Zone of times that name none, such as Europe/Berlin.")
    ] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Import an assistant's logs.

    Importing again changes nothing; an import that was interrupted goes on where it stopped.
    Lines that cannot be read are counted, kept in the quarantine directory with their reason, and stop nothing.
    """
    del home
    from ralex_core.collection.importers.registry import importer_for
    from ralex_core.collection.importers.runner import run_import
    from ralex_core.config import load_settings

    settings = load_settings()
    if source is None:
        _show_sources(json)
        return
    importer = importer_for(source, _options(column, constant, zone or settings.timezone))
    found = _found(importer, paths)
    with _way_in(settings) as (door, state), _progress(importer.title) as show:
        report = run_import(
            importer, found, intake=door, state=state, quarantine_dir=settings.quarantine_dir, progress=show
        )
    if json:
        print_json(report.as_json())
    else:
        _show(importer.title, report)


def _options(column: list[str] | None, constant: list[str] | None, zone: str | None) -> ImportOptions:
    from zoneinfo import ZoneInfo

    from ralex_core.collection.importers.base import ImportOptions

    try:
        place = ZoneInfo(zone) if zone else None
    except (KeyError, ValueError, OSError):
        raise typer.BadParameter(f"{zone!r} is not a time zone such as Europe/Berlin.") from None
    return ImportOptions(place, _pairs(column), _pairs(constant))


def _pairs(given: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or ()]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise typer.BadParameter(f"{name + equals + value!r} is not of the form FIELD=…")
    return {name: value for name, _, value in pairs}


def _found(importer: Importer, paths: list[Path] | None) -> list[Path]:
    """What to read: the paths given, else the assistant's own places on this machine."""
    from ralex_core.collection.importers.base import Machine
    from ralex_core.errors import ConfigError

    if paths:
        return [path.expanduser().absolute() for path in paths]
    roots = importer.roots(Machine.current())
    there = [root for root in roots if root.exists()]
    if not there:
        looked = ", ".join(map(str, roots))
        where = f" in {looked}" if looked else ""
        raise ConfigError(
            f"No logs of {importer.title} found{where}. Name a file: ralex-monitor import {importer.name} FILE"
        )
    return there


@contextmanager
def _way_in(settings: Settings) -> Generator[tuple[Door, StateStore]]:
    """Where operations go: to the running server, else into the stores opened here. Cursors are shared either way."""
    from contextlib import closing

    from ralex_core.cli.remote import ServerDoor, running_server
    from ralex_core.collection.fingerprints import of_installation
    from ralex_core.collection.redaction import Redaction
    from ralex_core.runtime.direct import open_stores
    from ralex_core.storage.state import StateStore

    server = running_server(settings)
    if server is None:
        with open_stores(settings) as stores:
            yield stores.data.intake, stores.state
    else:
        redaction = Redaction(keep_text=settings.store_content, fingerprints=of_installation(settings.home))
        with closing(ServerDoor(server, redaction)) as door, closing(StateStore(settings.state_path)) as state:
            yield door, state


@contextmanager
def _progress(title: str) -> Generator[Callable[[Progress], None]]:
    """A bar on standard error; nothing where nobody looks."""
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    err = error_console()
    columns = (TextColumn("{task.fields[title]}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=None, title=escape(title))

        def show(progress: Progress) -> None:
            text = f"{progress.path.name}: {progress.report.imported:,} new"
            bar.update(task, description=escape(text), total=progress.bytes_total, completed=progress.bytes_done)

        yield show


def _show(title: str, report: ImportReport) -> None:
    out = console()
    out.print(
        f"{title}: {report.read:,} lines read, {report.imported:,} operations imported, "
        f"{report.duplicates:,} already there"
    )
    if report.expired:
        out.print(f"{report.expired:,} operations were not stored: they are older than what is kept (retention_days)")
    if report.rejected:
        kept = ", ".join(report.quarantine_files)
        out.print(f"{report.rejected:,} lines were not understood; they are kept, with the reason, in {kept}")
    for failure in report.failures:
        out.print(failure)


def _show_sources(json: bool) -> None:
    from ralex_core.collection.importers.base import Machine
    from ralex_core.collection.importers.registry import all_importers

    machine = Machine.current()
    sources = [
        {
            "source": importer.name,
            "title": importer.title,
            "reads": importer.reads,
            "found": [str(root) for root in importer.roots(machine) if root.exists()],
        }
        for importer in all_importers()
    ]
    if json:
        print_json({"sources": sources})
        return
    for source in sources:
        _show_source(source)


def _show_source(source: dict[str, Any]) -> None:
    out = console()
    found: Sequence[str] = source["found"]
    out.print(f"{source['source']:<14} {source['title']}", style="bold")
    out.print(f"{'':<14} {source['reads']}")
    for path in found:
        out.print(f"{'':<14} found: {path}")
