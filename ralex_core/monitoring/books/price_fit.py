"""The rates a set of claims was worked out with, when it was with a price per input and per output token."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from ralex_core.monitoring.books.differences import Difference

FEWEST_CALLS = 5
FITS_WITHIN = 0.01
"""Relative distance of a claim from what the rates give, for the claim to count as theirs."""
FITTING_SHARE = 0.9
"""Of the claims that must fit: a few wrong ones do not hide what the others have in common."""
_ROUNDS = 3
_SIGNIFICANT = 4


class FittedRates(NamedTuple):
    """USD per million tokens, and how many of the claims they give."""

    input_usd: Decimal
    output_usd: Decimal
    calls: int


def fitted_rates(differences: Sequence[Difference]) -> FittedRates | None:
    """The two rates that give at least nine in ten of the claims; None when no two do.

    Least squares of each claim's relative error, made again without the claims that are far off.
    """
    rows: list[tuple[int, int, Decimal]] = []
    for one in differences:
        count, output = one.operation.input_tokens, one.operation.output_tokens
        if count is not None and output is not None and count + output > 0 and one.claimed_usd > 0:
            rows.append((count, output, one.claimed_usd))
    if len(rows) < FEWEST_CALLS:
        return None
    tokens = np.array([(count, output) for count, output, _ in rows], dtype=np.float64)
    claims = np.array([float(usd) for *_, usd in rows], dtype=np.float64)
    relative = tokens / claims[:, None]
    kept = np.ones(len(rows), dtype=bool)
    rates = np.zeros(2)
    for _ in range(_ROUNDS):
        rates, _, rank, _ = np.linalg.lstsq(relative[kept], np.ones(int(kept.sum())), rcond=None)
        if rank < 2:
            return None
        errors = np.abs(relative @ rates - 1)
        kept = errors <= max(FITS_WITHIN, float(np.median(errors)) * 3)
        if int(kept.sum()) < FEWEST_CALLS:
            return None
    fitting = int((np.abs(relative @ rates - 1) <= FITS_WITHIN).sum())
    if fitting < FITTING_SHARE * len(rows) or rates.min() < 0:
        return None
    return FittedRates(_per_million(float(rates[0])), _per_million(float(rates[1])), fitting)


def _per_million(rate: float) -> Decimal:
    return Decimal(f"{rate * 1_000_000:.{_SIGNIFICANT}g}")
