"""`ralex-monitor costs`: what work cost and was worth, what would have cost less, and what it will have cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ralex_core.cli.options import HomeOption, JsonOption
from ralex_core.cli.output import console, print_json

if TYPE_CHECKING:
    from ralex_core.cli.remote import RunningServer
    from ralex_core.clock import Clock
    from ralex_core.config import Settings
    from ralex_core.pricing.book import PriceBook
    from ralex_core.storage.telemetry import Store

PERIODS = {"hourly": "1h", "daily": "24h", "weekly": "7d", "monthly": "30d", "all": "all"}
"""Option → range."""


def costs(
    period: Annotated[
        str | None,
        typer.Option(metavar="PERIOD", help="hourly, daily, weekly, monthly or all. Default: the shortest with data."),
    ] = None,
    by: Annotated[
        str,
        typer.Option(metavar="DIMENSION", help="tier, model, provider, operation, feature, user, session or project."),
    ] = "tier",
    baseline: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Model to compare with. Default: baseline_model.")
    ] = None,
    value: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="What work is worth: baseline, time_saved or explicit. Default: value_model."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows of the breakdown, up to 200.")] = 20,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show what work cost and was worth, what was paid for nothing, what would have cost less, and what the running
    day, week and month will have cost."""
    del home
    from urllib.parse import urlencode

    from ralex_core.cli.remote import running_server
    from ralex_core.config import load_settings

    if period is not None and period not in PERIODS:
        raise typer.BadParameter(f"{period!r} is not one of {', '.join(PERIODS)}.")
    chosen = {
        "range": PERIODS[period] if period else None,
        "by": by,
        "baseline": baseline,
        "value": value,
        "limit": str(limit),
    }
    query = [(name, text) for name, text in chosen.items() if text is not None]
    settings = load_settings()
    server = running_server(settings)
    found = _stored(settings, query) if server is None else _served(server, urlencode(query))
    if json:
        print_json(found)
    else:
        _show(found)


def _served(server: RunningServer, query: str) -> Any:
    from ralex_core.monitoring.spend_forecast import HORIZONS

    found = server.get(f"/api/v1/costs/report?{query}")
    return _with_forecasts(found, [server.get(f"/api/v1/costs/forecast?horizon={horizon}") for horizon in HORIZONS])


def _with_forecasts(found: dict[str, Any], forecasts: list[dict[str, Any]]) -> dict[str, Any]:
    """The report with forecasts. What became of earlier ones is a running server's to tell, so it is in neither."""
    kept_by_server = ("account", "past")
    told = [{name: value for name, value in one.items() if name not in kept_by_server} for one in forecasts]
    return {**found, "forecasts": told}


@dataclass(frozen=True)
class _File:
    """The stored data, as `dashboard.costs.Costs` asks for it."""

    settings: Settings
    clock: Clock
    book: PriceBook
    store: Store
    demo_active: bool = False

    def active_store(self) -> Store:
        return self.store


def _stored(settings: Settings, query: list[tuple[str, str]]) -> Any:
    """The same report, read from a telemetry file that no process holds.

    Raises:
        ConfigError: there is no such file.
    """
    import json
    from contextlib import closing

    from ralex_core.clock import SystemClock
    from ralex_core.dashboard.costs import MAX_ROWS, SHOWN_ROWS, Costs, read_asked
    from ralex_core.dashboard.forecasts import stored_forecast
    from ralex_core.dashboard.params import read_limit, read_view
    from ralex_core.dashboard.questions import Pool
    from ralex_core.errors import ConfigError
    from ralex_core.monitoring.spend_forecast import HORIZONS
    from ralex_core.pricing.book import PriceBook
    from ralex_core.render import to_json
    from ralex_core.storage.duckdb_store import DuckDBStore
    from ralex_core.storage.queries import extent
    from ralex_core.zone import zone_of

    if not settings.telemetry_path.exists():
        raise ConfigError(f"Nothing is stored in {settings.home} yet. Import a log first: ralex-monitor import")
    clock = SystemClock()
    with closing(DuckDBStore(settings.telemetry_path)) as store, closing(Pool()) as pool:
        now_us, (zone, zone_name) = clock.now_us(), zone_of(settings)
        view = read_view(query, now_us=now_us, zone=zone, extent=lambda: extent(store))
        panels = Costs(_File(settings, clock, PriceBook(settings), store), pool)
        report = panels.report(read_asked(view, query), read_limit(query, SHOWN_ROWS, MAX_ROWS))
        forecasts = [stored_forecast(store, horizon, now_us, zone, zone_name) for horizon in HORIZONS]
        return _with_forecasts(json.loads(to_json(report)), json.loads(to_json(forecasts)))


def _show(found: dict[str, Any]) -> None:
    out, worth = console(), found["breakdown"]["total"]["worth"]
    out.print(f"{found['roi']['proof']['sentence']}")
    if worth["calls"]:
        _show_report(found)
    else:
        out.print(f"No call to a model in this range ({found['range_label'].lower()}).")
    out.print()
    _show_forecasts(found["forecasts"])


def _show_report(found: dict[str, Any]) -> None:
    from ralex_core.render import count, percent, usd

    out, worth = console(), found["breakdown"]["total"]["worth"]
    out.print(
        f"{found['range_label']}: {usd(worth['cost_usd'])} for {count(worth['calls'])} calls, "
        f"{percent(worth['coverage_ratio'])} of known cost; {usd(worth['cost_per_success_usd'])} per success; "
        f"compared: {count(worth['matched'])} by task, {count(worth['same_usage'])} by tokens, "
        f"{count(worth['not_compared'])} not at all."
    )
    out.print()
    out.print(_spending(found))
    out.print()
    out.print(_roi(found))
    out.print()
    cache, lost = found["cache"], next(row for row in found["losses"] if row["key"] == "any")
    out.print(f"Paid for nothing: {usd(lost['cost_usd'])} in {count(lost['calls'])} calls.")
    saved = cache["reason"] or f"{usd(cache['saved_usd'])}; lost to misses, at most {usd(cache['lost_usd'])}"
    out.print(f"Caches saved: {saved}.")
    for saving in found["savings"]:
        out.print(f"Would have saved {usd(saving['saving_usd'])}: {saving['title']}. {saving['evidence']}")
    unknown = [row["label"] for row in found["breakdown"]["rows"] if row["worth"]["roi_ratio"] is None]
    if unknown:
        first = next(row for row in found["breakdown"]["rows"] if row["worth"]["roi_ratio"] is None)
        out.print(f"Value not known of {len(unknown)} rows; of {first['label']}: {first['worth']['roi_reason']}.")


def _spending(found: dict[str, Any]) -> Any:
    from rich.table import Table

    from ralex_core.render import count, percent, ratio, usd

    breakdown = found["breakdown"]
    table = Table(box=None, pad_edge=False)
    table.add_column(str(breakdown["by"]).capitalize(), no_wrap=True, overflow="ellipsis", min_width=18)
    for title in ("Cost", "Calls", "Per call", "Per success", "Value per $1", "Coverage"):
        table.add_column(title, justify="right", no_wrap=True)
    other = [breakdown["other"]] if breakdown["other"] else []
    for row in (*breakdown["rows"], *other, breakdown["total"]):
        worth = row["worth"]
        table.add_row(
            row["label"],
            usd(worth["cost_usd"] if worth["priced"] else None),
            count(worth["calls"]),
            usd(worth["cost_per_call_usd"]),
            usd(worth["cost_per_success_usd"]),
            ratio(worth["roi_ratio"]),
            percent(worth["coverage_ratio"]),
        )
    return table


def _roi(found: dict[str, Any]) -> Any:
    from rich.table import Table

    from ralex_core.render import count, ratio

    table = Table(box=None, pad_edge=False)
    for title in ("Tier", "Value per $1", "95 % from", "to", "Sessions"):
        table.add_column(title, justify="left" if title == "Tier" else "right", no_wrap=True)
    for row in (found["roi"]["total"], *found["roi"]["tiers"]):
        table.add_row(
            row["label"],
            ratio(row["worth"]["roi_ratio"]),
            ratio(row["low_ratio"]),
            ratio(row["high_ratio"]),
            count(row["sessions"]),
        )
    return table


def _show_forecasts(forecasts: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from ralex_core.render import usd

    out, table = console(), Table(box=None, pad_edge=False)
    for title in ("Running", "So far", "By its end", "95 % from", "to", "±15 %"):
        table.add_column(title, justify="left" if title == "Running" else "right", no_wrap=True)
    for one in forecasts:
        money = (one["so_far_usd"], one["mean_usd"], one["low_usd"], one["high_usd"])
        table.add_row(one["horizon"], *map(usd, money), "claimed" if one["claims_15"] else "—")
    out.print(table)
    claims: dict[str, list[str]] = {}
    for one in forecasts:
        claims.setdefault(one["claim"], []).append(one["horizon"].capitalize())
    for claim, horizons in claims.items():
        out.print(claim if len(claims) == 1 else f"{', '.join(horizons)}: {claim}")
