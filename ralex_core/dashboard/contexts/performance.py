"""The performance page and its answers. Durations are ms; percentiles are within 1 %."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ralex_core.dashboard.contexts.frame import Choice, Tone
from ralex_core.dashboard.contexts.operations import Column

VerdictState = Literal["slower", "faster", "same", "too_few", "new"]
TrendState = Literal["degrading", "improving", "stepped_up", "stepped_down", "steady", "too_few"]


@dataclass(frozen=True, slots=True)
class SummaryView:
    """How one group did. `busy` is the mean number under way at once; `share_ratio` its part of all time taken."""

    key: str
    label: str
    kind: str | None
    operations: int
    errors: int
    error_ratio: float | None
    timed: int
    per_minute: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    mean_ms: float | None
    total_ms: float
    share_ratio: float | None
    apdex: float | None
    busy: float | None
    mean_ttft_ms: float | None
    p50_ttft_ms: float | None
    p95_ttft_ms: float | None
    output_tokens: int
    output_tokens_per_s: float | None
    href: str | None


@dataclass(frozen=True, slots=True)
class SummariesView:
    """Groups by the time they took, most first. `clipped`: only the end of the range could be answered for."""

    by: str
    start_at: str
    end_at: str
    clipped: bool
    groups: int
    total: SummaryView
    rows: list[SummaryView]


@dataclass(frozen=True, slots=True)
class VerdictView:
    """Whether a group became slower, and why. Ratios are now ÷ before; `p_value` is adjusted for the number of rows."""

    state: VerdictState
    text: str
    tone: Tone
    why: str
    percentile: int | None
    now_ms: float | None
    before_ms: float | None
    ratio: float | None
    low_ratio: float | None
    high_ratio: float | None
    p_value: float | None
    n_now: int
    n_before: int
    usual_ratio: float | None


@dataclass(frozen=True, slots=True)
class BeforeView:
    timed: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class ComparedView:
    now: SummaryView
    before: BeforeView | None
    verdict: VerdictView


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """`before_*` is the window compared with; null against what is usual."""

    by: str
    against: str
    start_at: str
    end_at: str
    before_start_at: str | None
    before_end_at: str | None
    clipped: bool
    groups: int
    rows: list[ComparedView]


@dataclass(frozen=True, slots=True)
class TimelineView:
    """Percentiles per bucket, now and before; null where nothing was timed. All lists are as long as `starts`."""

    bucket_us: int
    starts: list[int]
    operations: list[int]
    errors: list[int]
    p50_ms: list[float | None]
    p95_ms: list[float | None]
    p99_ms: list[float | None]
    before_label: str | None
    before_p50_ms: list[float | None]
    before_p95_ms: list[float | None]


@dataclass(frozen=True, slots=True)
class HeatMapView:
    """How durations are spread over time. Band `b` holds durations over `edges_ms[b]` up to `edges_ms[b + 1]`.

    `cells` are [bucket, band, operations], both counted from 0; cells without operations are left out.
    """

    bucket_us: int
    starts: list[int]
    edges_ms: list[float]
    most: int
    cells: list[list[int]]


@dataclass(frozen=True, slots=True)
class PressureView:
    resource: str
    mean_ratio: float | None
    max_ratio: float | None
    correlation: float | None
    lag_s: float
    pairs: int
    p_value: float | None
    related: bool
    text: str


@dataclass(frozen=True, slots=True)
class LoadView:
    """Throughput and concurrency. `busy_exact` and `busy_peak` are null for long or very busy ranges."""

    operations: int
    per_minute: float | None
    mean_ms: float | None
    busy_little: float | None
    busy_exact: float | None
    busy_peak: int | None
    busy_peak_at: str | None
    pressures: list[PressureView]


@dataclass(frozen=True, slots=True)
class StepView:
    day_at: str
    day_us: int
    before_ms: float
    after_ms: float
    ratio: float


@dataclass(frozen=True, slots=True)
class TrendView:
    """The p95 per UTC day. `points` are [day, operations, p95], the day in microseconds since the epoch."""

    key: str
    label: str
    kind: str | None
    state: TrendState
    text: str
    tone: Tone
    why: str
    per_month_ratio: float | None
    p_value: float | None
    steps: list[StepView]
    points: list[list[float]]
    spark: list[float | None]


@dataclass(frozen=True, slots=True)
class PerformanceRow:
    """A row of the table."""

    now: SummaryView
    verdict: VerdictView
    picked: bool
    pick_href: str


@dataclass(frozen=True, slots=True)
class Performance:
    by: str
    title: str
    against: str
    tabs: list[Choice]
    more: list[Choice]
    againsts: list[Choice]
    columns: list[Column]
    rows: list[PerformanceRow]
    total: SummaryView
    groups: int
    sentence: str
    sentence_tone: Tone
    notes: list[str]
    picked: str | None
    picked_label: str | None
    unpick_href: str
    timeline: TimelineView
    heat: HeatMapView
    load: LoadView
    trends: list[TrendView]
    trend: TrendView | None
