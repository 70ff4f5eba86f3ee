"""The plain object of `ralex-monitor status --json` and `GET /api/v1/status`: names that scripts rely on."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from ralex_core.model.money import decimal_text
from ralex_core.storage.queries.totals import StatusTotals, status_totals


def status_document(totals: StatusTotals) -> dict[str, Any]:
    """Totals as scripts read them: money as decimal strings, the coverage None when nothing was billable."""
    return {
        "operations": totals.operations,
        "llm_operations": totals.llm_operations,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "cost": {
            "reported_usd": decimal_text(totals.reported_usd),
            "computed_usd": decimal_text(totals.computed_usd),
            "billed_usd": decimal_text(totals.billed_usd),
            "total_usd": decimal_text(totals.total_usd),
            "coverage_ratio": totals.coverage_ratio,
        },
        "quarantined_claims": {
            "count": totals.quarantined_count,
            "usd": decimal_text(totals.quarantined_usd),
        },
    }


def stored_status(path: Path) -> dict[str, Any]:
    """The same, read from a telemetry file that no process holds; a file that is not there holds nothing.

    Raises:
        StoreError: the file cannot be read (StoreLocked when another process owns it).
    """
    if not path.exists():
        nothing = Decimal(0)
        return status_document(StatusTotals(0, 0, 0, 0, nothing, nothing, nothing, nothing, None, 0, nothing))
    from ralex_core.storage.duckdb_store import DuckDBStore

    store = DuckDBStore(path)
    try:
        return status_document(status_totals(store))
    finally:
        store.close()
