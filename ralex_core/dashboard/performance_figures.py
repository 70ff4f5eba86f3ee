"""What the performance analysis answers, as pages and the API show it."""

from __future__ import annotations

from collections.abc import Sequence

from ralex_core.dashboard.contexts.frame import Tone
from ralex_core.dashboard.contexts.performance import (
    BeforeView,
    ComparedView,
    ComparisonView,
    HeatMapView,
    LoadView,
    PressureView,
    StepView,
    SummariesView,
    SummaryView,
    TimelineView,
    TrendView,
    VerdictView,
)
from ralex_core.dashboard.figures import UNKNOWN_LABEL, starts_of
from ralex_core.dashboard.params import LIST_FIELDS, View, href
from ralex_core.model.window import Scope, Window
from ralex_core.monitoring.comparison import Compared, Comparison, Verdict, signed
from ralex_core.monitoring.latency import Dimension, LatencySummary, Summaries
from ralex_core.monitoring.load import Load, Pressure
from ralex_core.monitoring.trends import Trend
from ralex_core.render import duration, to_iso
from ralex_core.stats.quantiles import GAMMA
from ralex_core.storage.queries.latency import HeatCell, LoadBucket, PercentilePoint

HEAT_STEP = 12
"""Bins in a band of the heat map: a band reaches 27 % higher than the one below."""
MAX_BANDS = 60
SPARK_POINTS = 45
_TONES: dict[str, Tone] = {
    "slower": "bad",
    "faster": "good",
    "same": "neutral",
    "too_few": "unknown",
    "new": "unknown",
    "degrading": "bad",
    "stepped_up": "bad",
    "improving": "good",
    "stepped_down": "good",
    "steady": "neutral",
}
_FILTER_OF = {"model": "model", "tier": "tier", "project": "project", "user_id": "user", "session_id": "session"}
_RESOURCES = {"cpu": "CPU", "memory": "memory", "disk_io": "disk traffic"}


def operations_href(dimension: Dimension, group: Sequence[str | None], view: View) -> str | None:
    """The operations behind a group; None where the list cannot be narrowed to it."""
    pairs = view.pairs()
    told: set[str] = set()
    if dimension.kind is not None:
        pairs.append(("kind", dimension.kind))
    for column, value in zip(dimension.columns, group, strict=True):
        param = _FILTER_OF.get(column)
        if param is not None:
            pairs = [pair for pair in pairs if pair[0] != param] + [(param, value or "")]
            told.add(column)
        elif column in ("kind", "status") and value is not None:
            pairs.append((column, value))
            told.add(column)
        elif column in LIST_FIELDS:
            pairs.append((column, value or ""))
            told.add(column)
    return href("/operations", pairs) if told >= set(dimension.columns) else None


def summary_view(row: LatencySummary, dimension: Dimension, view: View, total_ms: float) -> SummaryView:
    return SummaryView(
        key=row.key,
        label=(row.group[-1] or UNKNOWN_LABEL) if row.group else "everything",
        kind=beside(row.group),
        operations=row.operations,
        errors=row.errors,
        error_ratio=row.error_ratio,
        timed=row.timed,
        per_minute=row.per_minute,
        p50_ms=row.p50_ms,
        p90_ms=row.p90_ms,
        p95_ms=row.p95_ms,
        p99_ms=row.p99_ms,
        max_ms=row.max_ms,
        mean_ms=row.mean_ms,
        total_ms=row.total_ms,
        share_ratio=row.total_ms / total_ms if total_ms else None,
        apdex=row.apdex,
        busy=row.busy,
        mean_ttft_ms=row.mean_ttft_ms,
        p50_ttft_ms=row.p50_ttft_ms,
        p95_ttft_ms=row.p95_ttft_ms,
        output_tokens=row.output_tokens,
        output_tokens_per_s=row.output_tokens_per_s,
        href=operations_href(dimension, row.group, view) if row.group else None,
    )


def beside(group: Sequence[str | None]) -> str | None:
    """What stands beside a group's name: its kind or provider."""
    return group[0] if len(group) > 1 else None


def summaries_view(found: Summaries, view: View) -> SummariesView:
    total_ms = found.total.total_ms
    return SummariesView(
        by=found.dimension.key,
        start_at=to_iso(found.window.start_us) or "",
        end_at=to_iso(found.window.end_us) or "",
        clipped=found.clipped,
        groups=found.groups,
        total=summary_view(found.total, found.dimension, view, total_ms),
        rows=[summary_view(row, found.dimension, view, total_ms) for row in found.rows],
    )


def verdict_view(verdict: Verdict) -> VerdictView:
    texts = {"too_few": "too few", "new": "new"}
    text = texts.get(verdict.state) or (signed(verdict.ratio) if verdict.ratio is not None else "")
    return VerdictView(
        state=verdict.state,
        text=text,
        tone=_TONES[verdict.state],
        why=verdict.why,
        percentile=verdict.percentile,
        now_ms=verdict.now_ms,
        before_ms=verdict.before_ms,
        ratio=verdict.ratio,
        low_ratio=verdict.low_ratio,
        high_ratio=verdict.high_ratio,
        p_value=verdict.p_value,
        n_now=verdict.n_now,
        n_before=verdict.n_before,
        usual_ratio=verdict.usual_ratio,
    )


def comparison_view(found: Comparison, view: View) -> ComparisonView:
    summaries, before = found.summaries, found.before_window
    return ComparisonView(
        by=summaries.dimension.key,
        against=found.against,
        start_at=to_iso(summaries.window.start_us) or "",
        end_at=to_iso(summaries.window.end_us) or "",
        before_start_at=None if before is None else to_iso(before.start_us),
        before_end_at=None if before is None else to_iso(before.end_us),
        clipped=summaries.clipped,
        groups=summaries.groups,
        rows=[_compared_view(row, summaries, view) for row in found.rows],
    )


def _compared_view(row: Compared, summaries: Summaries, view: View) -> ComparedView:
    before = row.before
    return ComparedView(
        summary_view(row.now, summaries.dimension, view, summaries.total.total_ms),
        None if before is None else BeforeView(before.timed, before.p50_ms, before.p95_ms, before.p99_ms),
        verdict_view(row.verdict),
    )


def timeline_view(
    window: Window,
    bucket_us: int,
    now: Sequence[PercentilePoint],
    counted: Sequence[LoadBucket],
    before: Sequence[PercentilePoint],
    shift_us: int,
    label: str | None,
) -> TimelineView:
    """Points of p50, p95 and p99; those before are moved `shift_us` later, so that they lie over those of now."""
    starts = starts_of(window, bucket_us)
    here = {point.start_us: point.values_ms for point in now}
    there = {point.start_us + shift_us: point.values_ms for point in before}
    counts = {bucket.start_us: bucket for bucket in counted}

    def line(points: dict[int, tuple[float, ...]], place: int) -> list[float | None]:
        return [round(points[start][place], 2) if start in points else None for start in starts]

    return TimelineView(
        bucket_us=bucket_us,
        starts=starts,
        operations=[counts[start].operations if start in counts else 0 for start in starts],
        errors=[counts[start].errors if start in counts else 0 for start in starts],
        p50_ms=line(here, 0),
        p95_ms=line(here, 1),
        p99_ms=line(here, 2),
        before_label=label,
        before_p50_ms=line(there, 0) if label else [],
        before_p95_ms=line(there, 1) if label else [],
    )


def heat_view(scope: Scope, bucket_us: int, cells: Sequence[HeatCell]) -> HeatMapView:
    """Cells with bands counted from the lowest that holds anything; what lies above `MAX_BANDS` is in the highest."""
    starts = starts_of(scope.window, bucket_us)
    if not cells:
        return HeatMapView(bucket_us, starts, [], 0, [])
    # durations of 0 have a bin far below all others: they join the lowest band of what took any time
    timed = [cell.band for cell in cells if GAMMA ** (cell.band * HEAT_STEP) > 1e-3]
    low = min(timed, default=0)
    high = min(max(timed, default=0), low + MAX_BANDS - 1)
    place = {start: index for index, start in enumerate(starts)}
    counts: dict[tuple[int, int], int] = {}
    for cell in cells:
        if cell.start_us in place:
            key = (place[cell.start_us], max(0, min(high, cell.band) - low))
            counts[key] = counts.get(key, 0) + cell.operations
    edges = [round(GAMMA ** (band * HEAT_STEP - 1), 4) for band in range(low, high + 2)]
    listed = [[bucket, band, operations] for (bucket, band), operations in sorted(counts.items())]
    return HeatMapView(bucket_us, starts, edges, max(counts.values()), listed)


def load_view(found: Load) -> LoadView:
    exact = found.exact
    return LoadView(
        operations=found.operations,
        per_minute=found.per_minute,
        mean_ms=found.mean_ms,
        busy_little=found.busy_little,
        busy_exact=None if exact is None else exact.mean,
        busy_peak=None if exact is None else exact.peak,
        busy_peak_at=None if exact is None else to_iso(exact.peak_at_us),
        pressures=[_pressure_view(pressure) for pressure in found.pressures],
    )


def _pressure_view(pressure: Pressure) -> PressureView:
    found = pressure.found
    name = _RESOURCES[pressure.resource]
    if found is None:
        text = f"Too few moments to compare {name} and response times."
    else:
        lag = f", {duration(pressure.lag_us / 1000)} later" if pressure.lag_us else ""
        chance = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.2g}"
        numbers = f"rank correlation {found.correlation:+.2f}{lag}, n = {found.n}, {chance}"
        verb = "Response times rise with" if pressure.related else "No clear relation of response times to"
        text = f"{verb} {name} ({numbers})."
    return PressureView(
        resource=pressure.resource,
        mean_ratio=pressure.mean_ratio,
        max_ratio=pressure.max_ratio,
        correlation=found.correlation if found else None,
        lag_s=pressure.lag_us / 1e6,
        pairs=found.n if found else 0,
        p_value=found.p_value if found else None,
        related=pressure.related,
        text=text,
    )


def trend_view(trend: Trend) -> TrendView:
    texts = {"steady": "no change", "too_few": "too few days"}
    text = texts.get(trend.state, "")
    if trend.state in ("degrading", "improving") and trend.per_month_ratio is not None:
        text = f"{signed(trend.per_month_ratio)} a month"
    elif trend.state in ("stepped_up", "stepped_down"):
        text = f"{signed(trend.steps[-1].ratio)} in one step"
    values: list[float | None] = [round(value, 2) for value in trend.values_ms[-SPARK_POINTS:]]
    return TrendView(
        key=trend.key,
        label=trend.group[-1] or UNKNOWN_LABEL,
        kind=beside(trend.group),
        state=trend.state,
        text=text,
        tone=_TONES[trend.state],
        why=trend.why,
        per_month_ratio=trend.per_month_ratio,
        p_value=trend.p_value,
        steps=[
            StepView(to_iso(step.day_us) or "", step.day_us, step.before_ms, step.after_ms, step.ratio)
            for step in trend.steps
        ],
        points=[
            [day, count, round(value, 2)]
            for day, count, value in zip(trend.days, trend.operations, trend.values_ms, strict=True)
        ],
        spark=values,
    )
