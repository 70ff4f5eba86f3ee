"""What pages show and the API answers: one definition for the template, the JSON and the OpenAPI schema.

Money is `Decimal` (a decimal string in JSON), except in the series of charts, which are plain numbers. Times named
`*_at` are ISO-8601 in UTC, `*_us` and `starts` are microseconds since the epoch. Ratios are 0–1. None is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Tone = Literal["neutral", "good", "warn", "bad", "unknown"]
NumberUnit = Literal["usd", "ratio", "per_minute", "ms", "percent", "count"]

# --- every page ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NavItem:
    key: str
    title: str
    href: str
    active: bool


@dataclass(frozen=True, slots=True)
class DemoView:
    """Whether demo data is shown; pages wear a banner while it is."""

    active: bool
    available: bool = True


@dataclass(frozen=True, slots=True)
class RangeView:
    """The time range a page shows. `explicit` is False when the page chose it, because the address named none."""

    key: str
    label: str
    live: bool
    explicit: bool
    start_us: int
    end_us: int
    start_at: str
    end_at: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several links of which one is active."""

    key: str
    label: str
    href: str
    active: bool


@dataclass(frozen=True, slots=True)
class Chip:
    """An active filter and the address without it."""

    param: str
    label: str
    value: str
    remove_href: str


@dataclass(frozen=True, slots=True)
class FilterField:
    param: str
    label: str


@dataclass(frozen=True, slots=True)
class ScopeBar:
    """Range and filters of a page: everything its top bar needs to show and to change them by links and GET forms."""

    range: RangeView
    ranges: list[Choice]
    chips: list[Chip]
    fields: list[FilterField]
    clear_href: str
    hidden: list[tuple[str, str]]
    hidden_range: list[tuple[str, str]]
    query: str
    path: str


@dataclass(frozen=True, slots=True)
class Shell:
    """The frame around every page."""

    page: str
    title: str
    version: str
    timezone: str
    request_id: str
    server_now_us: int
    nav: list[NavItem]
    demo: DemoView
    signed_in: bool
    scope: ScopeBar | None


@dataclass(frozen=True, slots=True)
class Problem:
    """The error page."""

    status: int
    title: str
    message: str
    request_id: str
    retry_href: str | None


@dataclass(frozen=True, slots=True)
class Login:
    next: str
    failed: bool


# --- rows and figures ----------------------------------------------------------------------------------------------


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


# --- overview ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Phrase:
    """A part of the sentence that says how things are."""

    text: str
    tone: Tone = "neutral"
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Against the period of the same length just before."""

    text: str
    tone: Tone
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline figure: as text (`value`, `unit`, `detail`) and as `number` in `number_unit`."""

    key: str
    title: str
    value: str
    unit: str
    number: float | None
    number_unit: NumberUnit
    detail: str
    help: str
    tone: Tone = "neutral"
    change: Change | None = None
    previous: float | None = None
    good: Literal["up", "down"] | None = None
    meter: float | None = None
    spark: list[float | None] = field(default_factory=list[float | None])
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Claims that are kept but left out of totals."""

    count: int
    usd: Decimal
    href: str


@dataclass(frozen=True, slots=True)
class Overview:
    generated_at: str
    range: RangeView
    empty: bool
    headline: list[Phrase]
    tiles: list[Tile]
    today: TodayView
    totals: TotalsView
    previous: TotalsView | None
    charts: Charts
    models: list[BreakdownView]
    busiest: list[BreakdownView]
    feed: list[FeedItem]
    resources: Resources
    drift: list[DriftView]
    quarantined: Quarantined


# --- operations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    key: str
    title: str
    sortable: bool
    sort_href: str | None
    sorted: Literal["", "asc", "desc"]
    numeric: bool


@dataclass(frozen=True, slots=True)
class Select:
    param: str
    label: str
    value: str
    options: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class OperationList:
    """A page of operations. `total` is a lower bound when `total_is_exact` is False."""

    rows: list[OperationRow]
    total: int
    total_is_exact: bool
    page: int
    size: int
    pages: int


@dataclass(frozen=True, slots=True)
class Explorer:
    """The operations page."""

    rows: list[OperationRow]
    total: int
    total_is_exact: bool
    total_text: str
    page: int
    size: int
    pages: int
    first: int
    last: int
    columns: list[Column]
    prev_href: str | None
    next_href: str | None
    sizes: list[Choice]
    selects: list[Select]
    search: str
    quarantined: bool
    hidden: list[tuple[str, str]]
    reset_href: str


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str
    href: str | None = None
    mono: bool = False


@dataclass(frozen=True, slots=True)
class FactGroup:
    title: str
    facts: list[Fact]


@dataclass(frozen=True, slots=True)
class ClaimView:
    """What one witness says an operation cost."""

    basis: Literal["billed", "computed", "reported"]
    usd: Decimal | None
    state: Literal["used", "kept", "quarantined", "absent"]
    note: str


@dataclass(frozen=True, slots=True)
class PriceLineView:
    """Units × rate = dollars."""

    unit: str
    units: int
    usd_per_mtok: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class PriceView:
    """Why this price."""

    sentence: str
    matched: str | None
    version: str | None
    lines: list[PriceLineView]
    cliff: str | None
    quarantine: str | None
    baseline_model: str | None
    baseline_usd: Decimal | None
    saved_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class SpanView:
    """One bar of the waterfall. `orphan`: its parent was not stored."""

    operation_id: str
    name: str
    kind: str
    model: str | None
    tier: str | None
    status: str
    depth: int
    left_ratio: float
    width_ratio: float
    offset_ms: float
    duration_ms: float | None
    cost_usd: Decimal | None
    current: bool
    orphan: bool
    href: str


@dataclass(frozen=True, slots=True)
class TraceView:
    trace_id: str
    started_at: str
    duration_ms: float
    operations: int
    truncated: bool
    cost_usd: Decimal | None
    spans: list[SpanView]


@dataclass(frozen=True, slots=True)
class OperationDetail:
    """One operation with its trace, its claims and why this price."""

    op: OperationRow
    title: str
    subtitle: str
    facts: list[FactGroup]
    claims: list[ClaimView]
    price: PriceView
    can_accept_claim: bool
    outcomes: list[tuple[str, str, bool]]
    attributes: list[tuple[str, str]]
    trace: TraceView | None
    back_href: str


# --- first minutes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobView:
    """An import that waits, runs or has ended."""

    id: str
    source: str
    title: str
    state: Literal["queued", "running", "done", "failed"]
    progress_ratio: float | None
    read: int
    imported: int
    duplicates: int
    rejected: int
    message: str | None
    started_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class FoundView:
    """Logs on this machine that can be imported with one click."""

    source: str
    title: str
    paths: list[str]
    more_paths: int
    files: int
    bytes: int
    oldest_at: str | None
    newest_at: str | None
    what: str
    job: JobView | None


@dataclass(frozen=True, slots=True)
class Step:
    text: str
    code: str | None = None
    language: Literal["sh", "toml", "json", "python", "yaml"] | None = None


@dataclass(frozen=True, slots=True)
class Guide:
    """How to connect one assistant."""

    key: str
    title: str
    summary: str
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Welcome:
    home: str
    empty: bool
    base_url: str
    found: list[FoundView]
    looked_in: list[str]
    guides: list[Guide]
    jobs: list[JobView]
    content_note: str
