"""Answers of the question functions as the figures, series and rankings that pages and API show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from ralex_core.config import Settings
from ralex_core.dashboard.contexts.rows import (
    Basis,
    BreakdownView,
    CostSeries,
    DriftView,
    LatencySeries,
    ResourceSeries,
    TotalsView,
    UsageSeries,
)
from ralex_core.dashboard.params import FILTER_FIELDS, LIST_FIELDS, View, href
from ralex_core.model.window import MINUTE_US, Window
from ralex_core.storage.queries import (
    BreakdownRow,
    DriftRow,
    LatencyBucket,
    ResourceBucket,
    TimeSeries,
    Totals,
    UsageBucket,
)

UNKNOWN_LABEL = "unknown"
_PARAM_OF_COLUMN = {column: param for param, (column, _) in FILTER_FIELDS.items()}


def totals_view(totals: Totals, window: Window, now_us: int) -> TotalsView:
    """Totals with their rate; the part of the window that is still to come does not dilute it."""
    minutes = (min(window.end_us, now_us) - window.start_us) / MINUTE_US
    return TotalsView(
        operations=totals.operations,
        llm_operations=totals.llm_operations,
        errors=totals.errors,
        error_ratio=totals.error_ratio,
        operations_per_minute=totals.operations / minutes if minutes > 0 else None,
        billable=totals.billable,
        priced=totals.priced,
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cache_read_tokens=totals.cache_read_tokens,
        cost_usd=totals.cost_usd,
        reported_usd=totals.reported_usd,
        computed_usd=totals.computed_usd,
        billed_usd=totals.billed_usd,
        efficiency_ratio=totals.efficiency_ratio,
        coverage_ratio=totals.coverage_ratio,
        quarantined_count=totals.quarantined_count,
        quarantined_usd=totals.quarantined_usd,
        p50_ms=totals.p50_ms,
        p95_ms=totals.p95_ms,
        p99_ms=totals.p99_ms,
        basis=basis_view(totals.basis),
    )


def basis_view(basis: Mapping[str, int]) -> Basis:
    return Basis(*(basis.get(name, 0) for name in ("billed", "computed", "reported", "unknown")))


def cost_series(series: TimeSeries, order: Sequence[str] = ()) -> CostSeries:
    """Series in the given order, others after it as they come, `other` and `unknown` last."""
    last = {"other": 1, UNKNOWN_LABEL: 2}
    place = {name: index for index, name in enumerate(order)}
    names = sorted(series.series, key=lambda name: (last.get(name, 0), place.get(name, len(place))))
    return CostSeries(
        series.bucket_us,
        series.starts,
        {name: [round(float(amount), 9) for amount in series.series[name]] for name in names},
    )


def tier_order(settings: Settings) -> list[str]:
    return [tier.name for tier in settings.tiers]


def starts_of(window: Window, bucket_us: int) -> list[int]:
    """The starts of all buckets a window touches."""
    return list(range(window.start_us // bucket_us * bucket_us, window.end_us, bucket_us))


def latency_series(
    latency: Sequence[LatencyBucket], usage: Sequence[UsageBucket], starts: list[int], bucket_us: int
) -> LatencySeries:
    """Percentiles and throughput on one axis."""
    by_start = {bucket.start_us: bucket for bucket in latency}
    counts = {bucket.start_us: bucket for bucket in usage}
    timed = [by_start.get(start) for start in starts]
    counted = [counts.get(start) for start in starts]
    return LatencySeries(
        bucket_us,
        starts,
        [bucket.operations if bucket else 0 for bucket in counted],
        [bucket.errors if bucket else 0 for bucket in counted],
        [round(bucket.p50_ms, 1) if bucket else None for bucket in timed],
        [round(bucket.p95_ms, 1) if bucket else None for bucket in timed],
        [round(bucket.p99_ms, 1) if bucket else None for bucket in timed],
    )


def usage_series(usage: Sequence[UsageBucket], starts: list[int], bucket_us: int) -> UsageSeries:
    by_start = {bucket.start_us: bucket for bucket in usage}
    found = [by_start.get(start) for start in starts]
    return UsageSeries(
        bucket_us,
        starts,
        [bucket.operations if bucket else 0 for bucket in found],
        [bucket.errors if bucket else 0 for bucket in found],
        [bucket.input_tokens if bucket else 0 for bucket in found],
        [bucket.output_tokens if bucket else 0 for bucket in found],
        [round(float(bucket.cost_usd), 9) if bucket else 0.0 for bucket in found],
    )


def resource_series_view(buckets: Sequence[ResourceBucket], starts: list[int], bucket_us: int) -> ResourceSeries:
    """Resource means; a bucket without a sample is a gap."""
    by_start = {bucket.start_us: bucket for bucket in buckets}
    found = [by_start.get(start) for start in starts]

    def column(name: str, decimals: int = 4) -> list[float | None]:
        values = [None if bucket is None else getattr(bucket, name) for bucket in found]
        return [None if value is None else round(float(value), decimals) for value in values]

    def share(used: str, total: str) -> list[float | None]:
        pairs = [(getattr(bucket, used), getattr(bucket, total)) if bucket else (None, None) for bucket in found]
        return [round(part / whole, 4) if part is not None and whole else None for part, whole in pairs]

    return ResourceSeries(
        bucket_us,
        starts,
        cpu_ratio=column("cpu_ratio"),
        memory_used_ratio=share("memory_used_bytes", "memory_total_bytes"),
        process_cpu_ratio=column("process_cpu_ratio"),
        process_rss_bytes=column("process_rss_bytes", 0),
        disk_used_ratio=share("disk_used_bytes", "disk_total_bytes"),
        disk_read_bytes_s=column("disk_read_bytes_s", 0),
        disk_write_bytes_s=column("disk_write_bytes_s", 0),
        net_received_bytes_s=column("net_received_bytes_s", 0),
        net_sent_bytes_s=column("net_sent_bytes_s", 0),
        load_1m=column("load_1m", 2),
    )


def breakdown_view(row: BreakdownRow, by: str, view: View) -> BreakdownView:
    """A row with the link to its operations: by the filter of its dimension, else by its value, else by a search."""
    param = _PARAM_OF_COLUMN.get(by)
    pairs = view.pairs()
    if param is not None:
        pairs = [pair for pair in pairs if pair[0] != param] + [(param, row.key or "")]
    elif by in LIST_FIELDS:
        pairs.append((by, row.key or ""))
    elif row.key is not None:
        pairs.append(("q", row.key))
    return BreakdownView(
        key=row.key or "",
        label=row.key or UNKNOWN_LABEL,
        tier=row.key if by == "tier" else row.tier,
        kind=row.kind,
        operations=row.operations,
        errors=row.errors,
        error_ratio=row.error_ratio,
        cost_usd=row.cost_usd if row.coverage_ratio or row.cost_usd else None,
        share_ratio=row.share_ratio,
        success_cost_usd=row.cost_per_success_usd if row.coverage_ratio else None,
        p50_ms=row.p50_ms,
        p95_ms=row.p95_ms,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        coverage_ratio=row.coverage_ratio,
        href=href("/operations", pairs),
    )


def drift_view(row: DriftRow) -> DriftView:
    drift = row.drift_reported_usd + row.drift_billed_usd
    return DriftView(
        model=row.model or UNKNOWN_LABEL,
        operations=row.operations,
        reported_usd=row.reported_usd,
        computed_usd=row.computed_usd,
        billed_usd=row.billed_usd,
        abs_drift_usd=drift,
        drift_ratio=float(drift / row.computed_usd) if row.computed_usd > Decimal(0) else None,
    )
