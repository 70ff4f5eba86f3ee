"""How far an estimate can be from the truth: intervals for quantiles and ratios, and the tails they need.

Operations that follow each other are alike (a slow provider is slow for minutes), so their number overstates what is
known. `design_effect` measures by how much, from counts per slot of time.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from ralex_core.stats.quantiles import GAMMA, bin_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NORMAL = NormalDist()
_LN_GAMMA = math.log(GAMMA)
_SMALLEST_BIN = bin_of(1e-3)
"""Durations under a microsecond count as one: their logarithm would run away."""
MAX_CORRELATION = 0.9
"""Above it, a window holds so few independent stretches that no factor makes up for them."""
FEWEST_SLOTS = 4


def two_sided(t: float, df: float) -> float:
    """The chance that Student's t with `df` degrees of freedom is farther from 0 than `t`.

    By Wallace's transformation to a normal deviate (Annals of Mathematical Statistics 30, 1959), within 0.002 of the
    exact tail from 3 degrees on. `df` may be infinite.
    """
    if df <= 0:
        return 1.0
    z = abs(t) if math.isinf(df) else (8 * df + 1) / (8 * df + 3) * math.sqrt(df * math.log1p(t * t / df))
    return 2 * (1 - _NORMAL.cdf(z))


def t_quantile(confidence: float, df: float) -> float:
    """How many standard errors hold a two-sided interval of this confidence (0-1): the inverse of `two_sided`."""
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    if math.isinf(df):
        return z
    scaled = z * (8 * df + 3) / (8 * df + 1)
    return math.sqrt(df * math.expm1(scaled * scaled / df))


def wilson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float] | None:
    """Wilson's score interval of a ratio (JASA 22, 1927); None for no trials."""
    if n <= 0:
        return None
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    middle = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def log_quantile(bins: NDArray[Any], counts: NDArray[Any], q: float) -> float:
    """The logarithm of a quantile of a histogram (bins ascending, at least one count), smooth inside a bin."""
    import numpy as np

    edges = np.maximum(bins.astype(np.float64), _SMALLEST_BIN)
    running = np.cumsum(counts, dtype=np.float64)
    place = min(int(np.searchsorted(running, float(q * running[-1]))), len(edges) - 1)
    inside = (q * running[-1] - (running[place] - counts[place])) / counts[place]
    return (float(edges[place]) - 1 + min(1.0, max(0.0, float(inside)))) * _LN_GAMMA


def design_effect(slot_n: NDArray[Any], slot_over: NDArray[Any]) -> tuple[float, float]:
    """(factor, degrees of freedom): how many times more a share of operations varies than if each were independent.

    `slot_n` operations fell into each slot of time, in order, `slot_over` of them above some level. The factor is
    Pearson's dispersion of the shares times (1 + r) / (1 - r) for their correlation r from slot to slot, corrected
    for the bias of short series (Kendall, Biometrika 41, 1954). At least 1: nothing makes work more even than chance.
    """
    import numpy as np

    held = slot_n > 0
    n, over = slot_n[held].astype(np.float64), slot_over[held].astype(np.float64)
    slots = len(n)
    if slots < FEWEST_SLOTS:
        return 1.0, 1.0
    share = over.sum() / n.sum()
    if share <= 0 or share >= 1:
        return 1.0, slots - 1.0
    u = (over - n * share) / np.sqrt(n * share * (1 - share))
    squares = float(u @ u)
    if squares == 0:
        return 1.0, slots - 1.0
    r = (float(u[:-1] @ u[1:]) / squares + 1 / slots) / (1 - 3 / slots) if slots > 4 else 0.0
    r = min(MAX_CORRELATION, max(0.0, r))
    return max(1.0, squares / (slots - 1) * (1 + r) / (1 - r)), slots - 1.0


def log_quantile_error(bins: NDArray[Any], counts: NDArray[Any], q: float, effect: float = 1.0) -> float | None:
    """The standard error of `log_quantile`, by inverting the interval of the share below it; no density is guessed.

    Woodruff's method (JASA 47, 1952) at one standard error, the share's variance multiplied by the design effect.
    None when so few independent values lie beyond the quantile that its upper end is open.
    """
    n = float(counts.sum())
    if n <= 0:
        return None
    share_error = math.sqrt(q * (1 - q) * effect / n)
    if q + share_error >= 1 or q - share_error <= 0:
        return None
    spread = log_quantile(bins, counts, q + share_error) - log_quantile(bins, counts, q - share_error)
    return spread / 2
