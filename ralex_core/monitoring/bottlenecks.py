"""Bottlenecks of a window: where the time of its traces goes, what makes them slow, what fixing it would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, Scope, Window
from ralex_core.monitoring.bottleneck import (
    first_token,
    n_plus_one,
    pressure,
    queueing,
    retries,
    serial_calls,
    slow_provider,
)
from ralex_core.monitoring.bottleneck.finding import Finding
from ralex_core.monitoring.bottleneck.hot_spots import HotSpot, hot_spots
from ralex_core.monitoring.bottleneck.sample import Pressure, Sample, Timing, lay_out
from ralex_core.monitoring.bottleneck.slow_provider import Dependency
from ralex_core.monitoring.bottleneck.trees import Mends
from ralex_core.monitoring.bottleneck.weighted import Numbers, array
from ralex_core.stats.quantiles import value_of
from ralex_core.storage.queries.resources import resource_series
from ralex_core.storage.queries.segments import bucket_for, percentiles
from ralex_core.storage.queries.traces import sample_traces, timings
from ralex_core.storage.telemetry import Store

PRESSURE_BUCKETS = 1500
MIN_PRESSURE_US = 5_000_000
"""The machine is sampled every two seconds."""
HISTORY_US = 7 * DAY_US
HISTORY_QUANTILES = tuple((place + 0.5) / 20 for place in range(20))
MIN_HISTORY = 50
MAX_TRACE_SPOTS = 50


@dataclass(frozen=True, slots=True)
class Bottlenecks:
    """What was found in the traces of a window. `mean_ms` and `p95_ms` are None without traces."""

    traces: int
    """In the window."""
    traces_looked_at: int
    traces_too_large: int
    """Drawn for the sample and passed over, since it holds a bounded number of operations."""
    spans_looked_at: int
    mean_ms: float | None
    p95_ms: float | None
    findings: list[Finding]
    """Largest gain first."""
    hot_spots: list[HotSpot]
    mends: Mends


def analyse(sample: Sample, history: Mapping[Dependency, Numbers] | None = None) -> Bottlenecks:
    """Everything there is to find in a sample. Costs about a millisecond per thousand spans and cause."""
    found = [
        *n_plus_one.find(sample),
        *retries.find(sample),
        *serial_calls.find(sample),
        *queueing.find(sample),
        *slow_provider.find(sample, history),
        *first_token.find(sample),
        *pressure.find(sample),
    ]
    told = sorted(
        (finding for finding in found if finding.worth_telling),
        key=lambda finding: (-finding.score, finding.cause, finding.name),
    )
    return Bottlenecks(
        traces=round(float(sample.weight.sum())),
        traces_looked_at=len(sample.trees),
        traces_too_large=0,
        spans_looked_at=len(sample.key),
        mean_ms=sample.mean_ms if sample.trees else None,
        p95_ms=sample.p95_ms if sample.trees else None,
        findings=told,
        hot_spots=hot_spots(sample),
        mends=sample.mends,
    )


@dataclass(frozen=True, slots=True)
class TraceFindings:
    """What one trace by itself tells. Gains are ms of this trace."""

    began: Operation
    duration_ms: float
    spots: list[HotSpot]
    """Every kind and name on its critical path; without the time in which nothing was recorded."""
    findings: list[Finding]
    mends: Mends


def find_in_trace(operations: Sequence[Operation]) -> TraceFindings | None:
    """Where one trace's time went, and the causes that a single trace shows; None without operations."""
    sample = lay_out([operations])
    if not sample.trees:
        return None
    found = [*n_plus_one.find(sample), *retries.find(sample), *serial_calls.find(sample)]
    return TraceFindings(
        began=sample.trees[0].root_operation,
        duration_ms=sample.trees[0].duration_ms,
        spots=hot_spots(sample, MAX_TRACE_SPOTS),
        findings=sorted((one for one in found if one.worth_telling), key=lambda one: (-one.score, one.cause, one.name)),
        mends=sample.mends,
    )


def find_bottlenecks(store: Store, scope: Scope) -> Bottlenecks:
    """The bottlenecks of a window, from a bounded sample of its traces. The same data gives the same answer.

    Reads at most 20,000 operations of 400 traces, and the times of those that ran beside the ten that matter most.
    """
    drawn = sample_traces(store, scope)
    sample = lay_out(drawn.traces, drawn.weights, pressure=_pressure(store, scope.window))
    asked = queueing.candidates(sample)
    sample.timings = {key: Timing.of(*times) for key, times in timings(store, scope.window, asked).items()}
    found = analyse(sample, _history(store, scope))
    return replace(found, traces=drawn.total, traces_too_large=drawn.too_large)


def _pressure(store: Store, window: Window) -> list[Pressure]:
    bucket_us = max(bucket_for(window, PRESSURE_BUCKETS), MIN_PRESSURE_US)
    return [
        Pressure(
            start_us=bucket.start_us,
            end_us=bucket.start_us + bucket_us,
            cpu_ratio=bucket.cpu_ratio,
            memory_ratio=bucket.memory_used_bytes / bucket.memory_total_bytes
            if bucket.memory_used_bytes is not None and bucket.memory_total_bytes
            else None,
            disk_bytes_s=None
            if bucket.disk_read_bytes_s is None or bucket.disk_write_bytes_s is None
            else bucket.disk_read_bytes_s + bucket.disk_write_bytes_s,
        )
        for bucket in resource_series(store, window, bucket_us)
    ]


def _history(store: Store, scope: Scope) -> dict[Dependency, Numbers]:
    """Quantiles of the days before the window: of models by provider and model, of other calls by name."""
    before = Window(scope.window.start_us - HISTORY_US, scope.window.start_us)
    found: dict[Dependency, Numbers] = {}
    models = percentiles(store, Scope(before), HISTORY_QUANTILES, group=("provider", "model"), kind="llm")
    for (provider, model), (count, *bins) in models.items():
        if count >= MIN_HISTORY:
            found["llm", "", provider or "", model or ""] = array([value_of(bin) for bin in bins])
    for (kind, name), (count, *bins) in percentiles(
        store, Scope(before), HISTORY_QUANTILES, group=("kind", "name")
    ).items():
        if count >= MIN_HISTORY and kind in ("api", "db"):
            found[kind, name, "", ""] = array([value_of(bin) for bin in bins])
    return found
