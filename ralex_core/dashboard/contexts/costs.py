"""The costs page and its API: spending, worth, claims, caches and what-if."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ralex_core.dashboard.contexts.frame import Choice, Tone
from ralex_core.dashboard.contexts.rows import Basis, CostSeries, DriftView


@dataclass(frozen=True, slots=True)
class WorthView:
    """What work cost and was worth. Counts are of calls to models; amounts of those of known cost.

    A ratio that is null comes with its reason. `matched` calls were compared with what the baseline model spent on the
    same task, `same_usage` ones with their usage at its price; `not_compared` ones count as worth nothing.
    """

    calls: int
    priced: int
    coverage_ratio: float | None
    successes: int
    cost_usd: Decimal
    cost_per_call_usd: Decimal | None
    cost_per_success_usd: Decimal | None
    baseline_usd: Decimal | None
    efficiency_ratio: float | None
    efficiency_reason: str | None
    value_usd: Decimal | None
    roi_ratio: float | None
    roi_reason: str | None
    matched: int
    same_usage: int
    not_compared: int
    compared_ratio: float | None
    valued: int


@dataclass(frozen=True, slots=True)
class BaselineView:
    """What worth is judged by: the value model, and the baseline model with what is known of it."""

    value_model: str
    value_problem: str | None
    model: str
    configured: bool
    price_problem: str | None
    used: bool
    """Whether stored calls used it, so that tasks can be matched."""


@dataclass(frozen=True, slots=True)
class SpentView:
    """One value of a dimension, with the link to its operations."""

    key: str
    label: str
    tier: str | None
    share_ratio: float | None
    errors: int
    basis: Basis
    worth: WorthView
    href: str | None


@dataclass(frozen=True, slots=True)
class CostBreakdown:
    """Spending by one dimension: the rows that cost most, and the rest together."""

    by: str
    judged_by: BaselineView
    rows: list[SpentView]
    groups: int
    other: SpentView | None
    total: SpentView


@dataclass(frozen=True, slots=True)
class TierRoi:
    """Return on investment of one tier (or of everything), with its 95 % interval over `sessions`."""

    key: str
    label: str
    low_ratio: float | None
    high_ratio: float | None
    interval_reason: str | None
    sessions: int
    worth: WorthView
    href: str | None


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the goal ("$50 of work for $1") is proved: by the whole interval above or below it."""

    goal_ratio: float
    state: str
    """`proved`, `refuted`, `open` or `unknown`."""
    sentence: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class RoiView:
    """Value per dollar, of everything and per tier."""

    judged_by: BaselineView
    proof: Proof
    total: TierRoi
    tiers: list[TierRoi]


@dataclass(frozen=True, slots=True)
class UnitSeries:
    """Unit economics per bucket; null where nothing ran or it cannot be known."""

    bucket_us: int
    starts: list[int]
    calls: list[int]
    cost_usd: list[float]
    cost_per_call_usd: list[float | None]
    cost_per_success_usd: list[float | None]
    efficiency_ratio: list[float | None]
    coverage_ratio: list[float | None]


@dataclass(frozen=True, slots=True)
class CachedModelView:
    model: str
    read_tokens: int
    written_tokens: int
    saved_usd: Decimal
    lost_usd: Decimal
    href: str


@dataclass(frozen=True, slots=True)
class CacheView:
    """What caches saved (net of what writing cost more), and at most what was lost to misses."""

    calls: int
    told: int
    read_ratio: float | None
    saved_usd: Decimal | None
    read_saved_usd: Decimal | None
    write_extra_usd: Decimal | None
    missed_tokens: int
    missed_after_pause_tokens: int
    lost_usd: Decimal | None
    lost_after_pause_usd: Decimal | None
    models: list[CachedModelView]
    reason: str | None


@dataclass(frozen=True, slots=True)
class LossView:
    """One way of paying for nothing."""

    key: str
    label: str
    calls: int
    priced: int
    cost_usd: Decimal | None
    """Null when no cost of them is known."""
    share_ratio: float | None
    href: str | None


@dataclass(frozen=True, slots=True)
class MoveView:
    """Operations that would have cost less in a cheaper tier."""

    key: str
    label: str
    by: str
    from_tier: str
    from_model: str
    to_tier: str
    to_model: str
    calls: int
    other_calls: int
    cost_usd: Decimal
    moved_usd: Decimal
    saving_usd: Decimal
    net_saving_usd: Decimal | None
    from_success_ratio: float | None
    to_success_ratio: float | None
    lost_successes: float | None
    worse: bool
    evidence: str
    href: str


@dataclass(frozen=True, slots=True)
class SavingView:
    type: str
    priority: str
    title: str
    evidence: str
    saving_usd: Decimal


@dataclass(frozen=True, slots=True)
class ClaimsView:
    """The claims side by side. Amounts are null when no call has that claim; quarantined ones are left out."""

    billed_usd: Decimal | None
    computed_usd: Decimal | None
    reported_usd: Decimal | None
    basis: Basis
    quarantined: int
    quarantined_usd: Decimal
    quarantine_href: str
    models: list[DriftView]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Everything the scope cost, and what the same work would have cost at one model."""

    judged_by: BaselineView
    worth: WorthView
    sentence: str


@dataclass(frozen=True, slots=True)
class CostReport:
    """What the command line shows."""

    range_label: str
    start_at: str
    end_at: str
    breakdown: CostBreakdown
    roi: RoiView
    losses: list[LossView]
    cache: CacheView
    savings: list[SavingView]


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure of the ledger's summary."""

    key: str
    title: str
    value: str
    unit: str
    detail: str
    help: str
    href: str | None = None
    tone: Tone = "neutral"


@dataclass(frozen=True, slots=True)
class RoiMark:
    """Where a ratio and its interval are drawn, in percent of the width; None is not drawn."""

    row: TierRoi
    place: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class RoiTick:
    place: float
    label: str


@dataclass(frozen=True, slots=True)
class RoiScale:
    """The drawn intervals on one logarithmic scale, with break-even and the goal."""

    marks: list[RoiMark]
    ticks: list[RoiTick]


@dataclass(frozen=True, slots=True)
class CostsPage:
    """Everything the page shows. `empty` when no call to a model was made in the range."""

    empty: bool
    roi: RoiView
    scale: RoiScale
    compared: str
    """With what the work was compared, in words."""
    facts: list[Fact]
    title: str
    """Of the breakdown's dimension."""
    tabs: list[Choice]
    value_models: list[Choice]
    breakdown: CostBreakdown
    claims: ClaimsView
    losses: list[LossView]
    cache: CacheView
    savings: list[SavingView]
    moves: list[MoveView]
    spend: CostSeries
    units: UnitSeries
    baselines: list[str]
    hidden: list[tuple[str, str]]
    """What the form of the baseline keeps."""
    reset_href: str | None
    """Back to the baseline of the settings; None while it is shown."""
