"""Rows, figures and series, as several pages show them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

NumberUnit = Literal["usd", "ratio", "per_minute", "ms", "percent", "count"]


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One operation as the live feed shows it."""

    operation_id: str
    started_at: str
    started_us: int
    kind: str
    name: str
    model: str | None
    tier: str | None
    project: str | None
    user: str | None
    status: str
    duration_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None
    cost_basis: str | None
    quarantined: bool
    outcome: str
    href: str


@dataclass(frozen=True, slots=True)
class OperationRow:
    """One operation as the explorer shows it: a `FeedItem` and more."""

    operation_id: str
    started_at: str
    started_us: int
    kind: str
    name: str
    model: str | None
    tier: str | None
    project: str | None
    user: str | None
    status: str
    duration_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None
    cost_basis: str | None
    quarantined: bool
    outcome: str
    href: str
    provider: str | None
    service: str | None
    session: str | None
    client: str | None
    ttft_ms: float | None
    error_type: str | None
    attempt: int
    trace_id: str | None
    cache_read_tokens: int | None
    reported_usd: Decimal | None
    computed_usd: Decimal | None
    billed_usd: Decimal | None
    door: str


@dataclass(frozen=True, slots=True)
class Basis:
    """How many billable operations were priced by which claim."""

    billed: int
    computed: int
    reported: int
    unknown: int


@dataclass(frozen=True, slots=True)
class TotalsView:
    operations: int
    llm_operations: int
    errors: int
    error_ratio: float | None
    operations_per_minute: float | None
    billable: int
    priced: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cost_usd: Decimal
    reported_usd: Decimal
    computed_usd: Decimal
    billed_usd: Decimal
    efficiency_ratio: float | None
    coverage_ratio: float | None
    quarantined_count: int
    quarantined_usd: Decimal
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    basis: Basis


@dataclass(frozen=True, slots=True)
class TodayView:
    """Spend since local midnight. `projected_usd` is where the day is heading; None when there is nothing to go by."""

    cost_usd: Decimal
    budget_usd: Decimal | None
    projected_usd: Decimal | None
    day_start_at: str
    coverage_ratio: float | None


@dataclass(frozen=True, slots=True)
class CostSeries:
    """Dollars per bucket and key; every series is as long as `starts`."""

    bucket_us: int
    starts: list[int]
    series: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class LatencySeries:
    """Latency of model calls per bucket; percentiles are None where none ended."""

    bucket_us: int
    starts: list[int]
    operations: list[int]
    errors: list[int]
    p50_ms: list[float | None]
    p95_ms: list[float | None]
    p99_ms: list[float | None]


@dataclass(frozen=True, slots=True)
class UsageSeries:
    bucket_us: int
    starts: list[int]
    operations: list[int]
    errors: list[int]
    input_tokens: list[int]
    output_tokens: list[int]
    cost_usd: list[float]


@dataclass(frozen=True, slots=True)
class Charts:
    """All four share the same `starts`."""

    cost_by_tier: CostSeries
    cost_by_model: CostSeries
    latency: LatencySeries
    usage: UsageSeries


@dataclass(frozen=True, slots=True)
class BreakdownView:
    """One value of a dimension. `success_cost_usd` is the spend per call that was not rejected, reworked or failed."""

    key: str
    label: str
    tier: str | None
    kind: str | None
    operations: int
    errors: int
    error_ratio: float | None
    cost_usd: Decimal | None
    share_ratio: float | None
    success_cost_usd: Decimal | None
    p50_ms: float | None
    p95_ms: float | None
    input_tokens: int
    output_tokens: int
    coverage_ratio: float | None
    href: str


@dataclass(frozen=True, slots=True)
class DriftView:
    """How far a model's claims are apart over the range."""

    model: str
    operations: int
    reported_usd: Decimal
    computed_usd: Decimal
    billed_usd: Decimal
    abs_drift_usd: Decimal
    drift_ratio: float | None


@dataclass(frozen=True, slots=True)
class ResourcePoint:
    """One reading of host and process. CPU of the process is in cores, rates are per second."""

    sampled_at: str
    cpu_ratio: float
    load_1m: float | None
    memory_used_bytes: int
    memory_total_bytes: int
    disk_used_bytes: int
    disk_total_bytes: int
    disk_read_bytes_s: float | None
    disk_write_bytes_s: float | None
    net_received_bytes_s: float | None
    net_sent_bytes_s: float | None
    process_cpu_ratio: float
    process_rss_bytes: int
    cores: float | None = None
    busiest_core_ratio: float | None = None
    iowait_ratio: float | None = None
    throttled_ratio: float | None = None
    swap_used_bytes: int | None = None
    swap_total_bytes: int | None = None
    open_files: int | None = None
    open_files_limit: int | None = None
    process_open_files: int | None = None
    process_open_files_limit: int | None = None
    process_threads: int | None = None


@dataclass(frozen=True, slots=True)
class ResourceSeries:
    bucket_us: int
    starts: list[int]
    cpu_ratio: list[float | None]
    memory_used_ratio: list[float | None]
    process_cpu_ratio: list[float | None]
    process_rss_bytes: list[float | None]
    disk_used_ratio: list[float | None]
    disk_read_bytes_s: list[float | None]
    disk_write_bytes_s: list[float | None]
    net_received_bytes_s: list[float | None]
    net_sent_bytes_s: list[float | None]
    load_1m: list[float | None]


@dataclass(frozen=True, slots=True)
class Resources:
    latest: ResourcePoint | None
    series: ResourceSeries
