"""Budgets: the list, one in full, and the page."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ProjectionView:
    """What the period will have cost by its end: mean and 95 % interval, and how such forecasts did before."""

    mean_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    naive_usd: Decimal
    """So far, plus the rest as it was a week (short periods: a day) ago."""
    method: str
    tried: int
    """Earlier periods the method was tried on at this point, each time knowing only what came before."""
    error_ratio: float | None
    """Its error there: sum of absolute errors ÷ sum of what came; None when nothing came."""
    naive_error_ratio: float | None
    within_15_earned: bool
    """Whether "±15 %" may be said of it."""


@dataclass(frozen=True, slots=True)
class PastPeriodView:
    """A period that is over. `kept` is measured against the limit as it is now."""

    start_at: str
    start_us: int
    end_at: str
    spent_usd: Decimal
    used_ratio: float
    coverage_ratio: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget and how it stands in its current period."""

    id: str
    name: str
    scope: str
    value: str | None
    period: str
    rolling_hours: int | None
    timezone: str | None
    """Of its days; null: the monitor's."""
    soft_usd: Decimal | None
    hard_usd: Decimal | None
    limit_usd: Decimal
    """What spending is measured against: the hard limit, else the soft one."""
    built_in: bool
    """Made by a setting; it cannot be changed here."""
    period_start_at: str
    period_start_us: int
    period_end_at: str
    period_end_us: int
    state: str
    """ok, warn or over."""
    sentence: str
    spent_usd: Decimal
    """Known costs, what was reserved where a cost is unknown, and what is settled and not stored yet."""
    cost_usd: Decimal
    at_reserve_usd: Decimal
    held_usd: Decimal
    remaining_usd: Decimal
    used_ratio: float
    operations: int
    coverage_ratio: float | None
    burn_usd_per_hour: Decimal
    burn_over_s: float
    projection: ProjectionView | None
    runs_out_at: str | None
    runs_out_us: int | None
    may_run_out_at: str | None
    may_run_out_us: int | None
    history: list[PastPeriodView]
    kept: int
    """Past periods that kept to the limit, of those in `history`."""


@dataclass(frozen=True, slots=True)
class BudgetsView:
    """All budgets, those in trouble first."""

    budgets: list[BudgetView]


@dataclass(frozen=True, slots=True)
class BudgetCourse:
    """What was spent by each time, and what is expected. Every list is as long as `starts`; null is not known."""

    bucket_us: int
    starts: list[int]
    spent: list[float | None]
    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]


@dataclass(frozen=True, slots=True)
class AlternativeView:
    """Work that could move to a cheaper model, and what the period would end at."""

    sentence: str
    evidence: str
    key: str | None
    from_model: str
    to_model: str
    to_tier: str
    ends_at_usd: Decimal
    saving_usd: Decimal
    worse: bool
    """The cheaper model did such work worse, beyond doubt."""


@dataclass(frozen=True, slots=True)
class BudgetDetail:
    """One budget in full."""

    budget: BudgetView
    course: BudgetCourse
    alternatives: list[AlternativeView]


@dataclass(frozen=True, slots=True)
class BudgetForm:
    """What a form holds, as it was typed, and what is wrong with it."""

    name: str = ""
    scope: str = "all"
    value: str = ""
    period: str = "day"
    rolling_hours: str = ""
    soft_usd: str = ""
    hard_usd: str = ""
    timezone: str = ""
    problem: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class BudgetsPage:
    """What the page shows."""

    budgets: list[BudgetView]
    chosen: BudgetDetail | None
    new: BudgetForm
    edit: BudgetForm | None
    undo: str | None
    """Id of a budget that was just deleted."""
    undo_name: str
    scopes: list[str]
    periods: list[str]
    zone: str
