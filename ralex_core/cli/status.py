"""`ralex-monitor status`: everything that is stored, in one glance."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ralex_core.cli.options import HomeOption, JsonOption
from ralex_core.cli.output import console, print_json


def status(json: JsonOption = False, home: HomeOption = None) -> None:
    """Show operations, tokens and cost of all that is stored."""
    del home
    from ralex_core.cli.remote import running_server
    from ralex_core.config import load_settings
    from ralex_core.storage.status import stored_status

    settings = load_settings()
    server = running_server(settings)
    found: dict[str, Any] = stored_status(settings.telemetry_path) if server is None else server.get("/api/v1/status")
    if json:
        print_json(found)
        return
    _show(found, str(settings.home), server.url if server else None)


def _show(found: dict[str, Any], home: str, url: str | None) -> None:
    from rich.table import Table

    from ralex_core.model.money import format_usd

    cost, quarantined = found["cost"], found["quarantined_claims"]
    coverage = cost["coverage_ratio"]
    rows = [
        ("Operations", f"{found['operations']:,}"),
        ("Calls to models", f"{found['llm_operations']:,}"),
        ("Input tokens", f"{found['input_tokens']:,}"),
        ("Output tokens", f"{found['output_tokens']:,}"),
        ("Cost", format_usd(Decimal(cost["total_usd"]))),
        ("  billed", format_usd(Decimal(cost["billed_usd"]))),
        ("  computed", format_usd(Decimal(cost["computed_usd"]))),
        ("  reported", format_usd(Decimal(cost["reported_usd"]))),
        ("Coverage", "—" if coverage is None else f"{coverage:.1%} of calls have a known cost"),
        ("In quarantine", f"{quarantined['count']:,} claims, {format_usd(Decimal(quarantined['usd']))}"),
        ("Data directory", home),
        ("Server", url or "not running"),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows:
        table.add_row(name, value)
    console().print(table)
