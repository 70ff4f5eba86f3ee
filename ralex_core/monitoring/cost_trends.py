"""Whether cost, usage and efficiency go up or down from window to window: tested, with the reason for each verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ralex_core.model.window import DAY_US, HOUR_US, Filters, Scope, Window
from ralex_core.monitoring.value import Valuation, worth_over_time
from ralex_core.pricing.book import PriceBook
from ralex_core.stats.changepoint import change_points
from ralex_core.stats.compare import benjamini_hochberg
from ralex_core.stats.trend import Slope, mann_kendall, without_rhythm
from ralex_core.storage.queries.segments import measured
from ralex_core.storage.telemetry import Store

Period = Literal["hourly", "daily", "weekly", "monthly"]
Direction = Literal["increasing", "stable", "decreasing", "unknown"]

PERIOD_US: dict[Period, int] = {"hourly": HOUR_US, "daily": DAY_US, "weekly": 7 * DAY_US, "monthly": 30 * DAY_US}
_WINDOWS: dict[Period, tuple[int, int]] = {"hourly": (72, 24), "daily": (56, 7), "weekly": (26, 1), "monthly": (24, 1)}
"""(windows looked at, windows per rhythm): three days of hours, eight weeks of days, half a year, two years."""
FEWEST_WINDOWS = 8
FEWEST_STEPPED = 14
"""Windows before a change of level is looked for: it needs five on either side, and noise to be told from."""
ALPHA = 0.05
LEAST = 0.10
"""Over all windows looked at, a change of less than 10 % of the usual level is called stable."""


@dataclass(frozen=True, slots=True)
class CostTrend:
    """Which way one figure goes, and why this is said. `change_ratio` is over all windows: 0.2 is 20 % more."""

    direction: Direction
    change_ratio: float | None
    p_value: float | None
    windows: int
    why: str


@dataclass(frozen=True, slots=True)
class CostTrends:
    cost: CostTrend
    usage: CostTrend
    efficiency: CostTrend


def cost_trends(
    store: Store, filters: Filters, book: PriceBook, how: Valuation, period: Period, now_us: int
) -> CostTrends:
    """Over whole windows of the period before now, from the first with anything in it on.

    Steady change is tested by Mann and Kendall's S with the variance inflated for correlation, its size by Theil and
    Sen's slope, after the rhythm of day or week is taken out; p-values are adjusted over the three figures. Without a
    steady change, the last change of level counts (`stats.changepoint`).
    """
    import numpy as np

    length = PERIOD_US[period]
    windows, rhythm = _WINDOWS[period]
    end = now_us // length * length
    scope = Scope(Window(end - windows * length, end), filters)
    rows = measured(store, scope, ("cost_usd", "billable"), bucket_us=length, kind="llm")
    used = {row[0]: row for row in rows if row[2]}
    if not used:
        nothing = CostTrend("unknown", None, None, 0, "No call to a model was made in the windows before.")
        return CostTrends(nothing, nothing, nothing)
    starts = range(min(used), end, length)
    worth = worth_over_time(store, scope, book, how, length)
    cost = [float(used[start][1]) if start in used else 0.0 for start in starts]
    usage = [float(used[start][2]) if start in used else 0.0 for start in starts]
    ratios = [worth[start].efficiency_ratio if start in worth else None for start in starts]
    efficiency = [np.nan if ratio is None else ratio for ratio in ratios]
    series = [np.array(values, dtype=np.float64) for values in (cost, usage, efficiency)]
    if rhythm > 1:
        series = [without_rhythm(values, rhythm) for values in series]
    slopes = [mann_kendall(values) for values in series]
    adjusted = iter(benjamini_hochberg([slope.p_value for slope in slopes if slope is not None]))
    found = [
        _trend(values, slope, None if slope is None else next(adjusted), period)
        for values, slope in zip(series, slopes, strict=True)
    ]
    return CostTrends(*found)


def _trend(values: Any, slope: Slope | None, p_value: float | None, period: Period) -> CostTrend:
    import numpy as np

    names = {"hourly": "hours", "daily": "days", "weekly": "weeks", "monthly": "months of 30 days"}
    known = values[np.isfinite(values)]
    if slope is None or p_value is None:
        why = f"{len(known)} whole {names[period]} are known; {FEWEST_WINDOWS} are needed."
        return CostTrend("unknown", None, None, len(known), why)
    level = _level(known)
    change = slope.per_step * (len(values) - 1) / level if level > 0 else 0.0
    told = f"{change:+.0%}".replace("%", " %").replace("-", "−") + f" over {len(values)} {names[period]}"
    chance = "less than 0.1 %" if p_value < 0.001 else f"{p_value:.1%}".replace("%", " %")
    if p_value > ALPHA:
        step = _last_step(values, names[period])
        if step is not None:
            return CostTrend(step[0], step[1], p_value, len(known), step[2])
        why = f"{told}, but chance alone does as much in {chance} of such series."
        return CostTrend("stable", change, p_value, len(known), why)
    why = f"{told}; chance does this in {chance} of series without a trend."
    if abs(change) < LEAST:
        return CostTrend("stable", change, p_value, len(known), f"{why} Under {LEAST:.0%} is called stable.")
    return CostTrend("increasing" if change > 0 else "decreasing", change, p_value, len(known), why)


def _last_step(values: Any, unit: str) -> tuple[Direction, float, str] | None:
    """The last change of level, when it is large enough: a series that dropped once is not stable."""
    import numpy as np

    known = values[np.isfinite(values)]
    changes = change_points(known).changes if len(known) >= FEWEST_STEPPED else []
    if not changes or changes[-1].before <= 0:
        return None
    last = changes[-1]
    change = last.after / last.before - 1
    if abs(change) < LEAST:
        return None
    told = f"{change:+.0%}".replace("%", " %").replace("-", "−")
    why = f"The level changed by {told} {len(known) - last.place} {unit} ago and has stayed there since."
    return ("increasing" if change > 0 else "decreasing"), change, why


def _level(known: Sequence[float] | Any) -> float:
    """The usual size: the median, or the mean where most windows are empty."""
    import numpy as np

    return float(np.median(known)) or float(np.mean(known))
