"""`ralex-monitor reconcile` and `ralex-monitor reprice`: bills from the provider, and corrected prices for the past."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ralex_core.cli.options import HomeOption, JsonOption
from ralex_core.cli.output import console, error_console, print_json

if TYPE_CHECKING:
    from collections.abc import Generator

    from ralex_core.cli.remote import RunningServer
    from ralex_core.config import Settings
    from ralex_core.monitoring.books.keeper import BooksKeeper

RECONCILIATIONS = "/api/v1/costs/reconciliations"
ASK_EVERY_S = 0.5


def reconcile(
    days: Annotated[
        int | None, typer.Option(min=1, max=30, metavar="N", help="Days back that calls without a bill are looked up.")
    ] = None,
    lookups: Annotated[
        int | None, typer.Option(min=1, max=100_000, metavar="N", help="Most calls that are looked up.")
    ] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Fetch the bills of calls through OpenRouter, and compare its sums with what is stored.

    Needs a key: RALEX_MONITOR_OPENROUTER__KEY, and RALEX_MONITOR_OPENROUTER__MANAGEMENT_KEY for whole days.
    A run that is interrupted goes on with the next one.
    """
    del home
    from ralex_core.cli.remote import running_server
    from ralex_core.config import load_settings
    from ralex_core.errors import RalexError

    settings = load_settings()
    server = running_server(settings)
    with error_console().status("Asking OpenRouter"):
        found = _here(settings, days, lookups) if server is None else _there(server, days, lookups)
    if json:
        print_json(found)
    else:
        _show_run(found)
    if found["state"] != "done":
        if json:
            raise typer.Exit(1)
        raise RalexError(f"The reconciliation was {found['state']}: {found['message']}")


def _there(server: RunningServer, days: int | None, lookups: int | None) -> dict[str, Any]:
    """Let the server do it, and wait for its end."""
    from time import sleep

    run = server.post(RECONCILIATIONS, {"days": days, "lookups": lookups, "trigger": "cli"})
    while run["state"] == "running":
        sleep(ASK_EVERY_S)
        run = server.get(f"{RECONCILIATIONS}/{run['id']}")
    return run


def _here(settings: Settings, days: int | None, lookups: int | None) -> dict[str, Any]:
    from dataclasses import asdict

    from ralex_core.dashboard.reconciliations import reconciliation_view

    with _keeper(settings) as keeper:
        run = keeper.reconcile_now("cli", days=days, lookups=lookups)
        return asdict(reconciliation_view(run, keeper.stored.findings(run.id)))


@contextmanager
def _keeper(settings: Settings) -> Generator[BooksKeeper]:
    """The books of the stores, owned by this process."""
    from ralex_core.clock import SystemClock
    from ralex_core.monitoring.books.keeper import BooksKeeper
    from ralex_core.pricing.book import PriceBook
    from ralex_core.runtime.direct import open_stores
    from ralex_core.selfmetrics import SelfMetrics

    with open_stores(settings) as stores:
        yield BooksKeeper(
            settings,
            state=stores.state,
            store=stores.data.store,
            writer=stores.data.writer,
            book=PriceBook(settings),
            clock=SystemClock(),
            metrics=SelfMetrics(),
        )


def _show_run(found: dict[str, Any]) -> None:
    from rich.table import Table

    out = console()
    out.print(
        f"{found['looked_up']:,} calls looked up: {found['billed']:,} billed, {found['not_found']:,} not known there, "
        f"{found['unclear']:,} unclear; {found['remaining']:,} wait for a later run"
    )
    if found["billed"]:
        out.print(f"Their cost was {_usd(found['before_usd'])} and is {_usd(found['after_usd'])}")
    rows = [row for row in found["findings"] if not row["model"] or row["state"] != "agrees"]
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for title, number in (("UTC", 0), ("Model", 0), ("OpenRouter", 1), ("Stored", 1), ("Difference", 1), ("", 0)):
        table.add_column(title, justify="right" if number else "left")
    for row in rows:
        table.add_row(
            row["period"],
            row["model"] or "all",
            _usd(row["theirs_usd"]),
            _usd(row["ours_usd"]),
            _usd(row["difference_usd"]),
            row["state"] if row["state"] == row["explanation"] else f"{row['state']}: {row['explanation']}",
        )
    out.print(table)


def reprice(
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="ISO-8601; default: from the first call on.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="ISO-8601; default: to the last call.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="MODEL", help="Only this model, as operations name it.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Change it. Without: only tell what would change.")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit log.")] = "",
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Price stored calls again with the price book of now: first what would change, then with --apply the change.

    Claims stay as they are; the computed one is made anew, and with it cost, basis and quarantine are decided again.
    """
    del home
    from ralex_core.cli.remote import running_server
    from ralex_core.config import load_settings

    settings = load_settings()
    server = running_server(settings)
    asked: dict[str, Any] = {"apply": apply, "from": start, "to": end, "model": model, "by": _who(), "reason": reason}
    found = _repriced(settings, asked) if server is None else server.post("/api/v1/costs/reprice", asked)
    if json:
        print_json(found)
    else:
        _show_repricing(found)


def _who() -> str:
    try:
        return f"cli: {getpass.getuser()}"[:100]
    except (KeyError, OSError):
        return "cli"


def _repriced(settings: Settings, asked: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    from ralex_core.dashboard.params import read_moment
    from ralex_core.dashboard.reconciliations import repricing_view
    from ralex_core.errors import ConfigError
    from ralex_core.model.window import Window
    from ralex_core.zone import zone_of

    zone, _ = zone_of(settings)
    start = read_moment("from", asked["from"], zone) if asked["from"] else 0
    end = read_moment("to", asked["to"], zone) if asked["to"] else 1 << 62
    if end <= start:
        raise ConfigError("--to must be later than --from.")
    with _keeper(settings) as keeper:
        window = Window(start, min(end, _LATEST_US))
        if asked["apply"]:
            made = keeper.reprice(window, asked["model"], by=asked["by"], reason=asked["reason"])
        else:
            made = keeper.preview(window, asked["model"])
    return asdict(repricing_view(made))


_LATEST_US = 4_102_444_800_000_000


def _show_repricing(found: dict[str, Any]) -> None:
    from rich.table import Table

    out = console()
    if not found["examined_calls"]:
        out.print("No stored call to price: none is in this time, or none of this model.")
        return
    verb = "were" if found["applied"] else "would be"
    out.print(
        f"{found['changed_calls']:,} of {found['examined_calls']:,} calls {verb} priced differently: "
        f"{_usd(found['before_usd'])} in all before, {_usd(found['after_usd'])} after"
    )
    if found["models"]:
        table = Table(box=None, pad_edge=False)
        for title, number in (("Model", 0), ("Provider", 0), ("Calls", 1), ("Before", 1), ("After", 1)):
            table.add_column(title, justify="right" if number else "left")
        for row in found["models"]:
            table.add_row(
                row["model"] or "not known",
                row["provider"] or "",
                f"{row['calls']:,}",
                _usd(row["before_usd"]),
                _usd(row["after_usd"]),
            )
        out.print(table)
    if found["changed_calls"] and not found["applied"]:
        out.print("Nothing was changed. To change it: ralex-monitor reprice --apply")


def _usd(amount: Decimal | str) -> str:
    from ralex_core.model.money import format_usd

    return format_usd(Decimal(amount))
