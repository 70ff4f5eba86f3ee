"""Where a period's spend is heading: what was spent so far, and the rest foretold from how earlier ones went on.

Clock times are those of the zone: a day with 23 or 25 hours is compared with other days at the same time on the clock.
Hours in which nothing was spent are zeros; what was before the first operation is not known and not used.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Filters, Scope, Window
from ralex_core.monitoring.spend_history import SpendHistory, spend_history
from ralex_core.stats.remainder import Blocks, Trial, remainder
from ralex_core.storage.queries import spend
from ralex_core.storage.telemetry import Store

HISTORY_DAYS = 100
HISTORY_HOURS = 66
"""Short periods are compared with hours of the last days only; rollups per minute reach no further back."""
SHORT_US = 3 * HOUR_US
"""Periods up to this long are foretold in blocks of an hour, longer ones in days."""
REMEMBER_US = MINUTE_US
REMEMBERED = 64
"""Histories a `Projector` holds, of some thousand numbers each."""
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
    """The forecasts that were averaged, the best first, between semicolons; empty when the period is over."""
    backtest: Trial
    within_15_earned: bool
    """Whether "±15 %" may be said: at least 6 earlier periods tried at this point, 90 % of them within it."""


def project(store: Store, filters: Filters, window: Window, now_us: int, zone: tzinfo) -> Projection | None:
    """Spend of the window by its end, as known at `now_us`; None when there is too little history to say.

    Takes one question of hourly sums over the last `HISTORY_DAYS` and some milliseconds of arithmetic.

    Raises:
        ValueError: the window begins after `now_us`.
    """
    return project_from(store, filters, window, now_us, zone, lambda: history_for(store, filters, window, now_us))


class Projector:
    """`project`, asked again and again: history is read from the store once a minute, what was spent so far each time.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._histories: OrderedDict[tuple[int, Filters, bool], tuple[Store, SpendHistory]] = OrderedDict()

    def project(self, store: Store, filters: Filters, window: Window, now_us: int, zone: tzinfo) -> Projection | None:
        """See `project`."""
        return project_from(store, filters, window, now_us, zone, lambda: self._history(store, filters, window, now_us))

    def _history(self, store: Store, filters: Filters, window: Window, now_us: int) -> SpendHistory:
        key = (id(store), filters, window.length_us <= SHORT_US)
        with self._lock:
            held = self._histories.get(key)
        if held is not None and held[0] is store and 0 <= now_us - held[1].end_us < REMEMBER_US:
            return held[1]
        made = history_for(store, filters, window, now_us)
        with self._lock:
            self._histories[key] = (store, made)
            self._histories.move_to_end(key)
            while len(self._histories) > REMEMBERED:
                self._histories.popitem(last=False)
        return made


def project_from(
    store: Store,
    filters: Filters,
    window: Window,
    now_us: int,
    zone: tzinfo,
    history: Callable[[], SpendHistory],
) -> Projection | None:
    """`project`, with the history taken from elsewhere; it is asked for only when it is needed."""
    if window.start_us > now_us:
        raise ValueError("a period that has not begun has nothing to be projected from")
    passed = Window(window.start_us, min(now_us + 1, window.end_us))
    so_far = spend(store, Scope(passed, filters))[0]
    if now_us >= window.end_us:
        return _over(window, now_us, so_far)
    blocks = blocks_of(history(), window, now_us, zone)
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
        method="; ".join(found.methods),
        backtest=found.trial,
        within_15_earned=found.trial.earned and not found.scaled,
    )


def history_for(store: Store, filters: Filters, window: Window, now_us: int) -> SpendHistory:
    """As much of the past as a projection of the window uses."""
    if window.length_us <= SHORT_US:
        return spend_history(store, filters, Window(now_us - HISTORY_HOURS * HOUR_US, now_us), 5 * MINUTE_US)
    return spend_history(store, filters, Window(now_us - HISTORY_DAYS * DAY_US, now_us), HOUR_US)


def _over(window: Window, now_us: int, spent: Decimal) -> Projection:
    nothing = Trial(0, None, None, None, None, None)
    return Projection(window, now_us, spent, spent, spent, spent, spent, "", nothing, False)


def _usd(value: float) -> Decimal:
    return Decimal(value).quantize(NEAREST)


def blocks_of(history: SpendHistory, window: Window, now_us: int, zone: tzinfo) -> Blocks | None:
    """What was spent in blocks that end at `now_us`, for the rest of the window; None when there is not one."""
    import numpy as np

    if history.first_us is None:
        return None
    unit, season = (HOUR_US, 24) if window.length_us <= SHORT_US else (DAY_US, 7)
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
