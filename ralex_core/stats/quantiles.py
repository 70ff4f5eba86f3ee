"""Percentiles from log-binned histograms that merge by adding counts, within 1 % (relative) of exact.

The bins are those of DDSketch (Masson, Rim & Lee, VLDB 2019): bin `i` holds the values in `(GAMMA^(i-1),
GAMMA^i]`, and every value of it is answered by `2·GAMMA^i / (GAMMA + 1)`, at most `(GAMMA - 1) / (GAMMA + 1)`
off. A histogram is just `{bin: count}`: adding two of them bin by bin gives the histogram of both, with no
further error.

"The percentile" is the nearest-rank one: the smallest value with at least `q·n` of the `n` values at or below
it. `q` is a ratio (0.95, not 95). No values, no percentile: None.

The same bin is computed in Python (`bin_of`), numpy (`bins_of`) and DuckDB (`bin_sql`). numpy is loaded on
first use only, so a host that embeds the recorder does not pay for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GAMMA = 1.02
"""Width of a bin: keeps the relative error at 0.0099, and 1 ms to 10 minutes in 672 bins."""

RELATIVE_ERROR = (GAMMA - 1) / (GAMMA + 1)
"""How far a percentile can be from the exact one, as a ratio of the exact one."""

ZERO_BIN = -32768
"""The bin of 0 and of anything below. Bins fit a 16-bit integer."""

MIN_BIN = -32767
MAX_BIN = 32767
"""The outermost bins (about 1e-281 and 1e281) take what lies beyond them."""

_PER_LN = 1 / math.log(GAMMA)
_MIDDLE = 2 / (GAMMA + 1)
_ROUNDING = 1 - 1e-12
"""`0.07 * 100` is 7.000000000000001 in binary; without this its rank would be 8."""


def bin_of(value: float) -> int:
    """The bin of a value. Values ≤ 0 share `ZERO_BIN`; NaN and +infinity count as the largest."""
    if value <= 0:
        return ZERO_BIN
    if not math.isfinite(value):
        return MAX_BIN
    return max(MIN_BIN, min(MAX_BIN, math.ceil(math.log(value) * _PER_LN)))


def value_of(bin: int) -> float:
    """The value a bin stands for, within `RELATIVE_ERROR` of everything in it; 0 for `ZERO_BIN`."""
    return 0.0 if bin == ZERO_BIN else GAMMA**bin * _MIDDLE


def bin_sql(column: str) -> str:
    """The DuckDB expression of `bin_of` for a DOUBLE expression: SMALLINT, NULL for NULL."""
    return (
        f"(case when {column} is null then null when {column} <= 0 then {ZERO_BIN}"
        f" when not isfinite({column}) then {MAX_BIN}"
        f" else greatest({MIN_BIN}, least({MAX_BIN}, ceil(ln({column}) * {_PER_LN!r}))) end)::smallint"
    )


def positive_bin_sql(expression: str) -> str:
    """The same for what is far from the outermost bins, naming the expression once: NULL for what is not above 0."""
    return f"ceil(ln(nullif(greatest({expression}, 0), 0)) * {_PER_LN!r})::smallint"


def histogram(values: Iterable[float]) -> dict[int, int]:
    """Count values per bin."""
    counts: dict[int, int] = {}
    for value in values:
        bin = bin_of(value)
        counts[bin] = counts.get(bin, 0) + 1
    return counts


def merge(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The histogram of all values of all histograms."""
    total: dict[int, int] = {}
    for counts in histograms:
        for bin, count in counts.items():
            total[bin] = total.get(bin, 0) + count
    return total


def rank_of(q: float, n: int) -> int:
    """The 1-based nearest rank of quantile `q` among `n` values (n ≥ 1).

    Raises:
        ValueError: q is outside 0–1.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile is a ratio from 0 to 1, not {q}")
    return max(1, math.ceil(q * n * _ROUNDING))


def percentile(counts: Mapping[int, int], q: float) -> float | None:
    """The percentile of a histogram, or None when it is empty."""
    return percentiles_of(counts, (q,))[0]


def percentiles_of(counts: Mapping[int, int], qs: Sequence[float]) -> list[float | None]:
    """Several percentiles in one pass, in the order of `qs`; all None when the histogram is empty."""
    n = sum(counts.values())
    if n == 0:
        return [None] * len(qs)
    wanted = sorted((rank_of(q, n), place) for place, q in enumerate(qs))
    found: list[float | None] = [None] * len(qs)
    seen = 0
    next_wanted = 0
    for bin in sorted(counts):
        seen += counts[bin]
        while next_wanted < len(wanted) and wanted[next_wanted][0] <= seen:
            found[wanted[next_wanted][1]] = value_of(bin)
            next_wanted += 1
    return found


def bins_of(values: NDArray[np.float64]) -> NDArray[np.int16]:
    """`bin_of` for every element of an array."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        bins = np.ceil(np.log(values) * _PER_LN)
        bins = np.clip(bins, MIN_BIN, MAX_BIN)
        bins = np.where(values <= 0, ZERO_BIN, np.where(np.isfinite(values), bins, MAX_BIN))
    return bins.astype(np.int16)


def values_of(bins: NDArray[Any]) -> NDArray[np.float64]:
    """`value_of` for every element of an integer array."""
    import numpy as np

    wide = bins.astype(np.float64)
    return np.where(wide == ZERO_BIN, 0.0, np.power(GAMMA, wide) * _MIDDLE)


def percentiles(bins: NDArray[Any], counts: NDArray[Any], qs: Sequence[float]) -> list[float | None]:
    """Percentiles of one histogram given as parallel arrays (bins in any order, repeats are added up).

    Returns one value per quantile, all None when there is nothing to count.
    """
    import numpy as np

    if len(bins) == 0:
        return [None] * len(qs)
    keys, table = percentiles_by_key(np.zeros(len(bins), dtype=np.int64), bins, counts, qs)
    if len(keys) == 0:
        return [None] * len(qs)
    return [float(value) for value in table[0]]


def percentiles_by_key(
    keys: NDArray[Any], bins: NDArray[Any], counts: NDArray[Any], qs: Sequence[float]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Percentiles of many histograms at once: three parallel arrays in any order, a row per key and bin.

    Returns the distinct keys in ascending order and a table of one row per key, one column per quantile. A
    key whose counts are all zero is left out. Costs one sort and one cumulative sum.
    """
    import numpy as np

    held = counts > 0
    keys, bins, counts = keys[held], bins[held], counts[held]
    if len(keys) == 0:
        return keys, np.empty((0, len(qs)))
    order = np.lexsort((bins, keys))
    keys, bins = keys[order], bins[order]
    running = np.cumsum(counts[order], dtype=np.int64)
    firsts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    before = np.concatenate(([0], running))[firsts]
    totals = np.concatenate((before[1:], running[-1:])) - before
    table = np.empty((len(firsts), len(qs)))
    for column, q in enumerate(qs):
        rank_of(q, 1)  # refuses what is not a ratio
        ranks = np.maximum(1, np.ceil(q * totals * _ROUNDING)).astype(np.int64)
        table[:, column] = values_of(bins[np.searchsorted(running, before + ranks)])
    return keys[firsts], table
