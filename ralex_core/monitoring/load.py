"""How much runs at once, and whether the machine's limits show in the response times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ralex_core.model.window import DAY_US, MINUTE_US, Scope
from ralex_core.stats.correlation import Together, moves_with
from ralex_core.storage.queries.latency import (
    MAX_PEAK_OPERATIONS,
    Busy,
    concurrency,
    load_over_time,
    percentiles_over_time,
)
from ralex_core.storage.queries.resources import resource_series
from ralex_core.storage.queries.segments import Only, bucket_for
from ralex_core.storage.telemetry import Store

MOST_LAG = 3
"""Buckets that response times may follow a resource by."""
SURE = 0.01
STRONG = 0.4
"""A weaker rank correlation explains less than a sixth of the variation."""
MAX_EXACT_DAYS = 7

Resource = Literal["cpu", "memory", "disk_io"]


@dataclass(frozen=True, slots=True)
class Pressure:
    """How a resource of the host and the median response time move together.

    `lag_us` is by how much response times follow. `related`: strong enough (0.4) and sure (p ≤ 0.01) with the sign that
    pressure has; it says that they coincide, not that one causes the other.
    """

    resource: Resource
    mean_ratio: float | None
    max_ratio: float | None
    found: Together | None
    lag_us: int
    related: bool


@dataclass(frozen=True, slots=True)
class Load:
    """Throughput and concurrency over a window.

    `busy_little` is Little's law, rate × mean duration; `exact` counts overlaps, and is None for long or busy windows.
    """

    operations: int
    per_minute: float | None
    mean_ms: float | None
    busy_little: float | None
    exact: Busy | None
    bucket_us: int
    pressures: list[Pressure]


def load(store: Store, scope: Scope, *, now_us: int | None = None, only: Only | None = None) -> Load:
    """Throughput, concurrency and saturation of a window; zeros and Nones when nothing ran."""
    window = scope.window
    bucket_us = bucket_for(window, 60)
    buckets = load_over_time(store, scope, bucket_us, only)
    operations, timed = sum(b.operations for b in buckets), sum(b.timed for b in buckets)
    total_ms = sum(b.duration_ms for b in buckets)
    length_us = min(window.end_us, now_us or window.end_us) - window.start_us
    per_minute = operations / (length_us / MINUTE_US) if length_us > 0 else None
    mean_ms = total_ms / timed if timed else None
    little = None if per_minute is None or mean_ms is None else per_minute / 60 * mean_ms / 1000
    exact = None
    if operations and operations <= MAX_PEAK_OPERATIONS and window.length_us < (MAX_EXACT_DAYS + 1) * DAY_US:
        exact = concurrency(store, scope, only)
    pressures = _pressures(store, scope, bucket_us, only) if operations else []
    return Load(operations, per_minute, mean_ms, little, exact, bucket_us, pressures)


def _pressures(store: Store, scope: Scope, bucket_us: int, only: Only | None) -> list[Pressure]:
    """Per resource that was sampled; none without samples in the window."""
    import numpy as np

    samples = resource_series(store, scope.window, bucket_us)
    if not samples:
        return []
    first = scope.window.start_us // bucket_us * bucket_us
    n = -(-(scope.window.end_us - first) // bucket_us)
    times = np.full(n, np.nan)
    for point in percentiles_over_time(store, scope, bucket_us, (0.5,), only):
        times[(point.start_us - first) // bucket_us] = point.values_ms[0]
    columns: dict[Resource, list[float]] = {name: [float("nan")] * n for name in ("cpu", "memory", "disk_io")}
    for sample in samples:
        place = (sample.start_us - first) // bucket_us
        if sample.cpu_ratio is not None:
            columns["cpu"][place] = sample.cpu_ratio
        if sample.memory_used_bytes is not None and sample.memory_total_bytes:
            columns["memory"][place] = sample.memory_used_bytes / sample.memory_total_bytes
        if sample.disk_read_bytes_s is not None and sample.disk_write_bytes_s is not None:
            columns["disk_io"][place] = sample.disk_read_bytes_s + sample.disk_write_bytes_s
    made: list[Pressure] = []
    for resource, values in columns.items():
        series = np.array(values)
        if not np.isfinite(series).any():
            continue
        found = moves_with(series, times, MOST_LAG)
        related = found is not None and found.correlation >= STRONG and found.p_value <= SURE
        share = resource != "disk_io"
        made.append(
            Pressure(
                resource,
                float(np.nanmean(series)) if share else None,
                float(np.nanmax(series)) if share else None,
                found,
                found.lag * bucket_us if found else 0,
                related,
            )
        )
    return made
