"""Figures of samples whose members stand for different numbers of things."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]


def mean(values: Numbers, weights: Numbers) -> float:
    """The weighted mean; 0 without weight."""
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total > 0 else 0.0


def quantile(values: Numbers, weights: Numbers, share: float) -> float:
    """The smallest value with at least `share` of the weight at or below it (nearest rank); 0 without values."""
    if not len(values):
        return 0.0
    order = np.argsort(values, kind="stable")
    running = np.cumsum(weights[order])
    place = int(np.searchsorted(running, share * float(running[-1]) * (1 - 1e-12)))
    return float(values[order][min(place, len(values) - 1)])


def correlation(left: Numbers, right: Numbers, weights: Numbers) -> float:
    """Pearson's correlation; 0 when one side does not vary."""
    if len(left) < 3:
        return 0.0
    a, b = left - mean(left, weights), right - mean(right, weights)
    spread = float((weights * a * a).sum()) * float((weights * b * b).sum())
    return float((weights * a * b).sum()) / spread**0.5 if spread > 1e-12 else 0.0


def ranks(values: Numbers) -> Numbers:
    """Places in ascending order, those of equals shared: what Spearman's correlation is made of."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    upto = np.cumsum(counts)
    return ((upto - counts + upto - 1) / 2.0)[inverse]


def mapped(values: Numbers, weights: Numbers, reference: Numbers, reference_weights: Numbers) -> Numbers:
    """Each value replaced by the reference's value of the same rank (quantile mapping).

    Afterwards the values are distributed like the reference, and the order among them is kept. `reference` must not
    be empty.
    """
    order = np.argsort(values, kind="stable")
    middle = np.cumsum(weights[order]) - weights[order] / 2
    share = np.empty(len(values))
    share[order] = middle / max(float(weights.sum()), 1e-12)
    onto = np.argsort(reference, kind="stable")
    places = (np.cumsum(reference_weights[onto]) - reference_weights[onto] / 2) / max(
        float(reference_weights.sum()), 1e-12
    )
    return np.interp(share, places, reference[onto])


def array(values: Sequence[float]) -> Numbers:
    return np.asarray(values, dtype=np.float64)
