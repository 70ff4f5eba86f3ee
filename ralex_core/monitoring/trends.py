"""How a percentile moves from day to day: steps, and steady change, with an early warning when it degrades.

Days are those of UTC, as rollups keep them, and whole: the running day is left out. The series is the logarithm of the
daily p95 without its weekly rhythm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ralex_core.model.window import DAY_US, Scope, Window
from ralex_core.monitoring.comparison import signed
from ralex_core.monitoring.latency import dimension_of, reachable
from ralex_core.render import duration
from ralex_core.stats.changepoint import Cut, change_points
from ralex_core.stats.compare import benjamini_hochberg, enough
from ralex_core.stats.trend import Slope, mann_kendall, theil_sen, without_rhythm
from ralex_core.storage.queries.latency import Group, daily_percentile
from ralex_core.storage.queries.segments import Only
from ralex_core.storage.telemetry import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

TREND_DAYS = 90
FEWEST_DAYS = 14
"""Below two weeks, a bad Monday is a trend."""
WEEK = 7
ALPHA = 0.01
MONTH = 30
STEEP = 0.10
"""A steady change under 10 % a month is not worth a warning."""
RECENT_DAYS = 14
"""A step this young is news."""

State = Literal["degrading", "improving", "stepped_up", "stepped_down", "steady", "too_few"]


@dataclass(frozen=True, slots=True)
class Step:
    """The level changed at the start of this day: medians before and after, ms."""

    day_us: int
    before_ms: float
    after_ms: float

    @property
    def ratio(self) -> float:
        return self.after_ms / self.before_ms


@dataclass(frozen=True, slots=True)
class Trend:
    """One group's daily percentile, what it does, and why this is said.

    `per_month_ratio` is Theil and Sen's slope over 30 days (1.2: 20 % slower a month), `p_value` its chance without a
    trend, adjusted for the number of groups. A state other than `steady` is about the last weeks.
    """

    key: str
    group: Group
    state: State
    why: str
    days: list[int]
    operations: list[int]
    values_ms: list[float]
    steps: list[Step]
    per_month_ratio: float | None
    p_value: float | None


def trends(
    store: Store,
    scope: Scope,
    by: str = "operation",
    *,
    percentile: float = 0.95,
    days: int = TREND_DAYS,
    only: Only | None = None,
    limit: int = 50,
) -> list[Trend]:
    """Trends per group over the `days` whole days before the scope ends, at most `limit`: what needs attention first.

    Raises:
        ValueError: `by` is not a dimension, or `days` is not from 14 to 400.
    """
    if not FEWEST_DAYS <= days <= 400:
        raise ValueError(f"a trend needs from {FEWEST_DAYS} to 400 days, not {days}")
    dimension = dimension_of(by)
    end = scope.window.end_us // DAY_US * DAY_US
    about = reachable(replace(scope, window=Window(end - days * DAY_US, end)), dimension, only)
    found = daily_percentile(store, about, dimension.columns, percentile, {**dimension.only, **(only or {})})
    read = [(group, [row for row in rows if enough(row[1], percentile)]) for group, rows in found.items()]
    read.sort(key=lambda item: -sum(row[1] for row in item[1]))
    read = read[:limit]
    analysed = [_analysed(rows) for _, rows in read]
    adjusted = iter(benjamini_hochberg([each.slope.p_value for each in analysed if each is not None]))
    made: list[Trend] = []
    for (group, rows), each in zip(read, analysed, strict=True):
        key = dimension.key_of(group)
        days_us, counts, values = [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
        if each is None:
            why = f"{len(rows)} days with enough operations; {FEWEST_DAYS} are needed to speak of a trend."
            made.append(Trend(key, group, "too_few", why, days_us, counts, values, [], None, None))
            continue
        p_value = next(adjusted)
        state = _state(each, p_value)
        per_month = math.exp(max(-20.0, min(20.0, each.slope.per_step * MONTH)))
        why = _why(state, each, per_month, p_value, percentile, values)
        made.append(Trend(key, group, state, why, days_us, counts, values, each.steps, per_month, p_value))
    rank = {"degrading": 0, "stepped_up": 1, "improving": 2, "stepped_down": 3, "steady": 4, "too_few": 5}
    return sorted(made, key=lambda trend: (rank[trend.state], -(trend.per_month_ratio or 0)))


@dataclass(frozen=True, slots=True)
class _Analysed:
    slope: Slope
    steps: list[Step]
    steady: bool
    """Whether a straight line explains the series better than its steps do."""
    last_us: int


def _analysed(rows: Sequence[tuple[int, int, float]]) -> _Analysed | None:
    """Steps and slope of one group's days; None for fewer than `FEWEST_DAYS`."""
    import numpy as np

    if len(rows) < FEWEST_DAYS:
        return None
    first, last = rows[0][0], rows[-1][0]
    series = np.full((last - first) // DAY_US + 1, np.nan)
    for day, _, value in rows:
        series[(day - first) // DAY_US] = math.log(max(value, 1e-3))
    level = without_rhythm(series, WEEK)
    slope = mann_kendall(level)
    if slope is None:
        return None
    known = np.isfinite(level)
    cut = change_points(level[known])
    days = [row[0] for row in rows]
    steps = [Step(days[change.place], math.exp(change.before), math.exp(change.after)) for change in cut.changes]
    return _Analysed(slope, steps, _line_is_better(level, cut), last)


def _line_is_better(level: NDArray[Any], cut: Cut) -> bool:
    """Whether a line, which costs one change, leaves less unexplained than the steps with what they cost."""
    import numpy as np

    steps = np.arange(len(level))
    rest = level - theil_sen(level) * steps
    line = float(np.nansum(np.abs(rest - np.nanmedian(rest))))
    return line + cut.penalty < cut.cost + cut.penalty * len(cut.changes) or not cut.changes


def _state(found: _Analysed, p_value: float) -> State:
    steep = abs(found.slope.per_step * MONTH) >= math.log1p(STEEP)
    if found.steady and steep and p_value <= ALPHA:
        return "degrading" if found.slope.per_step > 0 else "improving"
    if not found.steady and found.steps and found.steps[-1].day_us > found.last_us - RECENT_DAYS * DAY_US:
        ratio = found.steps[-1].ratio
        if ratio >= 1 + STEEP:
            return "stepped_up"
        if ratio <= 1 / (1 + STEEP):
            return "stepped_down"
    return "steady"


def _why(
    state: State, found: _Analysed, per_month: float, p_value: float, percentile: float, values: Sequence[float]
) -> str:
    name = f"p{percentile * 100:g}"
    tested = (
        f"{signed(per_month)} a month by Theil and Sen's slope over {found.slope.n} days; Mann and Kendall's test, "
        f"allowing for a correlation of {found.slope.correlation:.2f} from day to day, gives p = {p_value:.2g}"
    )
    if state in ("degrading", "improving"):
        word = "rises" if state == "degrading" else "falls"
        return f"{name} {word} steadily, {duration(values[0])} on the first day, {duration(values[-1])} now: {tested}."
    if state in ("stepped_up", "stepped_down"):
        step = found.steps[-1]
        levels = f"{duration(step.before_ms)} to {duration(step.after_ms)}"
        return f"{name} went from {levels} ({signed(step.ratio)}) in one step."
    if found.steps:
        return f"No change in the last {RECENT_DAYS} days; {len(found.steps)} earlier. {tested[0].upper()}{tested[1:]}."
    return f"No step and no steady change worth a warning: {tested}."
