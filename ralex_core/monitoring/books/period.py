"""What a statement is of: a day or a month, cut at UTC midnights or at local ones.

OpenRouter's days are UTC, people live in local time, and Ralex's own logs carry naive local times. So a statement
always says which midnights it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from ralex_core.model.window import Window

Boundary = Literal["utc", "local"]
BOUNDARIES: tuple[Boundary, ...] = ("local", "utc")


@dataclass(frozen=True, slots=True)
class Day:
    """One day: 24 hours in UTC; in local time 23 or 25 when clocks are changed."""

    date: date
    window: Window


@dataclass(frozen=True, slots=True)
class Period:
    """A day or a month of days. `label` is 2026-11-24 or 2026-11; `zone_name` names whose midnights cut it."""

    label: str
    boundary: Boundary
    zone_name: str
    days: tuple[Day, ...]

    @property
    def is_month(self) -> bool:
        return len(self.label) == len("2026-11")

    @property
    def window(self) -> Window:
        return Window(self.days[0].window.start_us, self.days[-1].window.end_us)

    def windows(self) -> Sequence[Window]:
        return [day.window for day in self.days]


def day_period(day: date, boundary: Boundary, zone: tzinfo, zone_name: str) -> Period:
    """One day."""
    return _period(day.isoformat(), [day], boundary, zone, zone_name)


def month_period(first: date, boundary: Boundary, zone: tzinfo, zone_name: str) -> Period:
    """The calendar month that `first` is in: all of its days, whether they have passed or not."""
    start = first.replace(day=1)
    days = [start + timedelta(days=number) for number in range((_next_month(start) - start).days)]
    return _period(f"{start:%Y-%m}", days, boundary, zone, zone_name)


def previous_and_next(period: Period) -> tuple[date, date]:
    """The first day of the period before and of the period after."""
    first, last = period.days[0].date, period.days[-1].date
    before = first - timedelta(days=1)
    return (before.replace(day=1) if period.is_month else before), last + timedelta(days=1)


def date_at(time_us: int, boundary: Boundary, zone: tzinfo) -> date:
    """The date of a moment (UTC microseconds), by UTC's or the zone's calendar."""
    return datetime.fromtimestamp(time_us / 1_000_000, UTC if boundary == "utc" else zone).date()


def _next_month(start: date) -> date:
    return (start.replace(day=28) + timedelta(days=4)).replace(day=1)


def _period(label: str, days: Sequence[date], boundary: Boundary, zone: tzinfo, zone_name: str) -> Period:
    used = UTC if boundary == "utc" else zone
    name = "UTC" if boundary == "utc" else zone_name
    cut = tuple(Day(day, Window(_midnight(day, used), _midnight(day + timedelta(days=1), used))) for day in days)
    return Period(label, boundary, name, cut)


def _midnight(day: date, zone: tzinfo) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1_000_000
