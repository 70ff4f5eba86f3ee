"""Forecasts of spend as pages and the API tell them. Money is USD, ratios are 0-1, None is not known."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True, slots=True)
class SpentView:
    """One hour or day that has begun, up to now."""

    start_at: str
    end_at: str
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class CourseView:
    """What an hour or day, or the rest of it, is foretold to cost, and with it the period up to its end."""

    start_at: str
    end_at: str
    mean_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    total_mean_usd: Decimal
    total_low_usd: Decimal
    total_high_usd: Decimal


@dataclass(frozen=True, slots=True)
class BacktestView:
    """How the same method did at earlier points, beside the seasonal naive forecast at the same points.

    `wape` is the sum of absolute errors ÷ the sum of what came; `within_15_ratio` the share of points from which the
    sum came within 15 %; `coverage_ratio` the share of 95 % intervals that held what came.
    """

    origins: int
    wape: float | None
    naive_wape: float | None
    within_15_ratio: float | None
    naive_within_15_ratio: float | None
    coverage_ratio: float | None


@dataclass(frozen=True, slots=True)
class PastForecastView:
    """A forecast whose period is over. `made_ratio` is how much of the period had passed when it was made."""

    start_at: str
    end_at: str
    made_at: str
    made_ratio: float
    mean_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    naive_usd: Decimal
    claimed: bool
    actual_usd: Decimal
    error_ratio: float | None
    """(Foretold − came) ÷ came; None when nothing came."""
    in_interval: bool


@dataclass(frozen=True, slots=True)
class AccountView:
    """What became of all kept forecasts of this horizon."""

    forecasts: int
    in_interval: int
    within_15: int
    claimed: int
    claims_kept: int
    wape: float | None
    naive_wape: float | None


@dataclass(frozen=True, slots=True)
class ForecastView:
    """The running day, week or month: spent so far, and what it will have cost by its end.

    `mean_usd`, its 95 % interval and `naive_usd` (the rest as it was a week ago) are None, and `course` is empty, with
    too little history. `claims_15` says whether "±15 %" is claimed, `claim` why or why not. `steps` is about single
    hours or days, `backtest` about the whole period from this point of it. `account` is of the monitor's own forecasts;
    None for filtered or demo data, of which none are kept.
    """

    horizon: Literal["day", "week", "month"]
    step: Literal["hour", "day"]
    made_at: str
    start_at: str
    end_at: str
    timezone: str
    so_far_usd: Decimal
    coverage_ratio: float | None
    mean_usd: Decimal | None
    low_usd: Decimal | None
    high_usd: Decimal | None
    naive_usd: Decimal | None
    claims_15: bool
    claim: str
    methods: list[str]
    backtest: BacktestView | None
    steps: BacktestView | None
    spent: list[SpentView]
    course: list[CourseView]
    account: AccountView | None
    past: list[PastForecastView]


@dataclass(frozen=True, slots=True)
class DollarMark:
    """A grid line of a drawing: how far down it is, in its box, and its words."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class TimeMark:
    """Words under a drawing: how far to the right they are, 0-100, and on which side of that point they stand."""

    x_percent: float
    label: str
    anchor: Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class ForecastFigure:
    """SVG paths in a box of `width` × `height`; `top_usd` is the value of its upper edge. Empty: nothing to draw."""

    width: float
    height: float
    spent: str
    course: str
    band: str
    now_x: float
    naive_y: float | None
    top_usd: float
    dollars: list[DollarMark]
    times: list[TimeMark]


@dataclass(frozen=True, slots=True)
class ForecastCard:
    """One horizon on a page: its forecast, its drawing, and the words under its axis."""

    title: str
    ends: str
    view: ForecastView
    figure: ForecastFigure
