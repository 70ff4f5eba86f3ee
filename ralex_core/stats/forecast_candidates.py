"""Cheap ways to foretell a series with rhythms: the candidates that `forecast` tries on the past and averages.

Every function answers for several origins at once: row k foretells the `horizon` values from `origins[k]` on, from
nothing but the values before. Origins ascend; series are complete (gaps are filled before).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

RIDGE = 1e-3
"""Keeps the coefficients of an autoregression small, per value learned from (in variances of the series)."""
CYCLES = 3
"""Past rhythms averaged, the newest weighing most."""
_FADE = 0.6


def candidates(
    series: NDArray[Any], origins: NDArray[Any], horizon: int, periods: Sequence[int]
) -> dict[str, NDArray[Any]]:
    """Name → forecasts (origin, step). `periods` ascend; each fits at least twice before the first origin."""
    found: dict[str, NDArray[Any]] = {}
    for span in (3, 14, 60):
        found[f"level of {span}"] = _flat(series, origins, horizon, span)
    found["damped trend"] = _damped(series, origins, horizon, max(periods, default=12))
    for name, lags, lag in _regressions(periods):
        made = _autoregression(series, origins, horizon, lags, lag)
        if made is not None:
            found[name] = made
    for period in periods:
        found[f"as {period} before"] = _again(series, origins, horizon, period, 1)
        for fading in (0.8, 0.95, 1.0):
            found[f"rhythm of {period}, error × {fading}"] = _rhythm(series, origins, horizon, period, fading)
        found[f"rhythm of {period} on a level"] = _on_level(series, origins, horizon, period)
    return found


def seasonal_naive(series: NDArray[Any], origins: NDArray[Any], horizon: int, period: int) -> NDArray[Any]:
    """The last rhythm again; with period 1 the last value."""
    return _again(series, origins, horizon, period, 1)


def _regressions(periods: Sequence[int]) -> list[tuple[str, list[int], int]]:
    """(name, lags, difference taken first) of each autoregression."""
    if not periods:
        return [("autoregression", [1, 2, 3], 0), ("autoregression of changes", [1, 2], 1)]
    first, last = periods[0], periods[-1]
    short = [1, 2, first, first + 1, 2 * first]
    long = [
        1,
        2,
        3,
        *range(first - 1, first + 2),
        *range(2 * first, min(7 * first, max(last - 1, 2 * first + 1)), first),
    ]
    if last != first:
        short += [last, last + 1]
        long += [last - 1, last, last + 1, 2 * last - 1, 2 * last, 2 * last + 1]
    short, long = sorted(set(short)), sorted(set(long))
    made = [
        ("autoregression", long, 0),
        ("short autoregression", short, 0),
        (f"autoregression of changes over {first}", long, first),
    ]
    if last != first:
        made.append((f"autoregression of changes over {last}", short, last))
    return made


def _autoregression(
    series: NDArray[Any], origins: NDArray[Any], horizon: int, lags: Sequence[int], lag: int
) -> NDArray[Any] | None:
    """Ridge regression on earlier values (of differences over `lag`, if any), fitted anew at each origin, recursively
    continued; None when the first origin has too few values for it."""
    import numpy as np

    start = int(origins[0])
    mean = float(series[:start].mean())
    scale = float(series[:start].std()) or 1.0
    level = (series - mean) / scale
    values = level[lag:] - level[:-lag] if lag else level
    first = start - lag
    back = np.array([item for item in lags if item < first // 2])
    if len(back) < 2 or first - back[-1] < 3 * len(back):
        return None
    reach = int(back[-1])
    rows = values[np.arange(reach, int(origins[-1]) - lag)[:, None] - back]
    goals = values[reach : int(origins[-1]) - lag]
    learned, aimed = np.zeros((len(back), len(back))), np.zeros(len(back))
    weights = np.empty((len(origins), len(back)))
    done = 0
    for place, origin in enumerate(origins):
        end = int(origin) - lag - reach
        part = rows[done:end]
        learned = learned + part.T @ part
        aimed = aimed + part.T @ goals[done:end]
        weights[place] = np.linalg.solve(learned + np.eye(len(back)) * RIDGE * max(end, 1), aimed)
        done = end
    ahead = np.empty((len(origins), reach + horizon))
    ahead[:, :reach] = values[(origins - lag)[:, None] - reach + np.arange(reach)]
    for step in range(reach, reach + horizon):
        ahead[:, step] = np.einsum("ij,ij->i", ahead[:, step - back], weights)
    told = ahead[:, reach:]
    if lag:
        told = _undone(level, origins, told, lag)
    return told * scale + mean


def _undone(level: NDArray[Any], origins: NDArray[Any], changes: NDArray[Any], lag: int) -> NDArray[Any]:
    """Values from their differences over `lag`."""
    import numpy as np

    horizon = changes.shape[1]
    values = np.empty((len(origins), lag + horizon))
    values[:, :lag] = level[origins[:, None] - lag + np.arange(lag)]
    for start in range(0, horizon, lag):
        end = min(horizon, start + lag)
        values[:, lag + start : lag + end] = values[:, start:end] + changes[:, start:end]
    return values[:, lag:]


def _again(series: NDArray[Any], origins: NDArray[Any], horizon: int, period: int, back: int) -> NDArray[Any]:
    import numpy as np

    return series[origins[:, None] - period * back + np.arange(horizon) % period]


def _rhythm(series: NDArray[Any], origins: NDArray[Any], horizon: int, period: int, fading: float) -> NDArray[Any]:
    """A weighted mean of past rhythms, plus what it missed the last value by, fading with every step."""
    import numpy as np

    cycles = min(CYCLES, int(origins[0]) // period)
    weights = _FADE ** np.arange(cycles)
    weights /= weights.sum()
    told = sum(
        weight * _again(series, origins, horizon, period, back) for back, weight in enumerate(weights.tolist(), start=1)
    )
    held = min(cycles, (int(origins[0]) - 1) // period)
    usual = weights[:held] / weights[:held].sum()
    missed = series[origins - 1] - series[(origins - 1)[:, None] - period * np.arange(1, held + 1)] @ usual
    return told + missed[:, None] * fading ** np.arange(1, horizon + 1)


def _on_level(series: NDArray[Any], origins: NDArray[Any], horizon: int, period: int) -> NDArray[Any]:
    """The shape of up to four past rhythms around their own means, on the mean of the last one."""
    import numpy as np

    cycles = min(4, int(origins[0]) // period)
    past = series[origins[:, None] - cycles * period + np.arange(cycles * period)].reshape(len(origins), cycles, period)
    shape = np.mean(past - past.mean(axis=2, keepdims=True), axis=1)
    return past[:, -1].mean(axis=1)[:, None] + shape[:, np.arange(horizon) % period]


def _flat(series: NDArray[Any], origins: NDArray[Any], horizon: int, span: int) -> NDArray[Any]:
    """An exponentially weighted mean of the values before, with a memory of `span` values."""
    import numpy as np

    reach = min(int(origins[0]), 5 * span)
    weights = (1 - 1 / span) ** np.arange(reach)[::-1]
    level = series[origins[:, None] - reach + np.arange(reach)] @ (weights / weights.sum())
    return np.repeat(level[:, None], horizon, axis=1)


def _damped(series: NDArray[Any], origins: NDArray[Any], horizon: int, span: int) -> NDArray[Any]:
    """The line through the means of the last two stretches of `span`, its slope fading by 2 % a step."""
    import numpy as np

    reach = min(span, int(origins[0]) // 2)
    past = series[origins[:, None] - 2 * reach + np.arange(2 * reach)].reshape(len(origins), 2, reach).mean(axis=2)
    slope = (past[:, 1] - past[:, 0]) / reach
    rise = np.cumsum(0.98 ** np.arange(1, horizon + 1))
    return past[:, 1][:, None] + slope[:, None] * rise
