"""A statement as a table: a row per model, a row per day, and the total."""

from __future__ import annotations

from ralex_core.dashboard.contexts.books import StatementView, SumsView
from ralex_core.dashboard.csv_text import Cell, csv_text

_HEADER = (
    "row",
    "period",
    "days_of",
    "date",
    "provider",
    "model",
    "calls",
    "coverage_ratio",
    "calls_billed",
    "calls_computed",
    "calls_reported",
    "calls_unknown",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "billed_usd",
    "computed_usd",
    "reported_usd",
    "billed_minus_computed_usd",
    "billed_compared_calls",
    "reported_minus_computed_usd",
    "reported_compared_calls",
    "quarantined_claims",
    "quarantined_usd",
    "state",
    "unexplained_usd",
    "explanations",
)


def statement_csv(shown: StatementView) -> str:
    """The statement as CSV text; money with every digit."""
    rows: list[list[Cell]] = []
    for line in shown.lines:
        why = "; ".join(f"{one.witness}, {one.calls} calls: {one.sentence}" for one in line.explanations)
        told: list[Cell] = [line.state, line.unexplained_usd, why]
        rows.append([*_place(shown, "model"), None, line.provider, line.model, *_figures(line.sums), *told])
    rows += [[*_place(shown, "day"), day.date, None, None, *_figures(day.sums), *_NOTHING] for day in shown.days]
    total: list[Cell] = [None, shown.unexplained_usd, None]
    rows.append([*_place(shown, "total"), None, None, None, *_figures(shown.total), *total])
    return csv_text(_HEADER, rows)


_NOTHING: list[Cell] = [None, None, None]


def _place(shown: StatementView, row: str) -> list[Cell]:
    return [row, shown.label, shown.timezone]


def _figures(sums: SumsView) -> list[Cell]:
    return [
        sums.calls,
        sums.coverage_ratio,
        *(sums.basis[name] for name in ("billed", "computed", "reported", "unknown")),
        sums.input_tokens,
        sums.cache_read_tokens,
        sums.cache_write_tokens,
        sums.output_tokens,
        sums.reasoning_tokens,
        sums.cost_usd,
        sums.billed_usd,
        sums.computed_usd,
        sums.reported_usd,
        sums.billed_minus_computed.difference_usd,
        sums.billed_minus_computed.calls,
        sums.reported_minus_computed.difference_usd,
        sums.reported_minus_computed.calls,
        sums.quarantined_claims,
        sums.quarantined_usd,
    ]
