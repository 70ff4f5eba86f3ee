"""Whether two series move together, and how long after one the other does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ralex_core.stats.intervals import two_sided
from ralex_core.stats.trend import lag_correlation

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 12


@dataclass(frozen=True, slots=True)
class Together:
    """Spearman's rank correlation at the lag where it is strongest.

    `lag` is how many steps the second series follows the first; `n` the pairs it rests on; `p_value` the chance of one
    this strong at any of the lags tried between unrelated series that are as smooth as these.
    """

    correlation: float
    lag: int
    n: int
    effective_n: float
    p_value: float


def moves_with(first: NDArray[Any], second: NDArray[Any], most_lag: int = 0) -> Together | None:
    """How `second` follows `first` by 0 to `most_lag` steps (nan: unknown); None for fewer than 12 pairs.

    Smooth series agree by chance more often: n is replaced by n (1 - r1 r2) / (1 + r1 r2) with the lag-one correlations
    of the two (Bartlett, 1935). The p-value is multiplied by the number of lags.
    """
    best: Together | None = None
    tried = 0
    for lag in range(most_lag + 1):
        found = _at(first[: len(first) - lag] if lag else first, second[lag:], lag)
        if found is None:
            continue
        tried += 1
        if best is None or abs(found.correlation) > abs(best.correlation):
            best = found
    if best is None:
        return None
    return Together(best.correlation, best.lag, best.n, best.effective_n, min(1.0, best.p_value * tried))


def _at(first: NDArray[Any], second: NDArray[Any], lag: int) -> Together | None:
    import numpy as np

    known = np.isfinite(first) & np.isfinite(second)
    n = int(known.sum())
    if n < FEWEST:
        return None
    x, y = _ranks(first[known]), _ranks(second[known])
    if x.std() == 0 or y.std() == 0:
        return None
    r = float(np.corrcoef(x, y)[0, 1])
    shared = lag_correlation(x) * lag_correlation(y)
    effective = max(3.0, n * (1 - shared) / (1 + shared))
    df = effective - 2
    t = math.inf if abs(r) >= 1 else r * math.sqrt(df / (1 - r * r))
    return Together(r, lag, n, effective, 0.0 if math.isinf(t) else two_sided(t, df))


def _ranks(values: NDArray[Any]) -> NDArray[Any]:
    """Ranks from 0; equal values share the mean of theirs."""
    import numpy as np

    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[places]
