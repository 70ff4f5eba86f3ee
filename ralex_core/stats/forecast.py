"""The next values of a series with rhythms, how far they may be off, and how well the same method did before.

Some fifteen cheap candidates (`forecast_candidates`) are tried on hold-outs at the end of the series and the best
few are averaged by their inverse squared error (Bates & Granger, Operational Research Quarterly 20, 1969). Intervals
are what that average missed the hold-outs by: split-conformal (Lei et al., JASA 113, 2018). Series above zero that
vary much are taken on logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ralex_core.stats.forecast_candidates import candidates, seasonal_naive

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_VALUES = 8
"""Known values needed to foretell anything."""
HOLD_OUTS = 12
BEST = 12
"""How many candidates are averaged."""
LEVEL = 0.96
"""Quantile of the misses that makes a 95 % interval: the hold-outs chose the weights too, so they flatter a little."""
FEWEST_ORIGINS = 6
"""Origins below which no accuracy is claimed."""
CLOSE_RATIO = 0.15
"""A sum is foretold closely when it is off by at most this share of what it became."""
CLOSE_SHARE = 0.9
"""Share of origins from which it has to have been close before closeness is claimed."""
_FADE = 0.95
"""Weight of a hold-out relative to the one after it."""
_LOG_RANGE = 1.3


@dataclass(frozen=True, slots=True)
class Forecast:
    """The next values, one per step: the mean of the candidates and the 95 % interval of each value by itself.

    `methods` are the candidates averaged, the heaviest first.
    """

    mean: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Backtest:
    """How forecasts made at earlier origins did, each from what was known there.

    Ratios are 0-1. WAPE is the sum of absolute errors over the sum of absolute values; `within_15_ratio` the share of
    origins at which the sum over the horizon was off by at most 15 %; `coverage` the share of values inside their
    interval. None: nothing came that could be divided by. `naive_…` is the seasonal naive forecast at the same origins.
    """

    origins: int
    wape: float | None
    within_15_ratio: float | None
    coverage: float
    naive_wape: float | None
    naive_within_15_ratio: float | None

    @property
    def earned(self) -> bool:
        """Whether "within 15 %" may be said of the sum over the horizon."""
        return self.origins >= FEWEST_ORIGINS and (self.within_15_ratio or 0.0) >= CLOSE_SHARE


def forecast(values: NDArray[Any], horizon: int, periods: Sequence[int] = (24, 168)) -> Forecast | None:
    """The `horizon` values after `values` (evenly spaced, nan: not known); None with fewer than `FEWEST_VALUES` known.

    `periods` are the rhythms that may be there, in values; those that do not fit twice before the hold-outs are left
    out. A series without a negative value gets none foretold. Takes some milliseconds for a thousand values.

    Raises:
        ValueError: the horizon is not positive.
    """
    import numpy as np

    if horizon < 1:
        raise ValueError("a forecast needs at least one step")
    prepared = _prepared(values, periods)
    if prepared is None:
        return None
    series, known = prepared
    plan = _planned(len(series), horizon, periods)
    logs = bool(series.min() > 0 and series.max() / series.min() > _LOG_RANGE)
    work = np.log(series) if logs else series
    made = candidates(work, np.append(plan.origins, len(series)), horizon, plan.periods)
    margin = work.max() - work.min()
    told = np.clip(np.array(list(made.values())), work.min() - margin, work.max() + margin)
    if logs:
        told = np.exp(told)
    elif series.min() >= 0:
        told = np.maximum(told, 0.0)
    places = plan.origins[:, None] + np.arange(plan.length)
    errors = np.where(known[places], told[:, :-1, : plan.length] - series[places], np.nan)
    weights, each = _weights(errors)
    mean = np.einsum("c,ch->h", weights, told[:, -1])
    combined = np.einsum("ck,ckh->kh", each, told[:, :-1])
    low, high = _interval(mean, combined[:, : plan.length], np.where(known[places], series[places], np.nan), logs)
    if series.min() >= 0:
        low = np.maximum(low, 0.0)
    names = list(made)
    order = [int(place) for place in np.argsort(-weights) if weights[place] > 0]
    return Forecast(mean, low, high, tuple(names[place] for place in order))


def backtest(
    values: NDArray[Any],
    horizon: int,
    origins: int = FEWEST_ORIGINS,
    periods: Sequence[int] = (24, 168),
    step: int | None = None,
) -> Backtest | None:
    """Forecasts made at `origins` earlier points, `step` (else `horizon`) values apart, the newest a horizon ago.

    Points with too little before them are left out; None when that is all of them.
    """
    import numpy as np

    step = step or horizon
    misses = naive_misses = total = 0.0
    held = judged = 0
    close: list[bool] = []
    naive_close: list[bool] = []
    tried = 0
    for back in range(origins):
        origin = len(values) - horizon - back * step
        made = forecast(values[:origin], horizon, periods) if origin >= FEWEST_VALUES else None
        if made is None:
            break
        came = values[origin : origin + horizon]
        seen = np.isfinite(came)
        if not seen.any():
            continue
        tried += 1
        naive = naive_forecast(values[:origin], horizon, periods)
        came, mean, naive = came[seen], made.mean[seen], naive[seen]
        misses += float(np.abs(mean - came).sum())
        naive_misses += float(np.abs(naive - came).sum())
        total += float(np.abs(came).sum())
        held += int(((came >= made.low[seen]) & (came <= made.high[seen])).sum())
        judged += len(came)
        if came.sum() != 0:
            close.append(bool(abs(mean.sum() - came.sum()) <= CLOSE_RATIO * abs(came.sum())))
            naive_close.append(bool(abs(naive.sum() - came.sum()) <= CLOSE_RATIO * abs(came.sum())))
    if not tried:
        return None
    return Backtest(
        origins=tried,
        wape=misses / total if total else None,
        within_15_ratio=sum(close) / len(close) if close else None,
        coverage=held / judged,
        naive_wape=naive_misses / total if total else None,
        naive_within_15_ratio=sum(naive_close) / len(naive_close) if naive_close else None,
    )


def naive_forecast(values: NDArray[Any], horizon: int, periods: Sequence[int] = (24, 168)) -> NDArray[Any]:
    """The last of the longest rhythm the series holds once, again (seasonal naive); gaps as `forecast` fills them.

    Raises:
        ValueError: no value is known.
    """
    import numpy as np

    prepared = _prepared(values, periods, fewest=1)
    if prepared is None:
        raise ValueError("a series without any known value has nothing to repeat")
    series, _ = prepared
    period = max((item for item in periods if item <= len(series)), default=1)
    return seasonal_naive(series, np.array([len(series)]), horizon, period)[0]


class _Plan(NamedTuple):
    origins: NDArray[Any]
    length: int
    """Steps of a hold-out, at most the horizon."""
    periods: tuple[int, ...]


def _prepared(
    values: NDArray[Any], periods: Sequence[int], fewest: int = FEWEST_VALUES
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """The series from its first known value on with gaps filled, and which values are known; None with too few.

    A gap is filled with the value a rhythm before, the shortest that is known, else with the last known one.
    """
    import numpy as np

    known = np.isfinite(values)
    if int(known.sum()) < fewest:
        return None
    first = int(np.argmax(known))
    series, known = np.array(values[first:], dtype=np.float64), known[first:]
    for place in np.flatnonzero(~known):
        back = next((period for period in periods if period <= place), 1)
        series[place] = series[place - back]
    return series, known


def _planned(n: int, horizon: int, periods: Sequence[int]) -> _Plan:
    """Where hold-outs begin, how long they are, and which rhythms fit twice before the first."""
    import numpy as np

    length = max(1, min(horizon, (n - 4) // 3))
    step = max(1, length // 3)
    fits = tuple(sorted(period for period in periods if n - length - 2 * step >= 2 * period + 2))
    earliest = max(4, 2 * max(fits, default=0) + 2, n // 3)
    count = max(1, min(HOLD_OUTS, (n - length - earliest) // step + 1))
    return _Plan(n - length - step * np.arange(count)[::-1], length, fits)


def _weights(errors: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights per candidate, and per (candidate, hold-out) without what that hold-out itself says.

    `errors` are (candidate, hold-out, step), nan where nothing is known.
    """
    import numpy as np

    seen = np.isfinite(errors)
    squares = np.where(seen, errors, 0.0) ** 2
    count = int(errors.shape[1])
    fade: NDArray[Any] = np.power(_FADE, np.arange(count - 1, -1, -1))
    sums: NDArray[Any] = np.add.reduce(squares, axis=2) * fade
    counts: NDArray[Any] = np.add.reduce(seen, axis=2) * fade

    def weighted(total: NDArray[Any], number: NDArray[Any]) -> NDArray[Any]:
        score = total / np.maximum(number, 1e-12)
        score = score + 1e-3 * score.mean(axis=0) + 1e-300
        ranks = score.argsort(axis=0, kind="stable").argsort(axis=0)
        inverse = np.where(ranks < BEST, score.min(axis=0) / score, 0.0)
        return inverse / np.add.reduce(inverse, axis=0)

    total, number = np.add.reduce(sums, axis=1), np.add.reduce(counts, axis=1)
    return weighted(total, number), weighted(total[:, None] - sums, number[:, None] - counts)


def _interval(
    mean: NDArray[Any], told: NDArray[Any], came: NDArray[Any], logs: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The 95 % interval: one quantile of all misses, each relative to what is usual at its step."""
    import numpy as np

    misses = np.abs(np.log(told) - np.log(came)) if logs else np.abs(told - came)
    seen = np.isfinite(misses)
    per_step = np.where(seen, misses, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    running = np.cumsum(per_step) / np.arange(1, len(per_step) + 1)
    growth = np.maximum.accumulate(running)
    growth = growth + 1e-3 * growth.mean() + 1e-300
    relative = (misses / growth)[seen]
    width = float(np.quantile(relative, LEVEL))
    steps = np.arange(len(mean))
    last = len(growth) - 1
    scale = growth[np.minimum(steps, last)] * np.sqrt(np.maximum(1.0, (steps + 1) / (last + 1)))
    half = width * scale
    return (mean * np.exp(-half), mean * np.exp(half)) if logs else (mean - half, mean + half)
