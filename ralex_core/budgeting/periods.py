"""The periods budgets are counted in: hours, days, weeks and months of a time zone, and rolling ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, tzinfo
from typing import Literal, get_args

from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Window

Period = Literal["hour", "day", "week", "month", "rolling"]
PERIODS: tuple[str, ...] = get_args(Period)

MAX_ROLLING_HOURS = 24 * 366
"""A rolling period is at most a year."""


def period_window(period: str, now_us: int, zone: tzinfo, *, rolling_hours: int | None = None) -> Window:
    """The period that `now_us` (UTC µs) is in, `[start, end)`.

    Days, weeks (from Monday) and months begin at local midnight, so a day has 23, 24 or 25 hours; where midnight does
    not exist, the day begins with the first moment of its date. Hours begin at the full local hour. A rolling period is
    the last `rolling_hours`, its start moved back to a whole step (see `rolling_step_us`), and ends with that step.
    """
    if period == "rolling":
        length = (rolling_hours or 1) * HOUR_US
        step = rolling_step_us(rolling_hours or 1)
        reached = now_us // step * step
        return Window(reached - length, reached + step)
    here = datetime.fromtimestamp(now_us / 1e6, zone)
    if period == "hour":
        offset = round((here.utcoffset() or timedelta()).total_seconds()) * 1_000_000
        start = (now_us + offset) // HOUR_US * HOUR_US - offset
        return Window(start, start + HOUR_US)
    first, following = _dates(period, here.date())
    return Window(midnight_us(first, zone), midnight_us(following, zone))


def rolling_step_us(rolling_hours: int) -> int:
    """How finely a rolling period moves: by minutes up to a day, by hours beyond."""
    return MINUTE_US if rolling_hours <= 24 else HOUR_US


def midnight_us(day: date, zone: tzinfo) -> int:
    """When a local date begins, UTC µs."""
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1_000_000


def past_windows(
    period: str, now_us: int, zone: tzinfo, count: int, *, rolling_hours: int | None = None
) -> Iterator[Window]:
    """The `count` periods before the current one, newest first. Rolling ones are laid end to end."""
    window = period_window(period, now_us, zone, rolling_hours=rolling_hours)
    for _ in range(count):
        if period == "rolling":
            length = (rolling_hours or 1) * HOUR_US
            window = Window(window.start_us - length, window.start_us)
        else:
            window = period_window(period, window.start_us - 1, zone)
        yield window


def typical_length_us(period: str, rolling_hours: int | None = None) -> int:
    """About how long a period is."""
    lengths = {"hour": HOUR_US, "day": DAY_US, "week": 7 * DAY_US, "month": 30 * DAY_US}
    return lengths.get(period, (rolling_hours or 1) * HOUR_US)


def _dates(period: str, today: date) -> tuple[date, date]:
    if period == "day":
        return today, today + timedelta(days=1)
    if period == "week":
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(days=7)
    if period == "month":
        first = today.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    raise ValueError(f"{period!r} is not a period; choose one of {', '.join(PERIODS)}")
