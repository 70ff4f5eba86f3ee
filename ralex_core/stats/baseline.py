"""What a figure usually is at this time: the profile of the day, and the level of the last hours on top of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHT = 0.1
"""Of the newest value in the running level: it follows a change in half a day of hours, not in one."""
FEWEST_DAYS = 4
"""Of the same hour before a profile of the day is used."""
FEWEST_VALUES = 8
_MAD = 1.4826


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the next value should be, and the standard error with which it was foretold `n` times before."""

    value: float
    error: float
    n: int
    days: int
    """How many earlier days the profile is made of; 0 without one."""


def expect(history: NDArray[Any], period: int) -> Expectation | None:
    """Foretell the value that follows `history` (oldest first, nan for gaps) from its `period` and its level.

    The profile is the median of each place in the period; the level is an exponentially weighted mean of what
    remains. The error is the robust spread of the same forecast made at every earlier moment, widened for the
    profile having seen the value it is compared with. None for fewer than `FEWEST_VALUES` known values.
    """
    import numpy as np

    known = np.isfinite(history)
    if int(known.sum()) < FEWEST_VALUES:
        return None
    profile, days = _profile(history, period)
    rest = history - profile[np.arange(len(history)) % period]
    level, errors = math.nan, list[float]()
    for value in rest.tolist():
        if math.isnan(value):
            continue
        if not math.isnan(level):
            errors.append(value - level)
        level = value if math.isnan(level) else level + WEIGHT * (value - level)
    late = errors[-max(FEWEST_VALUES, 3 * len(errors) // 4) :]
    spread = _MAD * float(np.median(np.abs(late)))
    widened = spread * (math.sqrt((days + 1.57) / (days - 1)) if days else 1.0)
    return Expectation(level + float(profile[len(history) % period]), widened, len(errors), days)


def _profile(history: NDArray[Any], period: int) -> tuple[NDArray[Any], int]:
    """The usual value of each place in the period, around zero; zeros where too few periods are known."""
    import numpy as np

    days = len(history) // period if period > 1 else 0
    flat = np.zeros(max(1, period))
    if days < FEWEST_DAYS:
        return flat, 0
    table = history[len(history) - days * period :].reshape(days, period)
    seen = np.isfinite(table).sum(axis=0)
    if (seen < FEWEST_DAYS).any():
        return flat, 0
    # the level of each day is taken out first, or a slow day would look like a slow hour
    centred = table - np.nanmean(table, axis=1, keepdims=True)
    shape = np.nanmedian(centred, axis=0)
    # the first column of the table is the place of the oldest value kept
    return np.roll(shape, (len(history) - days * period) % period), days
