"""Totals of a scope, and of the whole store."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ralex_core.model.window import Scope
from ralex_core.stats.quantiles import value_of
from ralex_core.storage.queries.segments import measured, percentiles
from ralex_core.storage.schema import GRAINS_US, MEASURES
from ralex_core.storage.telemetry import Store

_ADDED = (
    "operations",
    "errors",
    "billable",
    "priced",
    "successes",
    "basis_billed",
    "basis_computed",
    "basis_reported",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "cost_usd",
    "reported_usd",
    "computed_usd",
    "billed_usd",
    "quarantined",
    "quarantined_usd",
    "baseline_success_usd",
    "value_usd",
)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a scope. Money is USD; ratios are 0–1; latency is of llm operations, in ms; None is not known."""

    operations: int
    llm_operations: int
    errors: int
    billable: int
    priced: int
    successes: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Decimal
    reported_usd: Decimal
    computed_usd: Decimal
    billed_usd: Decimal
    baseline_success_usd: Decimal
    value_usd: Decimal
    quarantined_count: int
    quarantined_usd: Decimal
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    basis: dict[str, int]
    """Billable operations per cost basis, `unknown` included."""

    @property
    def coverage_ratio(self) -> float | None:
        """Billable operations with a known cost ÷ billable operations; None when nothing was billable."""
        return self.priced / self.billable if self.billable else None

    @property
    def efficiency_ratio(self) -> float | None:
        """Same-usage baseline cost of successful operations ÷ actual cost of all.

        None when nothing was paid, or something succeeded and the baseline cost of none of it is known.
        """
        if not self.cost_usd or (self.successes and not self.baseline_success_usd):
            return None
        return float(self.baseline_success_usd / self.cost_usd)

    @property
    def error_ratio(self) -> float | None:
        return self.errors / self.operations if self.operations else None

    @property
    def cost_per_success_usd(self) -> Decimal | None:
        return self.cost_usd / self.successes if self.successes else None


def totals(store: Store, scope: Scope) -> Totals:
    """Everything a headline needs about a scope; zeros and Nones when there is nothing in it."""
    row = measured(store, scope, _ADDED)[0]
    value = dict(zip(_ADDED, (0 if item is None else item for item in row), strict=True))
    latency = percentiles(store, scope, (0.5, 0.95, 0.99), kind="llm").get(())
    p50, p95, p99 = (value_of(bin) for bin in latency[1:]) if latency else (None, None, None)
    unknown = value["billable"] - value["priced"]
    return Totals(
        operations=value["operations"],
        llm_operations=value["billable"],
        errors=value["errors"],
        billable=value["billable"],
        priced=value["priced"],
        successes=value["successes"],
        input_tokens=value["input_tokens"],
        output_tokens=value["output_tokens"],
        cache_read_tokens=value["cache_read_tokens"],
        cache_write_tokens=value["cache_write_tokens"],
        cost_usd=Decimal(value["cost_usd"]),
        reported_usd=Decimal(value["reported_usd"]),
        computed_usd=Decimal(value["computed_usd"]),
        billed_usd=Decimal(value["billed_usd"]),
        baseline_success_usd=Decimal(value["baseline_success_usd"]),
        value_usd=Decimal(value["value_usd"]),
        quarantined_count=value["quarantined"],
        quarantined_usd=Decimal(value["quarantined_usd"]),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        basis={
            "billed": value["basis_billed"],
            "computed": value["basis_computed"],
            "reported": value["basis_reported"],
            "unknown": unknown,
        },
    )


def spend(store: Store, scope: Scope) -> tuple[Decimal, int, int]:
    """(cost_usd, billable operations, those with a known cost): the cheap part of `totals`, for budgets."""
    cost, billable, priced = measured(store, scope, ("cost_usd", "billable", "priced"))[0]
    return Decimal(cost or 0), billable or 0, priced or 0


@dataclass(frozen=True, slots=True)
class StatusTotals:
    """The whole store in one line; see `totals` for what the fields mean. Quarantined claims are in no sum."""

    operations: int
    llm_operations: int
    input_tokens: int
    output_tokens: int
    reported_usd: Decimal
    computed_usd: Decimal
    billed_usd: Decimal
    total_usd: Decimal
    coverage_ratio: float | None
    quarantined_count: int
    quarantined_usd: Decimal


_STATUS = (
    "operations",
    "billable",
    "input_tokens",
    "output_tokens",
    "reported_usd",
    "computed_usd",
    "billed_usd",
    "cost_usd",
    "priced",
    "quarantined",
    "quarantined_usd",
)


def status_totals(store: Store) -> StatusTotals:
    """Totals of everything stored, true to the last commit: what rollups do not tell of yet is read from operations."""
    low = _FAR
    while True:
        *row, behind_from = store.query(_STATUS_SQL, {"low": low})[0]
        if behind_from is None or behind_from >= low:
            break
        low = behind_from
    value = dict(zip(_STATUS, row, strict=True))
    return StatusTotals(
        operations=value["operations"],
        llm_operations=value["billable"],
        input_tokens=value["input_tokens"],
        output_tokens=value["output_tokens"],
        reported_usd=Decimal(value["reported_usd"]),
        computed_usd=Decimal(value["computed_usd"]),
        billed_usd=Decimal(value["billed_usd"]),
        total_usd=Decimal(value["cost_usd"]),
        coverage_ratio=value["priced"] / value["billable"] if value["billable"] else None,
        quarantined_count=value["quarantined"],
        quarantined_usd=Decimal(value["quarantined_usd"]),
    )


def _status_sql() -> str:
    """One statement, so that all its parts are of the same commit: whole days, the hours of days that are behind, and
    the operations of hours that are behind, from `$low` on. The last column is the first hour that is behind: when it
    is before `$low`, the sums are not whole. `$low` is what spares looking through all operations."""
    hour, day = GRAINS_US["hour"], GRAINS_US["day"]
    floor = "(select coalesce(max(value::BIGINT), 0) from meta where key = 'retention_floor')"
    behind = "(select bucket from dirty where grain = 'hour')"
    days_behind = f"(select bucket // {day} * {day} from {behind})"
    rolled = ", ".join(f"coalesce(sum({name}), 0)::{MEASURES[name][0]} as {name}" for name in _STATUS)
    counted = ", ".join(f"{MEASURES[name][1]} as {name}" for name in _STATUS)
    return (
        f"select {rolled}, (select min(bucket) from {behind}) from ("
        f"select {rolled} from rollup_client_day where bucket >= {floor} and bucket not in {days_behind} "
        f"union all select {rolled} from rollup_client_hour "
        f"where bucket >= {floor} and bucket // {day} * {day} in {days_behind} and bucket not in {behind} "
        f"union all select {counted} from operations "
        f"where started_at >= {floor} and started_at >= $low and started_at // {hour} * {hour} in {behind})"
    )


_STATUS_SQL = _status_sql()
_FAR = 1 << 62


def extent(store: Store) -> tuple[int, int] | None:
    """When the first and the last stored operation started (UTC µs); None for an empty store."""
    first, last = store.query("select min(started_at), max(started_at) from operations")[0]
    return None if first is None else (first, last)


def is_empty(store: Store) -> bool:
    """Whether no operation was ever stored (or all were deleted)."""
    return not store.query("select 1 from operations limit 1")
