"""The messages of `/ws/monitoring`, and how a view's sums become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, cast

from ralex_core.dashboard.contexts.resources import ProcessPoint, ResourceStateView
from ralex_core.dashboard.contexts.rows import Basis, FeedItem, ResourcePoint, TodayView
from ralex_core.dashboard.live_cells import BUCKET_US, MEASURES, WINDOW_US, ZERO, Digest, Sums
from ralex_core.stats.quantiles import percentiles_of

MessageKind = Literal["snapshot", "update", "heartbeat"]

MAX_MODELS = 12
MAX_BUSIEST = 10

_PLACE = {name: place for place, name in enumerate(MEASURES)}


@dataclass(frozen=True, slots=True)
class PerformanceSeries:
    """Parallel arrays per bucket; percentiles are of model calls, None where none started."""

    bucket_us: int
    starts: list[int]
    operations: list[int]
    errors: list[int]
    p50_ms: list[float | None]
    p95_ms: list[float | None]
    p99_ms: list[float | None]


@dataclass(frozen=True, slots=True)
class Performance:
    window_s: int
    operations: int
    errors: int
    error_ratio: float | None
    operations_per_minute: float
    """Over the last minute."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    series: PerformanceSeries


@dataclass(frozen=True, slots=True)
class WindowCost:
    """What the last 15 minutes cost."""

    cost_usd: Decimal
    reported_usd: Decimal
    computed_usd: Decimal
    billed_usd: Decimal
    efficiency_ratio: float | None
    coverage_ratio: float | None
    basis: Basis
    quarantined_count: int
    quarantined_usd: Decimal


@dataclass(frozen=True, slots=True)
class TierSeries:
    bucket_us: int
    starts: list[int]
    tiers: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Costs:
    today: TodayView
    window: WindowCost
    series: TierSeries


@dataclass(frozen=True, slots=True)
class Ranked:
    """A model or an operation name; `tier` is set for models, `kind` for names."""

    key: str
    tier: str | None
    kind: str | None
    operations: int
    errors: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class TokenSeries:
    bucket_us: int
    starts: list[int]
    input_tokens: list[int]
    output_tokens: list[int]


@dataclass(frozen=True, slots=True)
class Usage:
    operations: int
    llm_operations: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    models: list[Ranked]
    busiest: list[Ranked]
    series: TokenSeries


@dataclass(frozen=True, slots=True)
class Metrics:
    performance: Performance
    costs: Costs
    usage: Usage


@dataclass(frozen=True, slots=True)
class Health:
    """How the monitor itself is."""

    status: Literal["ok", "degraded"]
    reason: str | None
    queue_operations: int
    queue_limit: int
    commit_ms: float | None
    demo: bool
    version: str
    resources: ResourcePoint | None
    resource_states: list[ResourceStateView] = field(default_factory=list[ResourceStateView])
    """How every resource of this machine is, since when and why."""
    processes: list[ProcessPoint] = field(default_factory=list[ProcessPoint])
    """The last reading of every watched process."""


@dataclass(frozen=True, slots=True)
class LiveMessage:
    """A `snapshot` holds every bucket and replaces what a client has; an `update` holds what changed since the
    message before; a `heartbeat` holds no buckets and no feed. Figures outside the series are always complete."""

    kind: MessageKind
    seq: int
    at: str
    metrics: Metrics
    alerts: list[dict[str, str]]
    health: Health
    feed: list[FeedItem]


def metrics_of(total: Digest, buckets: Sequence[tuple[int, Digest]], per_minute: float, today: TodayView) -> Metrics:
    """A view's figures: `total` is the window, `buckets` those whose series are told."""
    return Metrics(
        _performance(total, buckets, per_minute),
        Costs(today, _window_cost(total.sums), _tiers(buckets)),
        _usage(total, buckets),
    )


def _int(sums: Sums, name: str) -> int:
    return cast(int, sums[_PLACE[name]])


def _usd(sums: Sums, name: str) -> Decimal:
    return cast(Decimal, sums[_PLACE[name]])


def _performance(total: Digest, buckets: Sequence[tuple[int, Digest]], per_minute: float) -> Performance:
    operations, errors = _int(total.sums, "operations"), _int(total.sums, "errors")
    p50, p95, p99 = percentiles_of(total.bins, (0.5, 0.95, 0.99))
    told = [percentiles_of(digest.bins, (0.5, 0.95, 0.99)) for _, digest in buckets]
    return Performance(
        window_s=WINDOW_US // 1_000_000,
        operations=operations,
        errors=errors,
        error_ratio=errors / operations if operations else None,
        operations_per_minute=per_minute,
        p50_ms=_rounded(p50),
        p95_ms=_rounded(p95),
        p99_ms=_rounded(p99),
        series=PerformanceSeries(
            BUCKET_US,
            [start for start, _ in buckets],
            [_int(digest.sums, "operations") for _, digest in buckets],
            [_int(digest.sums, "errors") for _, digest in buckets],
            *([_rounded(row[place]) for row in told] for place in range(3)),
        ),
    )


def _rounded(milliseconds: float | None) -> float | None:
    # a histogram's answer is within 1 %: more digits would only make the message longer
    return None if milliseconds is None else round(milliseconds, 1)


def _window_cost(sums: Sums) -> WindowCost:
    cost, billable, priced = _usd(sums, "cost_usd"), _int(sums, "billable"), _int(sums, "priced")
    return WindowCost(
        cost_usd=cost,
        reported_usd=_usd(sums, "reported_usd"),
        computed_usd=_usd(sums, "computed_usd"),
        billed_usd=_usd(sums, "billed_usd"),
        efficiency_ratio=float(_usd(sums, "baseline_success_usd") / cost) if cost else None,
        coverage_ratio=priced / billable if billable else None,
        basis=Basis(
            _int(sums, "basis_billed"), _int(sums, "basis_computed"), _int(sums, "basis_reported"), billable - priced
        ),
        quarantined_count=_int(sums, "quarantined"),
        quarantined_usd=_usd(sums, "quarantined_usd"),
    )


def _tiers(buckets: Sequence[tuple[int, Digest]]) -> TierSeries:
    names = sorted({tier for _, digest in buckets for tier in digest.tiers})
    tiers = {name: [round(float(digest.tiers.get(name, ZERO)), 9) for _, digest in buckets] for name in names}
    return TierSeries(BUCKET_US, [start for start, _ in buckets], tiers)


def _usage(total: Digest, buckets: Sequence[tuple[int, Digest]]) -> Usage:
    models = sorted(total.models.items(), key=lambda item: (-item[1][2], -item[1][0], item[0][0]))[:MAX_MODELS]
    names = sorted(total.names.items(), key=lambda item: (-item[1][0], item[0]))[:MAX_BUSIEST]
    return Usage(
        operations=_int(total.sums, "operations"),
        llm_operations=_int(total.sums, "billable"),
        input_tokens=_int(total.sums, "input_tokens"),
        output_tokens=_int(total.sums, "output_tokens"),
        cache_read_tokens=_int(total.sums, "cache_read_tokens"),
        models=[_ranked(model, tier, None, short) for (model, tier), short in models],
        busiest=[_ranked(name, None, kind, short) for (name, kind), short in names],
        series=TokenSeries(
            BUCKET_US,
            [start for start, _ in buckets],
            [_int(digest.sums, "input_tokens") for _, digest in buckets],
            [_int(digest.sums, "output_tokens") for _, digest in buckets],
        ),
    )


def _ranked(key: str, tier: str | None, kind: str | None, short: Sums) -> Ranked:
    return Ranked(key, tier, kind, int(short[0]), int(short[1]), cast(Decimal, short[2]))
