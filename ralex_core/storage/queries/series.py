"""Questions whose answer is a line over time. Buckets without data are absent: a gap, never a zero."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ralex_core.model.window import Scope
from ralex_core.stats.quantiles import value_of
from ralex_core.storage.queries.segments import measured, percentiles
from ralex_core.storage.telemetry import Store

UNKNOWN = "unknown"
"""The series of operations whose tier or model is not known."""
OTHER = "other"
MAX_SERIES = 8


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Values per series and bucket; `starts` covers the whole window without holes, sums of an empty bucket are 0."""

    bucket_us: int
    starts: list[int]
    series: dict[str, list[Decimal]]


@dataclass(frozen=True, slots=True)
class LatencyBucket:
    """Latency of llm operations that started in one bucket, ms."""

    start_us: int
    operations: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class UsageBucket:
    """What happened in one bucket."""

    start_us: int
    operations: int
    llm_operations: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    baseline_success_usd: Decimal
    priced: int


def cost_over_time(store: Store, scope: Scope, by: Literal["tier", "model"], bucket_us: int) -> TimeSeries:
    """Cost per bucket and tier (or model). Beyond `MAX_SERIES` the cheapest series are added up as `other`."""
    rows = measured(store, scope, ("cost_usd",), group=(by,), bucket_us=bucket_us, kind="llm")
    starts = _starts(scope, bucket_us)
    place = {start: index for index, start in enumerate(starts)}
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for _, key, cost in rows:
        sums[key or UNKNOWN] += cost
    ranked = sorted(sums, key=lambda key: (-sums[key], key))
    shown = set(ranked if len(ranked) <= MAX_SERIES else ranked[: MAX_SERIES - 1])
    series: dict[str, list[Decimal]] = {}
    for key in [*(key for key in ranked if key in shown), *([OTHER] if len(shown) < len(ranked) else [])]:
        series[key] = [Decimal(0)] * len(starts)
    for start, key, cost in rows:
        name = key or UNKNOWN
        index = place.get(start)
        if index is not None:
            series[name if name in shown else OTHER][index] += cost
    return TimeSeries(bucket_us, starts, series)


def latency_over_time(store: Store, scope: Scope, bucket_us: int) -> list[LatencyBucket]:
    """p50, p95 and p99 of llm operations per bucket, ascending; buckets without one are absent."""
    found = percentiles(store, scope, (0.5, 0.95, 0.99), bucket_us=bucket_us, kind="llm")
    return [
        LatencyBucket(start, count, value_of(p50), value_of(p95), value_of(p99))
        for (start,), (count, p50, p95, p99) in sorted(found.items())
    ]


def usage_over_time(store: Store, scope: Scope, bucket_us: int) -> list[UsageBucket]:
    """Operations, errors, tokens and cost per bucket, ascending; buckets without operations are absent."""
    names = (
        "operations",
        "billable",
        "errors",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "baseline_success_usd",
        "priced",
    )
    return [UsageBucket(*row) for row in sorted(measured(store, scope, names, bucket_us=bucket_us))]


def _starts(scope: Scope, bucket_us: int) -> list[int]:
    first = scope.window.start_us // bucket_us * bucket_us
    return list(range(first, scope.window.end_us, bucket_us))
