"""How far a ratio of two sums can be from the truth, when what is summed comes in clusters that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 1000
FEWEST_CLUSTERS = 20
"""Below, the interval of skewed sums is too narrow too often (`bench/costs.py` prints how often)."""
MOST_CLUSTERS = 1000
"""More are dealt at random into so many groups: sums of groups vary as the sums of their clusters do."""
SEED = 20_251_101
_PER_CHUNK = 1_000_000
"""Draws at a time: 8 MB."""


class Interval(NamedTuple):
    """Bounds of a ratio."""

    low: float
    high: float


def ratio_interval(
    tops: Sequence[float] | NDArray[Any],
    bottoms: Sequence[float] | NDArray[Any],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval | None:
    """The bootstrap interval of Σ tops ÷ Σ bottoms over clusters, one entry each; None for fewer than 20 clusters.

    Whole clusters are drawn with replacement (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, 8.3) and
    the ratio is studentised by its linearised standard error (bootstrap-t, 12.5), on logarithms where the ratio is
    positive: percentiles alone are too narrow for sums as skewed as money. The same input gives the same interval.
    None also when nothing is below the line.
    """
    import numpy as np

    above, below = np.asarray(tops, dtype=np.float64), np.asarray(bottoms, dtype=np.float64)
    if len(above) < FEWEST_CLUSTERS or below.sum() <= 0:
        return None
    rng = np.random.default_rng(seed)
    if len(above) > MOST_CLUSTERS:
        place = rng.permutation(len(above)) % MOST_CLUSTERS
        above = np.bincount(place, weights=above, minlength=MOST_CLUSTERS)
        below = np.bincount(place, weights=below, minlength=MOST_CLUSTERS)
    n = len(above)
    ratio, error = _estimate(above.sum(), below.sum(), (above**2).sum(), (above * below).sum(), (below**2).sum())
    if ratio <= 0 or error <= 0:
        return Interval(float(ratio), float(ratio))
    drawn: list[NDArray[Any]] = []
    for first in range(0, resamples, max(1, _PER_CHUNK // n)):
        rows = min(max(1, _PER_CHUNK // n), resamples - first)
        picked = rng.integers(0, n, size=(rows, n))
        a, b = above[picked], below[picked]
        r, e = _estimate(a.sum(axis=1), b.sum(axis=1), (a * a).sum(axis=1), (a * b).sum(axis=1), (b * b).sum(axis=1))
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn.append(np.log(r / ratio) / (e / r))
    t = np.concatenate(drawn)
    t = t[np.isfinite(t)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(t, [tail, 1 - tail])
    spread = error / ratio
    return Interval(float(ratio * np.exp(-high * spread)), float(ratio * np.exp(-low * spread)))


def _estimate(a: Any, b: Any, aa: Any, ab: Any, bb: Any) -> tuple[Any, Any]:
    """The ratio of two sums and its linearised standard error, from sums and sums of products."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = a / b
        return ratio, np.sqrt(np.maximum(0.0, aa - 2 * ratio * ab + ratio * ratio * bb)) / b
