"""Where a period's spend is heading: what was spent so far, and the rest foretold from how earlier ones went on.

Clock times are those of the zone: a day with 23 or 25 hours is compared with other days at the same time on the clock.
Hours in which nothing was spent are zeros; what was before the first operation is not known and not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Filters, Scope, Window
from ralex_core.stats.remainder import Blocks, Trial, remainder
from ralex_core.storage.queries import spend
from ralex_core.storage.queries.segments import measured
from ralex_core.storage.telemetry import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

HISTORY_DAYS = 100
HISTORY_HOURS = 66
"""Short periods are compared with hours of the last days only; rollups per minute reach no further back."""
SHORT_US = 3 * HOUR_US
"""Periods up to this long are foretold in blocks of an hour, longer ones in days."""
NEAREST = Decimal(1).scaleb(-9)


@dataclass(frozen=True, slots=True)
class Projection:
    """What a period will have cost by its end, in USD: the mean of the forecast and its 95 % interval.

    All include what was spent so far, so the interval narrows as the period passes and is one number at its end.
    """

    window: Window
    now_us: int
    so_far_usd: Decimal
    mean_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    naive_usd: Decimal
    """So far, plus the rest as it was a week (short periods: a day) ago."""
    method: str
    """The forecasts that were averaged, the best first; empty when the period is over."""
    backtest: Trial
    within_15_earned: bool
    """Whether "±15 %" may be said: at least 6 earlier periods tried at this point, 90 % of them within it."""


def project(store: Store, filters: Filters, window: Window, now_us: int, zone: tzinfo) -> Projection | None:
    """Spend of the window by its end, as known at `now_us`; None when there is too little history to say.

    Takes one question of hourly sums over the last `HISTORY_DAYS` and some milliseconds of arithmetic.

    Raises:
        ValueError: the window begins after `now_us`.
    """
    if window.start_us > now_us:
        raise ValueError("a period that has not begun has nothing to be projected from")
    passed = Window(window.start_us, min(now_us + 1, window.end_us))
    so_far = spend(store, Scope(passed, filters))[0]
    if now_us >= window.end_us:
        return _over(window, now_us, so_far)
    blocks = _blocks(store, filters, window, now_us, zone)
    found = None if blocks is None else remainder(blocks)
    if found is None:
        return None
    return Projection(
        window=window,
        now_us=now_us,
        so_far_usd=so_far,
        mean_usd=so_far + _usd(found.mean),
        low_usd=so_far + _usd(found.low),
        high_usd=so_far + _usd(found.high),
        naive_usd=so_far + _usd(found.naive),
        method=", ".join(found.methods),
        backtest=found.trial,
        within_15_earned=found.trial.earned and not found.scaled,
    )


def _over(window: Window, now_us: int, spent: Decimal) -> Projection:
    nothing = Trial(0, None, None, None, None, None)
    return Projection(window, now_us, spent, spent, spent, spent, spent, "", nothing, False)


def _usd(value: float) -> Decimal:
    return Decimal(value).quantize(NEAREST)


def _blocks(store: Store, filters: Filters, window: Window, now_us: int, zone: tzinfo) -> Blocks | None:
    """The past in blocks that end at `now_us`; None when there is not one."""
    import numpy as np

    short = window.length_us <= SHORT_US
    unit, season = (HOUR_US, 24) if short else (DAY_US, 7)
    history = _History(store, filters, now_us, HISTORY_HOURS * HOUR_US if short else HISTORY_DAYS * DAY_US, short)
    if history.first_us is None:
        return None
    clock = _Clock(zone, unit)
    count = (now_us - history.first_us) // unit
    bounds = [bound for bound in (clock.back(now_us, k) for k in range(count, -1, -1)) if bound >= history.first_us]
    n = len(bounds) - 1
    if n < 1:
        return None
    ahead = max(0, (window.end_us - now_us) // unit)
    while clock.back(window.end_us, ahead) < now_us:
        ahead -= 1
    while clock.back(window.end_us, ahead + 1) >= now_us:
        ahead += 1
    ragged = [clock.back(window.end_us, ahead + n - place) for place in range(n)]
    elapsed = now_us - window.start_us
    recently = max(unit // 4, min(unit, elapsed))
    edges = np.array(bounds, dtype=np.int64)
    at = history.until(edges)
    return Blocks(
        whole=np.maximum(np.diff(at), 0.0),
        ragged=np.maximum(history.until(np.array(ragged, dtype=np.int64)) - at[:-1], 0.0),
        recent=np.maximum(at - history.until(edges - recently), 0.0),
        passed=np.maximum(at - history.until(edges - elapsed), 0.0),
        ahead=ahead,
        season=season,
    )


class _Clock:
    """Steps back by whole blocks: days keep the time on the clock, hours are hours."""

    def __init__(self, zone: tzinfo, unit: int) -> None:
        self._zone = zone
        self._unit = unit

    def back(self, time_us: int, blocks: int) -> int:
        if self._unit != DAY_US:
            return time_us - blocks * self._unit
        seconds, micros = divmod(time_us, 1_000_000)
        local = datetime.fromtimestamp(seconds, self._zone) - timedelta(days=blocks)
        return round(local.timestamp()) * 1_000_000 + micros


class _History:
    """Spend up to any moment of the past, as if each bucket's had been spent evenly."""

    def __init__(self, store: Store, filters: Filters, now_us: int, reach_us: int, short: bool) -> None:
        import numpy as np

        bucket = 5 * MINUTE_US if short else HOUR_US
        start = (now_us - reach_us) // bucket * bucket
        rows = sorted(
            measured(store, Scope(Window(start, now_us), filters), ("cost_usd", "billable"), bucket_us=bucket)
        )
        rows = [row for row in rows if row[2]]
        self.first_us: int | None = rows[0][0] if rows else None
        starts = np.array([row[0] for row in rows], dtype=np.int64)
        ends = np.minimum(starts + bucket, now_us)
        costs = np.array([float(row[1] or 0) for row in rows])
        running = np.cumsum(costs)
        # before each bucket what was spent until then, after it that and its own
        self._times: NDArray[Any] = np.stack([starts, ends], axis=1).reshape(-1)
        self._sums: NDArray[Any] = np.stack([running - costs, running], axis=1).reshape(-1)

    def until(self, times_us: NDArray[Any]) -> NDArray[Any]:
        """What had been spent by each of these times since the history began."""
        import numpy as np

        return np.interp(times_us, self._times, self._sums)
