"""What the running day, week and month will have cost by their end, hour by hour or day by day, and how sure that is.

The sum is a projection (`monitoring.projection`): tried at the same point of earlier periods. The course towards it
comes from `stats.forecast` on local hours or days, scaled so that it adds up to that sum. The hour that does not exist
when clocks go forward is a gap, the two that share a name in autumn count as their mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from ralex_core.budgeting.periods import midnight_us, period_window
from ralex_core.model.window import DAY_US, HOUR_US, Filters, Window
from ralex_core.monitoring.projection import HISTORY_DAYS, Projection, history_for, project_from
from ralex_core.monitoring.spend_history import SpendHistory
from ralex_core.stats.forecast import Backtest, backtest, forecast
from ralex_core.storage.telemetry import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

Horizon = Literal["day", "week", "month"]
HORIZONS: tuple[Horizon, ...] = get_args(Horizon)

STEP_ORIGINS = 8
"""Earlier points at which the course is tried."""
REST_DAYS = 28
NEAREST = Decimal(1).scaleb(-9)


@dataclass(frozen=True, slots=True)
class CoursePoint:
    """One hour or day, or what is left of it: what it is foretold to cost, USD, with its own 95 % interval.

    `total_…` are spend of the period up to its end; the last point's are the projection's.
    """

    window: Window
    mean_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    total_mean_usd: Decimal
    total_low_usd: Decimal
    total_high_usd: Decimal


@dataclass(frozen=True, slots=True)
class SpentPoint:
    """One hour or day that has begun, up to now: what it cost."""

    window: Window
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class SpendForecast:
    """The running period: what was spent and what is coming, in steps of an hour (day) or a day (week, month).

    `projection` is None, and `course` empty, when there is too little history; `steps` tells how single steps were
    foretold before, None with too little.
    """

    horizon: Horizon
    window: Window
    made_us: int
    spent: tuple[SpentPoint, ...]
    course: tuple[CoursePoint, ...]
    projection: Projection | None
    steps: Backtest | None


def spend_forecast(store: Store, filters: Filters, horizon: Horizon, now_us: int, zone: tzinfo) -> SpendForecast:
    """The running day, week or month as known at `now_us`. Takes a question of a hundred days and a tenth of a second.

    Raises:
        ValueError: no such horizon.
    """
    if horizon not in HORIZONS:
        raise ValueError(f"{horizon!r} is not a horizon; choose one of {', '.join(HORIZONS)}")
    window = period_window(horizon, now_us, zone)
    reach = Window(min(window.start_us, now_us - HISTORY_DAYS * DAY_US), now_us)
    history = history_for(store, filters, reach, now_us)
    projection = project_from(store, filters, window, now_us, zone, lambda: history)
    cuts = _hours if horizon == "day" else _days
    passed = cuts(Window(window.start_us, now_us), zone) if now_us > window.start_us else []
    ahead = cuts(Window(now_us, window.end_us), zone)
    spent = tuple(SpentPoint(each, _usd(cost)) for each, cost in zip(passed, _costs(history, passed), strict=True))
    if projection is None:
        return SpendForecast(horizon, window, now_us, spent, (), None, None)
    if horizon == "day":
        series, periods = _by_hour(history, now_us, zone), (24, 168)
        told = _hours_ahead(series, ahead, zone)
    else:
        series, periods = _by_day(history, now_us, zone), (7,)
        told = _days_ahead(series, len(ahead), _rest_share(history, ahead[0], zone))
    steps = backtest(series, min(len(ahead), 24 if horizon == "day" else 7), STEP_ORIGINS, periods)
    return SpendForecast(horizon, window, now_us, spent, _course(told, ahead, projection), projection, steps)


class _Told(NamedTuple):
    """What each step ahead is foretold to cost, before it is made to agree with the projection."""

    mean: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]


def _course(told: _Told | None, ahead: list[Window], projection: Projection) -> tuple[CoursePoint, ...]:
    """The steps, scaled to the projection; where nothing is foretold of them the rest is spread evenly."""
    import numpy as np

    if told is None or float(np.sum(told.mean)) <= 0:
        even = np.array([float(window.length_us) for window in ahead])
        told = _Told(even, even * 0, even * 2)
    rest = projection.mean_usd - projection.so_far_usd
    below, above = projection.mean_usd - projection.low_usd, projection.high_usd - projection.mean_usd
    factor = float(rest) / float(np.sum(told.mean))
    running = np.cumsum(told.mean) / np.sum(told.mean)
    running[-1] = 1.0
    points: list[CoursePoint] = []
    for place, window in enumerate(ahead):
        total = projection.so_far_usd + _rounded(rest * Decimal(float(running[place])))
        spread = Decimal(float(np.sqrt(running[place])))
        points.append(
            CoursePoint(
                window=window,
                mean_usd=_usd(float(told.mean[place]) * factor),
                low_usd=_usd(float(told.low[place]) * factor),
                high_usd=_usd(float(told.high[place]) * factor),
                total_mean_usd=total,
                total_low_usd=max(projection.so_far_usd, total - _rounded(below * spread)),
                total_high_usd=total + _rounded(above * spread),
            )
        )
    return tuple(points)


def _hours_ahead(series: NDArray[Any], ahead: list[Window], zone: tzinfo) -> _Told | None:
    """What is left of each hour. Steps follow the names on the clock, so the rhythm of the day is kept."""
    import numpy as np

    names = [_name(window.start_us, zone) for window in ahead]
    steps = np.array([name - names[0] for name in names])
    made = forecast(series, int(steps.max()) + 1, (24, 168))
    if made is None:
        return None
    shares = np.array([window.length_us / HOUR_US for window in ahead])
    return _Told(made.mean[steps] * shares, made.low[steps] * shares, made.high[steps] * shares)


def _days_ahead(series: NDArray[Any], count: int, first_share: float) -> _Told | None:
    """Each day, of the first what is usually left at this time."""
    import numpy as np

    made = forecast(series, count, (7,))
    if made is None:
        return None
    shares = np.array([first_share, *([1.0] * (count - 1))])
    return _Told(made.mean * shares, made.low * shares, made.high * shares)


def _rest_share(history: SpendHistory, rest: Window, zone: tzinfo) -> float:
    """The part of a day's spend that comes after this time of day, over the last four weeks; by the clock with none."""
    after = whole = 0.0
    today = datetime.fromtimestamp(rest.start_us / 1e6, zone)
    for back in range(1, REST_DAYS + 1):
        moment = today - timedelta(days=back)
        start, end = midnight_us(moment.date(), zone), midnight_us(moment.date() + timedelta(days=1), zone)
        now = min(max(round(moment.timestamp()) * 1_000_000, start), end - 1)
        rested, all_day = _costs(history, [Window(now, end), Window(start, end)])
        after, whole = after + rested, whole + all_day
    return after / whole if whole > 0 else min(1.0, rest.length_us / DAY_US)


def _name(moment_us: int, zone: tzinfo) -> int:
    """The hour on the clock, counted through from year 1."""
    local = datetime.fromtimestamp(moment_us / 1e6, zone)
    return local.toordinal() * 24 + local.hour


def _by_hour(history: SpendHistory, now_us: int, zone: tzinfo) -> NDArray[Any]:
    """Spend of each whole hour on the clock before now, nan where there was none of that name."""
    import numpy as np

    costs: dict[int, list[float]] = {}
    first = midnight_us(datetime.fromtimestamp((history.first_us or now_us) / 1e6, zone).date(), zone)
    hours = [Window(hour, hour + HOUR_US) for hour in range(first, now_us - HOUR_US + 1, HOUR_US)]
    for hour, cost in zip(hours, _costs(history, hours), strict=True):
        if hour.start_us >= (history.first_us or 0):
            costs.setdefault(_name(hour.start_us, zone), []).append(cost)
    if not costs:
        return np.zeros(0)
    values = np.full(max(costs) - min(costs) + 1, np.nan)
    for name, found in costs.items():
        values[name - min(costs)] = np.mean(found)
    return values


def _by_day(history: SpendHistory, now_us: int, zone: tzinfo) -> NDArray[Any]:
    """Spend of each whole local day before today, from the first one with a call to a model."""
    import numpy as np

    first = datetime.fromtimestamp((history.first_us or now_us) / 1e6, zone).date()
    count = (datetime.fromtimestamp(now_us / 1e6, zone).date() - first).days
    edges = [midnight_us(first + timedelta(days=number), zone) for number in range(count + 1)]
    return np.array(_costs(history, [Window(*pair) for pair in itertools.pairwise(edges)]))


def _hours(window: Window, zone: tzinfo) -> list[Window]:
    """The window cut at full hours from its local midnight on."""
    day = datetime.fromtimestamp(window.start_us / 1e6, zone).date()
    start = midnight_us(day, zone)
    first = start + (window.start_us - start) // HOUR_US * HOUR_US
    return _cut(window, range(first, window.end_us + HOUR_US, HOUR_US))


def _days(window: Window, zone: tzinfo) -> list[Window]:
    """The window cut at local midnights."""
    day = datetime.fromtimestamp(window.start_us / 1e6, zone).date()
    count = window.length_us // DAY_US + 3
    return _cut(window, [midnight_us(day + timedelta(days=number), zone) for number in range(count)])


def _cut(window: Window, bounds: Iterable[int]) -> list[Window]:
    edges = [window.start_us, *(bound for bound in bounds if window.start_us < bound < window.end_us), window.end_us]
    return [Window(start, end) for start, end in itertools.pairwise(edges)]


def _costs(history: SpendHistory, windows: list[Window]) -> list[float]:
    import numpy as np

    edges = np.array([[window.start_us, window.end_us] for window in windows], dtype=np.int64).reshape(-1, 2)
    return [float(cost) for cost in np.maximum(history.until(edges[:, 1]) - history.until(edges[:, 0]), 0.0)]


def _usd(value: float) -> Decimal:
    return _rounded(Decimal(value))


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(NEAREST)
