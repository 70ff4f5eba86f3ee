"""Whether a series goes up or down steadily, in spite of its noise being correlated from day to day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ralex_core.stats.intervals import two_sided

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CORRELATION = 0.9


@dataclass(frozen=True, slots=True)
class Slope:
    """A steady change per step: Theil and Sen's slope, the chance of a trend this clear in a series without one, and
    the lag-one correlation of what remains that this chance allows for."""

    per_step: float
    p_value: float
    correlation: float
    n: int


def theil_sen(values: NDArray[Any]) -> float:
    """The median slope between all pairs of known values (nan: unknown; at least two known). Sen, JASA 63 (1968)."""
    import numpy as np

    place = np.flatnonzero(np.isfinite(values))
    first, second = np.triu_indices(len(place), 1)
    rise = values[place[second]] - values[place[first]]
    return float(np.median(rise / (place[second] - place[first])))


def lag_correlation(rest: NDArray[Any]) -> float:
    """The lag-one correlation of what a line leaves (nan: unknown), corrected for short series; 0 to 0.9.

    An estimate from n residuals of a fitted line is too small by about (2 + 4 r) / n.
    """
    import numpy as np

    known = np.isfinite(rest)
    n = int(known.sum())
    if n < 8:
        return 0.0
    centred = np.where(known, rest - np.nanmean(rest), 0.0)
    both = known[1:] & known[:-1]
    pairs, squares = int(both.sum()), float((centred * centred).sum())
    if not pairs or squares <= 0:
        return 0.0
    r = float((centred[1:] * centred[:-1])[both].sum()) / pairs / (squares / n)
    return min(MAX_CORRELATION, max(0.0, (r + 2 / n) / (1 - 4 / n)))


def mann_kendall(values: NDArray[Any]) -> Slope | None:
    """A trend in known values (nan: unknown, steps are even); None for fewer than 8.

    The variance of Mann and Kendall's S is multiplied by what a correlation r from step to step adds,
    1 + 2 (r^(n+1) - n r^2 + (n-1) r) / (n (r-1)^2) (Matalas & Sankarasubramanian, Water Resources Research 39, 2003),
    r being measured on what remains after the trend. Pre-whitening is not used: it sees trends where there are none.
    """
    import numpy as np

    known = values[np.isfinite(values)]
    n = len(known)
    if n < 8:
        return None
    slope = theil_sen(values)
    r = lag_correlation(values - slope * np.arange(len(values)))
    first, second = np.triu_indices(n, 1)
    s = float(np.sign(known[second] - known[first]).sum())
    _, ties = np.unique(known, return_counts=True)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return Slope(0.0, 1.0, 0.0, n)
    inflated = variance * (1 + 2 * (r ** (n + 1) - n * r * r + (n - 1) * r) / (n * (r - 1) ** 2))
    z = (s - math.copysign(1, s)) / math.sqrt(inflated) if s else 0.0
    return Slope(slope, two_sided(z, math.inf), r, n)


def without_rhythm(values: NDArray[Any], period: int) -> NDArray[Any]:
    """The series without what repeats every `period` steps, its level and trend kept; nan stays nan.

    The rhythm is the median of each place in the period after the line of Theil and Sen is taken out. Fewer than three
    whole periods: the series as it is.
    """
    import numpy as np

    if len(values) < 3 * period or int(np.isfinite(values).sum()) < 3 * period:
        return values
    steps = np.arange(len(values))
    rest = values - theil_sen(values) * steps
    middle = np.nanmedian(rest)
    shape = np.zeros(period)
    for place in range(period):
        here = rest[place::period]
        if np.isfinite(here).any():
            shape[place] = np.nanmedian(here) - middle
    return values - shape[steps % period]
