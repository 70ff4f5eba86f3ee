"""The overview."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from ralex_core.dashboard.contexts.frame import RangeView, Tone
from ralex_core.dashboard.contexts.rows import (
    BreakdownView,
    Charts,
    DriftView,
    FeedItem,
    NumberUnit,
    Resources,
    TodayView,
    TotalsView,
)


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
