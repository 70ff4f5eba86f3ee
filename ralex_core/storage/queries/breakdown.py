"""Questions whose answer is a ranking: per model, tier, project, name, user …, and how far claims drift apart."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from ralex_core.model.window import DAY_US, Scope, Window
from ralex_core.stats.quantiles import value_of
from ralex_core.storage.queries.segments import measured, percentiles
from ralex_core.storage.queries.totals import extent
from ralex_core.storage.schema import SUM_CUBES
from ralex_core.storage.telemetry import Store

By = Literal["model", "tier", "project", "name", "user_id", "session_id", "provider", "client"]

_MEASURES = (
    "operations",
    "billable",
    "priced",
    "successes",
    "errors",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "duration_ms",
    "timed",
)


@dataclass(frozen=True, slots=True)
class BreakdownRow:
    """One group of a breakdown. `key` None means the operations do not say."""

    key: str | None
    kind: str | None
    """Set when grouping by name."""
    tier: str | None
    """Set when grouping by model."""
    operations: int
    llm_operations: int
    errors: int
    cost_usd: Decimal
    share_ratio: float | None
    """Share of the breakdown's total cost; None when nothing was paid."""
    input_tokens: int
    output_tokens: int
    cost_per_success_usd: Decimal | None
    p50_ms: float | None
    p95_ms: float | None
    mean_ms: float | None
    coverage_ratio: float | None
    """None when nothing in the group is billable."""

    @property
    def error_ratio(self) -> float:
        return self.errors / self.operations


def breakdown(store: Store, scope: Scope, by: By, limit: int = 20, *, order: str = "cost") -> list[BreakdownRow]:
    """Groups by cost, then operations (`order="operations"`: the other way round), at most `limit`.

    A breakdown by model is about llm operations only; by name and model, rows also say the kind or the tier.
    """
    if by not in get_args(By):
        raise ValueError(f"cannot break down by {by!r}; choose one of {', '.join(get_args(By))}")
    extra = {"name": "kind", "model": "tier"}.get(by)
    group = (by, extra) if extra else (by,)
    kind = "llm" if by in ("model", "tier", "provider") else None
    rows = measured(store, scope, _MEASURES, group=group, kind=kind)
    total = sum((row[len(group) + _MEASURES.index("cost_usd")] for row in rows), Decimal(0))
    width = len(group)
    cost, operations = width + _MEASURES.index("cost_usd"), width + _MEASURES.index("operations")
    first, second = (cost, operations) if order == "cost" else (operations, cost)
    rows.sort(key=lambda row: (-row[first], -row[second], str(row[0]), str(row[1])))
    latency = percentiles(store, scope, (0.5, 0.95), group=group, kind=kind)
    return [_row(row, group, extra, total, latency.get(row[:width])) for row in rows[:limit]]


def _row(
    row: tuple[object, ...],
    group: tuple[str, ...],
    extra: str | None,
    total: Decimal,
    latency: tuple[int, ...] | None,
) -> BreakdownRow:
    value: dict[str, int] = dict(zip(_MEASURES, row[len(group) :], strict=True))  # pyright: ignore[reportAssignmentType]
    cost = Decimal(value["cost_usd"])
    second = str(row[1]) if extra and row[1] is not None else None
    return BreakdownRow(
        key=None if row[0] is None else str(row[0]),
        kind=second if extra == "kind" else None,
        tier=second if extra == "tier" else None,
        operations=value["operations"],
        llm_operations=value["billable"],
        errors=value["errors"],
        cost_usd=cost,
        share_ratio=float(cost / total) if total else None,
        input_tokens=value["input_tokens"],
        output_tokens=value["output_tokens"],
        cost_per_success_usd=cost / value["successes"] if value["successes"] else None,
        p50_ms=value_of(latency[1]) if latency else None,
        p95_ms=value_of(latency[2]) if latency else None,
        mean_ms=value["duration_ms"] / value["timed"] if value["timed"] else None,
        coverage_ratio=value["priced"] / value["billable"] if value["billable"] else None,
    )


@dataclass(frozen=True, slots=True)
class DriftRow:
    """How far what clients and providers claim is from the price book, for one model and UTC day.

    Quarantined claims are left out. Drift is Σ|claim − computed| over operations that have both.
    """

    model: str | None
    day_us: int
    operations: int
    reported_usd: Decimal
    computed_usd: Decimal
    billed_usd: Decimal
    drift_reported_usd: Decimal
    drift_billed_usd: Decimal

    @property
    def drift_ratio(self) -> float | None:
        """Reported drift ÷ computed cost; None when nothing could be computed."""
        return float(self.drift_reported_usd / self.computed_usd) if self.computed_usd else None


def drift(store: Store, scope: Scope, *, daily: bool = True) -> list[DriftRow]:
    """Rows per model and day (`daily=False`: per model over the window, `day_us` its start), worst first."""
    names = ("operations", "reported_usd", "computed_usd", "billed_usd", "drift_reported_usd", "drift_billed_usd")
    if daily:
        rows = measured(store, scope, names, group=("model",), bucket_us=DAY_US, kind="llm")
        found = [DriftRow(row[1], row[0], *row[2:]) for row in rows]
    else:
        rows = measured(store, scope, names, group=("model",), kind="llm")
        found = [DriftRow(row[0], scope.window.start_us, *row[1:]) for row in rows]
    return sorted(found, key=lambda r: (-(r.drift_reported_usd + r.drift_billed_usd), str(r.model), r.day_us))


def filter_values(
    store: Store, column: str, *, window: Window | None = None, limit: int = 200
) -> list[tuple[str, int]]:
    """Values of a filter column with their number of operations, most frequent first; unknown is left out."""
    if column == "kind" or not any(column in cube.dimensions for cube in SUM_CUBES):
        raise ValueError(f"{column!r} is not a filter")
    if window is None:
        span = extent(store)
        if span is None:
            return []
        window = Window(span[0], span[1] + 1)
    rows = [row for row in measured(store, Scope(window), ("operations",), group=(column,)) if row[0] is not None]
    rows.sort(key=lambda row: (-row[1], row[0]))
    return [(value, number) for value, number in rows[:limit]]
