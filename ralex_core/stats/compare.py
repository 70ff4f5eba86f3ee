"""Whether a percentile really moved between two windows, or chance alone explains the difference.

The difference is taken on logarithms, so it is a ratio. Its standard error is the larger of two: what the operations
of the two windows allow (Woodruff intervals with a design effect, `intervals`), and how far windows of this length
have differed before, which holds the rhythm of the day and whatever else moves without being a regression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ralex_core.stats.baseline import Expectation
from ralex_core.stats.intervals import design_effect, log_quantile, log_quantile_error, t_quantile, two_sided

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
FEWEST_BEYOND = 5
"""Operations beyond the percentile on either side of the comparison: 100 in all for p95, 10 for the median."""
FEWEST_PAIRS = 8
"""Earlier pairs of windows before their differences say what is usual."""
_MAD = 1.4826
"""Makes a median of absolute differences a standard deviation for normal ones."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The durations of one window: a log-binned histogram, and counts per slot of time in order.

    `slot_over` holds how many of each slot were above the percentile in question of this window.
    """

    bins: NDArray[Any]
    counts: NDArray[Any]
    slot_n: NDArray[Any]
    slot_over: NDArray[Any]

    @property
    def n(self) -> int:
        return int(self.counts.sum())


@dataclass(frozen=True, slots=True)
class Difference:
    """How a percentile differs between two windows. Ratios are now ÷ before: 1.2 is 20 % slower.

    `usual_ratio` is how far windows of this length typically differ (1.05: 5 % either way), None when there were
    too few before. `p_value` is the chance of a difference at least this large when nothing changed.
    """

    q: float
    ratio: float
    low_ratio: float
    high_ratio: float
    p_value: float
    n_now: int
    n_before: int
    usual_ratio: float | None
    pairs: int


def enough(n: int, q: float) -> bool:
    """Whether a window of `n` operations says anything of its quantile `q`."""
    return n * min(q, 1 - q) >= FEWEST_BEYOND - 1e-9


def usual_spread(differences: Sequence[float]) -> float | None:
    """The typical size of earlier log differences, around zero so that a steady drift counts; None for too few."""
    if len(differences) < FEWEST_PAIRS:
        return None
    ordered = sorted(abs(value) for value in differences)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return _MAD * median


def difference(now: Sample, before: Sample, q: float, earlier: Sequence[float] = ()) -> Difference | None:
    """Compare quantile `q` of two windows; None when either has too few operations.

    `earlier` are the log differences of earlier pairs of windows that lay as far apart as these two.
    """
    if not (enough(now.n, q) and enough(before.n, q)):
        return None
    effects = [design_effect(side.slot_n, side.slot_over) for side in (now, before)]
    errors = [
        log_quantile_error(side.bins, side.counts, q, effect)
        for side, (effect, _) in zip((now, before), effects, strict=True)
    ]
    if errors[0] is None or errors[1] is None:
        return None
    moved = log_quantile(now.bins, now.counts, q) - log_quantile(before.bins, before.counts, q)
    error, df = math.hypot(errors[0], errors[1]), sum(df for _, df in effects)
    usual = usual_spread(earlier)
    if usual is not None and usual > error:
        error, df = usual, float(len(earlier))
    return _told(q, moved, error, df, (now.n, before.n), usual, len(earlier))


def _told(
    q: float, moved: float, error: float, df: float, sizes: tuple[int, int], usual: float | None, pairs: int
) -> Difference:
    error = max(error, 1e-9)
    half = t_quantile(CONFIDENCE, df) * error
    return Difference(
        q=q,
        ratio=math.exp(moved),
        low_ratio=_exp(moved - half),
        high_ratio=_exp(moved + half),
        p_value=two_sided(moved / error, df),
        n_now=sizes[0],
        n_before=sizes[1],
        usual_ratio=None if usual is None else math.exp(usual),
        pairs=pairs,
    )


def _exp(value: float) -> float:
    """An interval from almost nothing is wide, but a number."""
    return math.exp(max(-50.0, min(50.0, value)))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: calling those under 0.05 real is wrong for at most 5 % of the calls.

    Benjamini & Hochberg, JRSS B 57 (1995). Empty for none.
    """
    n = len(p_values)
    order = sorted(range(n), key=lambda place: -p_values[place])
    adjusted = [1.0] * n
    least = 1.0
    for rank_from_top, place in enumerate(order):
        least = min(least, p_values[place] * n / (n - rank_from_top))
        adjusted[place] = least
    return adjusted


def against_expected(now: Sample, q: float, expected: Expectation, n_before: int) -> Difference | None:
    """Compare quantile `q` of a window with what it was expected to be (on logarithms, see `baseline.expect`).

    None when the window has too few operations.
    """
    if not enough(now.n, q):
        return None
    effect, slots_df = design_effect(now.slot_n, now.slot_over)
    own = log_quantile_error(now.bins, now.counts, q, effect)
    if own is None:
        return None
    moved = log_quantile(now.bins, now.counts, q) - expected.value
    error, df = (own, slots_df) if own > expected.error else (expected.error, float(expected.n))
    return _told(q, moved, error, df, (now.n, n_before), expected.error, expected.n)
