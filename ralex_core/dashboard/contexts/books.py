"""The statement of a day or month, as the page and the API tell it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ralex_core.dashboard.contexts.frame import Choice


@dataclass(frozen=True, slots=True)
class ComparedView:
    """The claims of one witness beside the computed cost of the same calls. `difference_usd` = claimed − computed."""

    calls: int
    claimed_usd: Decimal
    computed_usd: Decimal
    difference_usd: Decimal


@dataclass(frozen=True, slots=True)
class SumsView:
    """What calls add up to. A sum is null when no call has such a claim; quarantined claims are in none.

    `silent_calls` reported 0 without meaning it.
    """

    calls: int
    priced_calls: int
    coverage_ratio: float | None
    basis: dict[str, int]
    """Calls by cost basis: billed, computed, reported, unknown."""
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal | None
    billed_usd: Decimal | None
    computed_usd: Decimal | None
    reported_usd: Decimal | None
    billed_minus_computed: ComparedView
    reported_minus_computed: ComparedView
    quarantined_claims: int
    quarantined_usd: Decimal
    silent_calls: int


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """Why claims differ; `cause` null: nothing known explains it. `distance_usd` = Σ |claimed − computed|."""

    witness: Literal["billed", "reported"]
    cause: str | None
    sentence: str
    calls: int
    difference_usd: Decimal
    distance_usd: Decimal


@dataclass(frozen=True, slots=True)
class LineView:
    """One model of one provider. `state`: agrees, explained, unexplained, or alone (no second claim to compare)."""

    provider: str | None
    model: str | None
    state: Literal["agrees", "explained", "unexplained", "alone"]
    unexplained_usd: Decimal
    explanations: list[ExplanationView]
    sums: SumsView
    href: str


@dataclass(frozen=True, slots=True)
class DayView:
    """One day of the period; `href` is its own statement."""

    date: str
    start_at: str
    hours: float
    sums: SumsView
    href: str


@dataclass(frozen=True, slots=True)
class QuarantinedView:
    operation_id: str
    started_at: str
    model: str | None
    claim: Literal["billed", "reported"]
    usd: Decimal
    sentence: str
    href: str


@dataclass(frozen=True, slots=True)
class StatementView:
    """A statement. Lines: unexplained ones first, then by cost. A day belongs to the zone that `timezone` names."""

    period: Literal["day", "month"]
    label: str
    boundary: Literal["utc", "local"]
    timezone: str
    start_at: str
    end_at: str
    complete: bool
    """Whether the period is over."""
    made_at: str
    total: SumsView
    lines: list[LineView]
    days: list[DayView]
    quarantined: list[QuarantinedView]
    unexplained_usd: Decimal
    unexplained_lines: int
    not_examined_calls: int
    deleted_calls: int
    deleted_usd: Decimal
    rule: str
    """When a line is flagged, in words."""


@dataclass(frozen=True, slots=True)
class FindingView:
    """What a provider says of a UTC period beside what is stored: `difference_usd` is theirs − ours. No model: all."""

    source: Literal["key", "activity"]
    period: str
    model: str
    start_at: str
    end_at: str
    theirs_usd: Decimal
    ours_usd: Decimal
    difference_usd: Decimal
    theirs_calls: int | None
    ours_calls: int
    state: Literal["agrees", "explained", "unexplained"]
    explanation: str


@dataclass(frozen=True, slots=True)
class ReconciliationView:
    """One run. Counts are of calls; `remaining` ones wait for a later run.

    `before_usd` and `after_usd` are what the calls that got a bill cost without and with it.
    """

    id: int
    started_at: str
    finished_at: str | None
    trigger: str
    state: Literal["running", "done", "interrupted", "failed"]
    message: str | None
    looked_up: int
    billed: int
    not_found: int
    unclear: int
    remaining: int
    before_usd: Decimal
    after_usd: Decimal
    findings: list[FindingView]


@dataclass(frozen=True, slots=True)
class ReconciliationsView:
    """`enabled`: a key is set. Runs are newest first; those in the list come without their findings."""

    enabled: bool
    provider: Literal["openrouter"]
    every_h: float
    latest: ReconciliationView | None
    runs: list[ReconciliationView]


@dataclass(frozen=True, slots=True)
class ModelChangeView:
    """What pricing again changes for one model. Costs are of its changed calls."""

    provider: str | None
    model: str | None
    calls: int
    before_usd: Decimal
    after_usd: Decimal
    became_known: int
    became_unknown: int
    quarantined: int
    released: int


@dataclass(frozen=True, slots=True)
class RepricingView:
    """What pricing a window again changes (`applied` false) or has changed. Totals are of all calls of the window."""

    applied: bool
    start_at: str
    end_at: str
    model: str | None
    examined_calls: int
    changed_calls: int
    before_usd: Decimal
    after_usd: Decimal
    difference_usd: Decimal
    price_versions: dict[str, int]
    models: list[ModelChangeView]


@dataclass(frozen=True, slots=True)
class StatementPage:
    """The page around a statement."""

    statement: StatementView
    reconciliations: ReconciliationsView
    findings: list[FindingView]
    """Those of the latest reconciliation that are about days of this statement."""
    reprice: dict[str, str]
    """What to ask the API for, to price this period again."""
    title: str
    subtitle: str
    periods: list[Choice]
    boundaries: list[Choice]
    previous_href: str
    next_href: str | None
    csv_href: str
    input_type: Literal["date", "month"]
    hidden: list[tuple[str, str]]
    notes: list[str]
