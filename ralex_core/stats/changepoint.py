"""When the level of a series changed: the best cut into levels, each change paying for itself.

Absolute deviations from the median of each stretch are summed (an outlier pulls once, not squared), and every change
costs a penalty that grows with the correlation of the noise: neighbours that are alike look like a level.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

PENALTY = 2.0
"""Standard deviations of the noise, times log n, that a change must save; simulated in `bench/regression.py`."""
SHORTEST = 5
"""Steps before and after a change."""
MAX_VALUES = 400
"""All cuts are tried, which takes the square of this."""
MAX_CORRELATION = 0.8
_NORMAL_MAD = 0.6745


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A change of level before `place` (an index of the series); levels are medians of the stretches beside it."""

    place: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The changes of a series, ascending, what they leave unexplained (`cost`), and what each change had to save."""

    changes: list[ChangePoint]
    cost: float
    penalty: float


def noise(values: NDArray[Any]) -> tuple[float, float]:
    """(standard deviation, lag-one correlation) of the noise, both from differences, which levels hardly touch.

    For noise that is autoregressive of order one, the spread of differences over two steps is sqrt(1 + r) times that
    over one step, and the latter is sqrt(2 (1 - r)) standard deviations.
    """
    import numpy as np

    one, two = np.abs(np.diff(values)), np.abs(values[2:] - values[:-2])
    # a change of level is in one difference over one step and in two over two: the largest are left out
    short = float(np.sort(one)[: max(1, math.ceil(0.95 * len(one)))].mean())
    long = float(np.sort(two)[: max(1, math.ceil(0.95 * len(two)))].mean())
    if short <= 0:
        return 0.0, 0.0
    r = min(MAX_CORRELATION, max(0.0, (long / short) ** 2 - 1))
    spread = float(np.median(one)) / _NORMAL_MAD
    return spread / math.sqrt(2 * (1 - r)), r


def change_points(values: NDArray[Any]) -> Cut:
    """Changes of level in known values (no nan), at most `MAX_VALUES` of them: the last ones are looked at.

    Optimal partitioning (Jackson et al., IEEE Signal Processing Letters 12, 2005) with absolute deviations. Give it
    logarithms, without rhythm. Shorter than two stretches, or constant: no change.
    """
    import numpy as np

    skipped = max(0, len(values) - MAX_VALUES)
    values = values[skipped:]
    n = len(values)
    if n < 2 * SHORTEST:
        return Cut([], 0.0, 0.0)
    spread, r = noise(values)
    if spread <= 0:
        spread = float(abs(values - _median(sorted(values.tolist()))).mean())
    penalty = PENALTY * spread * math.log(n) * math.sqrt((1 + r) / (1 - r))
    costs = _costs(values.tolist())
    best, cut_at = np.full(n + 1, np.inf), [0] * (n + 1)
    best[0] = -penalty  # the first stretch begins with no change
    for end in range(SHORTEST, n + 1):
        totals = best[: end - SHORTEST + 1] + costs[: end - SHORTEST + 1, end] + penalty
        cut_at[end] = int(totals.argmin())
        best[end] = totals[cut_at[end]]
    bounds = [n]
    while bounds[-1]:
        bounds.append(cut_at[bounds[-1]])
    bounds.reverse()
    levels = [_median(sorted(values[start:end].tolist())) for start, end in pairwise(bounds)]
    changes = [
        ChangePoint(place + skipped, before, after)
        for place, before, after in zip(bounds[1:-1], levels[:-1], levels[1:], strict=True)
    ]
    return Cut(changes, float(best[n]) - penalty * len(changes), penalty)


def _costs(values: list[float]) -> NDArray[Any]:
    """`[start, end]`: the sum of absolute deviations of `values[start:end]` from their median."""
    import numpy as np

    found = np.zeros((len(values), len(values) + 1))
    for start in range(len(values)):
        held: list[float] = []
        for end in range(start + 1, len(values) + 1):
            insort(held, values[end - 1])
            half = len(held) // 2
            found[start, end] = sum(held[len(held) - half :]) - sum(held[:half])
    return found


def _median(ordered: list[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
